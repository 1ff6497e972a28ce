"""Pictures that stay where they are: instead of the name of a tar, data/raw has the SHA-256 of their bytes and their path.

Whoever reads one compares it with that digest: a picture that has changed or gone is an error, never another image.
"""

import hashlib
from pathlib import Path, PurePosixPath

from pipeline.runtime.errors import PipelineError
from pipeline.sources.local_folder import describe_special
from pipeline.sources.local_paths import resolve_path

_ROOT = "root.txt"  # data.path, as the user wrote it
_MARK = "sha256:"
_DIGITS = 64
_ADVICE = (
    "data.keep is reference, so that pictures are read where they are: put it back as it was, or run `dvc repro` to list the "
    "folder anew"
)


def save_root(path: str, folder: Path) -> None:
    """path: data.path. folder: data/raw."""
    (folder / _ROOT).write_text(path, encoding="utf-8")


def make_reference(path: str, data: bytes) -> str:
    """What stands in a row's column `shard`. path: below data.path, with forward slashes. data: the file's bytes."""
    return f"{_MARK}{hashlib.sha256(data).hexdigest()}/{path}"


def is_reference(shard: str) -> bool:
    """Whether it names no tar."""
    return shard.startswith(_MARK)


def read_reference(shard: str, size: int, folder: Path) -> bytes:
    """The bytes that were there when the folder was listed. size: theirs. folder: data/raw. Raises PipelineError, one line, for
    anything else."""
    digest, path = shard[len(_MARK) :][:_DIGITS], shard[len(_MARK) + _DIGITS + 1 :]
    root = (folder / _ROOT).read_text(encoding="utf-8")
    place = resolve_path(root)
    if not place.is_dir():
        raise PipelineError(
            f"data.path {root!r} is not on this machine: data.keep is reference, so that {folder} has no pictures; expected "
            "the folder there, or another data.path, or data/raw from a run with data.keep=copy"
        )
    # A listing may come from elsewhere: no path in it leads out of the folder.
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise PipelineError(f"{folder} names {path!r}, which is not in data.path: run `dvc repro -f download`")
    try:
        status = (place / path).stat()
        fault = describe_special(status.st_mode) or (
            f"now has {status.st_size} bytes" if status.st_size != size else ""
        )
        data = b"" if fault else (place / path).read_bytes()
    except OSError as error:
        raise PipelineError(f"{path!r} in data.path {root!r} can't be read ({error.strerror}): {_ADVICE}") from error
    if not fault and hashlib.sha256(data).hexdigest() != digest:
        fault = "now has other bytes"
    if fault:
        raise PipelineError(f"{path!r} in data.path {root!r} is not the file that was listed ({fault}): {_ADVICE}")
    return data
