"""Atomic writes: to a temporary neighbour first, renamed when complete; also file names, digests and DVC's cache folder."""

import errno
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from pipeline.runtime.unseen import show_unseen_in_name

_KEY = "parts.key"
# Bytes. hashlib.file_digest makes a buffer of four times as much, which takes longer than a small picture's digest.
_BLOCK = 1 << 16


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
    digest = hashlib.sha256()
    with file.open("rb", buffering=0) as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` to write a file to; renames it to `path` if the block succeeds, else deletes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    remove(partial)
    try:
        with _naming(path):
            yield partial
            reach_disk(partial)
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
        with _naming(path):
            yield partial
            reach_disk(*(file for file in partial.rglob("*") if file.is_file()))
        remove(path)
        partial.rename(path)
    finally:
        remove(partial)


@contextmanager
def folder_continued(path: Path, key: str | None) -> Iterator[Path]:
    """The same for a folder of parts that take long: what a run that was killed has finished of it stays there for the next.

    key: of all that the parts depend on; with another one, the folder is empty at first. None: nothing is kept. The block
    writes each part aside, and leaves out those that are there. Until it succeeds, the folder is kept.
    """
    if key is None:
        with folder_aside(path) as partial:
            yield partial
        return
    partial = continue_partial(path, key)
    with _naming(path):
        yield partial
        remove(partial / _KEY)
        reach_disk(*(file for file in partial.rglob("*") if file.is_file()))
    remove(path)
    partial.rename(path)


def continue_partial(path: Path, key: str) -> Path:
    """The folder aside in which a run with this key goes on: with what another has finished, or empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    if read_key(partial) != key:
        remove(partial)
        partial.mkdir()
    for half in partial.glob("*.partial"):
        remove(half)
    with write_aside(partial / _KEY) as file:
        file.write_text(key)
    return partial


def read_key(partial: Path) -> str | None:
    """What the parts in a folder depend on that waits for the next run; None if none waits."""
    try:
        return (partial / _KEY).read_text()
    except OSError:
        return None


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """A full disk is noticed where a stream is written, which has no name."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
            error.filename = str(path)
        raise


def reach_disk(*files: Path) -> None:
    """In a stage that DVC runs: after a power cut, a file that was renamed may be empty, and DVC trusts what it has seen."""
    if not os.environ.get("DVC_STAGE"):
        return
    for file in files:
        with file.open("rb") as stream:
            os.fsync(stream.fileno())


def readable_name(name: str) -> str:
    """A file name as text that any table and any terminal can hold: bytes that are not UTF-8, and carriage returns, become
    U+FFFD; other characters that can't be seen become their numbers, such as `\\x1b`.

    Python keeps such bytes as surrogates, which can't be encoded; a carriage return ends a line for readers of CSV files.
    """
    if name.isascii() and name.isprintable():  # nearly all of a million are
        return name
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return show_unseen_in_name(text.replace("\r", "\N{REPLACEMENT CHARACTER}"))


@cache
def find_dvc_cache() -> Path:
    """DVC's cache folder, which experiments in temporary folders share; cached, as starting DVC takes a second."""
    try:
        done = subprocess.run(["dvc", "cache", "dir"], capture_output=True, text=True, errors="replace", check=False)
    except OSError:  # no dvc on the path
        return Path(".dvc/cache")
    return Path(done.stdout.strip() or ".dvc/cache")
