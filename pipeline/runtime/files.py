"""Writing so that nothing half-written is ever taken for whole: aside first, renamed when complete; names; DVC's cache."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def remove(path: Path) -> None:
    """Deletes a file or folder if it is there; a link goes, what it points to stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """Yields a neighbouring path to write a file to; renames it to `path` if the block ends well, deletes it if not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    remove(partial)
    try:
        yield partial
        partial.replace(path)
    finally:
        remove(partial)


@contextmanager
def folder_aside(path: Path) -> Iterator[Path]:
    """The same for a folder: yields an empty one, which takes the place of `path` only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    remove(partial)
    partial.mkdir()
    try:
        yield partial
        remove(path)
        partial.rename(path)
    finally:
        remove(partial)


def readable_name(name: str) -> str:
    """A file name as text that any table holds: what is no UTF-8 becomes a question mark, and so does a carriage return.

    Python keeps the former as surrogates; the latter ends a line for readers of CSV files, even where none ends.
    """
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return text.replace("\r", "\N{REPLACEMENT CHARACTER}")


@cache
def find_dvc_cache() -> Path:
    """The folder of DVC's cache, which experiments in temporary folders share. Asked for once: starting DVC takes a second."""
    try:
        done = subprocess.run(["dvc", "cache", "dir"], capture_output=True, text=True, check=False)
    except OSError:  # no dvc on the path
        return Path(".dvc/cache")
    return Path(done.stdout.strip() or ".dvc/cache")
