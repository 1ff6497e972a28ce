"""Atomic writes: to a temporary neighbour first, renamed when complete; also file names, digests and DVC's cache folder."""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from pipeline.runtime.unseen import show_unseen_in_name


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def remove(path: Path) -> None:
    """Deletes a file or folder if it exists; of a link only the link itself."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def compute_sha256(file: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` to write a file to; renames it to `path` if the block succeeds, else deletes it."""
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
    """The same for a folder: yields an empty one, which replaces `path` only when the block succeeds."""
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
    """A file name as text that any table and any terminal can hold: bytes that are not UTF-8, and carriage returns, become
    U+FFFD; other characters that can't be seen become their numbers, such as `\\x1b`.

    Python keeps such bytes as surrogates, which can't be encoded; a carriage return ends a line for readers of CSV files.
    """
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return show_unseen_in_name(text.replace("\r", "\N{REPLACEMENT CHARACTER}"))


@cache
def find_dvc_cache() -> Path:
    """DVC's cache folder, which experiments in temporary folders share; cached, as starting DVC takes a second."""
    try:
        done = subprocess.run(["dvc", "cache", "dir"], capture_output=True, text=True, check=False)
    except OSError:  # no dvc on the path
        return Path(".dvc/cache")
    return Path(done.stdout.strip() or ".dvc/cache")
