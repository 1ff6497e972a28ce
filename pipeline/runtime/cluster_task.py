"""What a worker of a Ray cluster does: checks once that it stands on the same ground as the process that asks, then works."""

import hashlib
import os
import pickle
import platform
import socket
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline.runtime.errors import PipelineError

# Bytes depend on their versions: decoders, arithmetic, and what frames records.
_PACKAGES = (
    *("pillow", "pillow-heif", "imagecodecs", "tifffile", "numpy", "scipy", "pandas", "protobuf", "google-crc32c"),
    *("tensorflow", "keras", "keras-hub"),
)
_done: list[Any] = []  # what has been called first, in this process


@dataclass(frozen=True)
class Ground:
    """folder: of the project. code: the folder that the package `pipeline` is in. token: a file in the project's folder, which
    a worker sees where storage is shared. digest: of the code. versions: of packages; empty where one is not installed."""

    folder: str
    code: str
    token: str
    digest: str
    machine: str
    versions: tuple[tuple[str, str], ...]


def describe_ground(token: Path) -> Ground:
    """Of this process."""
    code = Path(__file__).resolve().parents[2]
    return Ground(str(Path.cwd()), str(code), str(token), _compute_digest(code), platform.machine(), _list_versions())


def run_task(work: bytes) -> Any:
    """work: a pickled (Ground, first, pickled (function, task)); first: what is called once, before the rest is imported, or
    None. Raises PipelineError where this worker would give other bytes."""
    ground, first, rest = pickle.loads(work)  # noqa: S301 - from whoever may run code here anyway
    _prepare(ground)
    if first is not None and not _done:
        _done.append(first)
        first()
    function, task = pickle.loads(rest)  # noqa: S301
    return function(task)


@cache
def _prepare(ground: Ground) -> None:
    # Processes that a task starts would import Ray's own script first, which takes a second, and has nothing for them.
    vars(sys.modules["__main__"]).pop("__file__", None)
    node = socket.gethostname()
    if not Path(ground.token).exists():
        raise PipelineError(
            f"{node} of the Ray cluster has another {ground.folder}: expected the same storage on all nodes, at the same path "
            "(docs/cluster.md)"
        )
    here = describe_ground(Path(ground.token))
    if here.digest != ground.digest:
        raise PipelineError(
            f"{node} of the Ray cluster has other code in {ground.code}: expected the same, as all bytes depend on it"
        )
    if here.machine != ground.machine:
        raise PipelineError(
            f"{node} of the Ray cluster is {here.machine}: expected {ground.machine}, as sums round otherwise"
        )
    for (package, expected), (_, found) in zip(ground.versions, here.versions, strict=True):
        if expected != found:
            raise PipelineError(
                f"{node} of the Ray cluster has {package} {found or '(none)'}: expected {expected or 'none'}, as here: install "
                "constraints.txt on all nodes"
            )


def _compute_digest(code: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted((code / "pipeline").rglob("*.py")):
        digest.update(os.fsencode(file.relative_to(code)) + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _list_versions() -> tuple[tuple[str, str], ...]:
    return tuple((package, find_version(package)) for package in _PACKAGES)


def find_version(package: str) -> str:
    """Of a package that is installed here, or nothing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
