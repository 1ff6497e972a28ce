"""What data/raw takes of each image: the header and the bytes of a file in a tar, or the digest of one that stays where it is.

Reading, headers and digests are work per image, which processes share; whoever writes only appends.
"""

import tarfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, groupby, islice
from pathlib import Path
from typing import NamedTuple, TypeAlias

from pipeline.data.references import make_reference
from pipeline.runtime.processes import map_in_order
from pipeline.sources.raw_image import RawImage, read_file

_OPENING = 1 << 15  # bytes whose reading takes about as long as opening a file
_CHUNK = 8 << 20  # bytes per message to a worker, or 256 small files; a few messages per core are in memory at a time
_FEW = 32  # messages that are worked off here, as workers would not have started before
_LARGE = 1 << 15  # bytes from which a file is read here, one at a time: to take them from a worker takes about as long

_Task: TypeAlias = list[tuple[str, str, str]]  # name, folder and path of each image


class Packed(NamedTuple):
    """Of one image. size: of its bytes; None if there are none, and reason says why. header, data: what a tar has of it, but
    for the padding. reference: of one that stays where it is, and of which a tar has nothing."""

    size: int | None = None
    header: bytes = b""
    data: bytes = b""
    reference: str = ""
    reason: str = ""


def pack_images(images: Iterable[RawImage], *, stay: bool) -> Iterator[tuple[RawImage, Packed]]:
    """Each image, in the same order. Of many that are still to be read, all cores read some ahead.

    stay: they stay where they are.
    """
    for is_listed, same in groupby(images, lambda image: bool(image.folder)):
        if is_listed:
            yield from _read_ahead(same, stay)
        else:
            yield from ((image, _pack(image.name, image.path, image.data, image.reason, stay)) for image in same)


def _read_ahead(images: Iterable[RawImage], stay: bool) -> Iterator[tuple[RawImage, Packed]]:
    waiting: deque[list[RawImage]] = deque()

    def make_tasks() -> Iterator[_Task]:
        for chunk in _in_chunks(images, stay):
            waiting.append(chunk)
            yield [(image.name, image.folder, image.path) for image in chunk if _is_sent(image, stay)]

    tasks, work = make_tasks(), partial(_pack_files, stay=stay)
    for packed in chain(map(work, islice(tasks, _FEW)), _map_rest(work, tasks)):
        done = iter(packed)
        for image in waiting.popleft():
            yield image, next(done) if _is_sent(image, stay) else _pack_here(image, stay)


def _is_sent(image: RawImage, stay: bool) -> bool:
    return not image.reason and (stay or image.size <= _LARGE)


def _in_chunks(images: Iterable[RawImage], stay: bool) -> Iterator[list[RawImage]]:
    """Lists of images that are `_CHUNK` bytes at most, if they are not one alone."""
    chunk: list[RawImage] = []
    total = 0
    for image in images:
        cost = _OPENING + (image.size if _is_sent(image, stay) else 0)
        if chunk and total + cost > _CHUNK:
            yield chunk
            chunk, total = [], 0
        chunk.append(image)
        total += cost
    if chunk:
        yield chunk


def _map_rest(work: Callable[[_Task], list[Packed]], tasks: Iterator[_Task]) -> Iterator[list[Packed]]:
    """On all cores, if there is a task left."""
    for first in tasks:
        yield from map_in_order(work, chain([first], tasks))


def _pack_files(task: _Task, *, stay: bool) -> list[Packed]:
    return [_pack_file(*file, stay) for file in task]


def _pack_here(image: RawImage, stay: bool) -> Packed:
    return Packed(reason=image.reason) if image.reason else _pack_file(image.name, image.folder, image.path, stay)


def _pack_file(name: str, folder: str, path: str, stay: bool) -> Packed:
    return _pack(name, path, *read_file(Path(f"{folder}/{path}")), stay)


def _pack(name: str, path: str, data: bytes | None, reason: str, stay: bool) -> Packed:
    if data is None:
        return Packed(reason=reason)
    if stay:
        return Packed(len(data), reference=make_reference(path, data), reason=reason)
    member = tarfile.TarInfo(name)  # has no time and no owner, so that the same images give the same bytes
    member.size = len(data)
    return Packed(len(data), member.tobuf(tarfile.PAX_FORMAT), data, reason=reason)
