"""Which of a processor's instructions a library may use."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def all_instructions() -> Iterator[None]:
    """Lets the oneDNN that is in OpenVINO use the whole processor, as it does in the programs of others; TensorFlow's own is
    limited for the same bits everywhere."""
    limit = os.environ.pop("ONEDNN_MAX_CPU_ISA", None)
    try:
        yield
    finally:
        if limit is not None:
            os.environ["ONEDNN_MAX_CPU_ISA"] = limit
