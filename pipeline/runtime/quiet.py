"""Silence for libraries in C++ that write to stderr whatever the log level is."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silence_stderr() -> Iterator[None]:
    """What is written to file descriptor 2 in the block is dropped. An exception still says what went wrong."""
    stderr, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(sink)
