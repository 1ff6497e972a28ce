"""Which pictures the user means: the files that are named, those below folders, and those of a list on stdin."""

import codecs
import io
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipeline.data.image_files import Named, Picture, explain_error
from pipeline.sources.formats import IMAGE_EXTENSIONS

logger = logging.getLogger(__name__)

_LIST_BYTES = 1 << 16  # of a list, at a time: more than the longest path has


def list_pictures(folder: Path) -> Iterator[str]:
    """Paths of all files below a folder with an image's extension, sorted within each folder, beginning with `folder`. Hidden
    ones and links to folders are left out. Raises OSError for a folder that can't be read."""
    for found in _walk(str(folder)):
        if isinstance(found, _Unread):
            raise found.error
        if isinstance(found, str):
            yield found


def find_files(paths: Iterable[str]) -> Iterator[Named]:
    """These files, and the pictures below these folders, as they are found: in place of what has none, why. `-` stands for a
    list of paths on stdin. A link to a folder is followed where it is named itself; where it is only found, a warning says so.
    """
    for path in paths:
        if path == "-":
            yield from _find_listed()
        else:
            yield from _find(path)


def _find(path: str) -> Iterator[Named]:
    if not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for some names
        # Whoever loads it says what is wrong with it, if anything. An empty one would be this folder.
        yield path or Picture(path, None, "an empty name: expected a file or a folder")
        return
    is_empty = True
    for found in _walk(path):
        if isinstance(found, _Link):
            logger.warning("%s is a link to a folder: name it to have its pictures classified", found.path)
            continue
        is_empty = False
        yield Picture(found.path, None, explain_error(found.error)) if isinstance(found, _Unread) else found
    if is_empty:
        reason = "contains no picture: expected files such as .jpg, .png, .bmp, .gif, .webp or .tif below it"
        yield Picture(path, None, reason)


def _find_listed() -> Iterator[Named]:
    is_empty = True
    for path in read_list(sys.stdin.buffer if sys.stdin else io.BytesIO()):  # closed, as a service's may be
        is_empty = False
        yield from _find(path)
    if is_empty:
        yield Picture("-", None, "names no file: expected one path per line on stdin")


def read_list(stream: BinaryIO) -> Iterator[str]:
    """Paths from a list, as they come: one per line, or with a zero byte behind each, as `find -print0` writes them. Empty
    lines are left out."""
    read = getattr(stream, "read1", stream.read)  # what there is, without waiting for more
    data, rest = read(_LIST_BYTES).removeprefix(codecs.BOM_UTF8), b""
    end = b"\0" if b"\0" in data else b"\n"
    while data:
        *whole, rest = (rest + data).split(end)
        yield from _decode_names(whole, end)
        data = read(_LIST_BYTES)
    yield from _decode_names([rest], end)


def _decode_names(names: Iterable[bytes], end: bytes) -> Iterator[str]:
    for name in names:
        # A list that was written on Windows ends its lines with both.
        if kept := name.removesuffix(b"\r") if end == b"\n" else name:
            yield os.fsdecode(kept)


@dataclass(frozen=True)
class _Unread:
    """A folder that can't be read."""

    path: str
    error: OSError


@dataclass(frozen=True)
class _Link:
    """A link to a folder, which is not followed: it may lead to one above it."""

    path: str


def _walk(folder: str) -> Iterator[str | _Unread | _Link]:
    """Depth first, sorted within each folder. A stack, as folders may be nested deeper than Python can call functions."""
    waiting: list[Iterator[os.DirEntry[str]]] = []
    found: str | None = folder
    while found is not None or waiting:
        if found is not None:
            try:
                with os.scandir(found) as entries:
                    visible = [entry for entry in entries if not entry.name.startswith(".")]
                waiting.append(iter(sorted(visible, key=lambda entry: entry.name)))
            except OSError as error:
                yield _Unread(found, error)
            found = None
            continue
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
        elif entry.is_dir(follow_symlinks=False):
            found = entry.path
        elif _is_linked_folder(entry):
            yield _Link(entry.path)
        elif Path(entry.name).suffix.lower() in IMAGE_EXTENSIONS:
            yield entry.path


def _is_linked_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_symlink() and entry.is_dir()
    except OSError:  # a link to itself, or to where nobody may look: whoever loads it says so
        return False
