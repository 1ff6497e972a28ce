"""On what the parts of an output depend that a run which was killed has finished, so that the next one may take them over."""

import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline.runtime.files import compute_sha256
from pipeline.runtime.processes import num_cores

_PACKAGES = ("numpy", "pillow", "imagecodecs", "tifffile", "pillow-heif", "tensorflow", "keras")


def compute_part_key(settings: dict[str, Any], files: Iterable[Path]) -> str | None:
    """A digest of settings, of the contents of files, and of the versions of packages that decide pixels and features.

    files: the inputs, and data/code/<verb>.json.

    None where nothing can be taken over: only in a stage that DVC runs is data/code known to be that of the code as it is.
    """
    inputs = list(files)
    if not os.environ.get("DVC_STAGE") or not all(file.is_file() for file in inputs):
        return None
    with ThreadPoolExecutor(num_cores()) as pool:  # hashing holds no lock
        digests = list(pool.map(compute_sha256, inputs))
    made_of = [settings, {name: _read_version(name) for name in _PACKAGES}, digests]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def _read_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
