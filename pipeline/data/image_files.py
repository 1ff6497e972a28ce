"""Pictures that are in no data set, decoded as in training, with a bounded number in memory. `picture_paths` finds them."""

import errno
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeAlias
from unicodedata import normalize

import numpy as np

from pipeline.data.damage import has_many_chunks
from pipeline.data.deep_pixels import ValueRange
from pipeline.data.file_kinds import find_format
from pipeline.data.guarded import make_bounds, map_guarded
from pipeline.data.image import BadImageError, decode_image, inspect_image
from pipeline.data.opening import open_image
from pipeline.runtime.processes import in_chunks
from pipeline.sources.formats import MAX_IMAGE_BYTES

if TYPE_CHECKING:
    from pipeline.config.sections import Prune

_CHUNK = 32  # files per task
FEW = 64  # files; up to this many, decoding takes less time than starting other processes
# Files that are decoded in this process: these formats, with at most so many bytes, pixels, and pixels times scans.
_LIGHT_BYTES = {"JPEG": 16 << 20, "PNG": 16 << 20, "BMP": 16 << 20, "WEBP": 16 << 20, "GIF": 1 << 20}
_LIGHT_PACKED_BMP = 1 << 20  # bytes: Pillow unpacks these in Python, as it reads the blocks of a GIF
_LIGHT_CHUNKS = 5_000  # of a PNG: editors write one per 8 kB
_LIGHT_PIXELS, _LIGHT_WORK = 16_000_000, 200_000_000


@dataclass(frozen=True)
class Picture:
    """One file. pixels: uint8 (size, size, 3), RGB, or None; then reason says why."""

    path: str
    pixels: np.ndarray | None
    reason: str = ""


Named: TypeAlias = str | Picture  # a file's path, or what is known to be no picture


@dataclass(frozen=True)
class Decoding:
    """image_size: pixels, each side. resize: stretch, crop or letterbox. min_side, max_megapixels, max_seconds: as in `prune`.
    value_range: as preprocess.range."""

    image_size: int
    resize: str
    min_side: int
    max_megapixels: float
    max_seconds: float = 30.0
    value_range: ValueRange = "auto"


class Preparation(Protocol):
    """How pictures became pixels before training, as `DatasetFacts` and a model's contract say it."""

    @property
    def image_size(self) -> int: ...
    @property
    def resize(self) -> str: ...
    @property
    def range(self) -> ValueRange: ...


def decode_as_trained(preparation: Preparation, prune: "Prune") -> Decoding:
    """As preprocess decoded the pictures that a model was trained on; what prune refuses is refused."""
    return Decoding(
        preparation.image_size,
        preparation.resize,
        prune.min_side,
        prune.max_megapixels,
        prune.max_seconds,
        preparation.range,
    )


def load_pictures(paths: Iterable[Named], decoding: Decoding) -> Iterator[Picture]:
    """Decodes files as preprocess does, in their order, on all cores if there are many; never raises for a bad one. One that
    takes longer than max_seconds, or too much memory, costs only itself. What can't be used already stays as it is.
    """
    names = iter(paths)
    first = list(islice(names, FEW + 1))
    if len(first) > FEW:
        yield from load_guarded(in_chunks(chain(first, names), _CHUNK), decoding)
        return
    is_light = [isinstance(path, Picture) or _is_light(Path(path)) for path in first]
    heavy = [path for path, light in zip(first, is_light, strict=True) if not light]
    guarded = load_guarded(in_chunks(heavy, 1), decoding) if heavy else iter(())
    for path, light in zip(first, is_light, strict=True):
        yield _load(path, decoding) if light else next(guarded)


def load_guarded(
    chunks: Iterator[list[Named]], decoding: Decoding, num_workers: int | None = None
) -> Iterator[Picture]:
    """The same, always in other processes, whatever the number of files. num_workers: None: one per core."""
    bounds = make_bounds(max_seconds=decoding.max_seconds, max_megapixels=decoding.max_megapixels)
    load = partial(_load, decoding=decoding)
    for pictures in map_guarded(load, chunks, refuse=_refuse, bounds=bounds, num_workers=num_workers):
        yield from pictures


def _is_light(file: Path) -> bool:
    """Whether its header promises that it takes neither long nor much memory; a file that is refused unread does so too."""
    try:
        if not file.is_file() or file.stat().st_size > MAX_IMAGE_BYTES:
            return True
        if file.stat().st_size > max(_LIGHT_BYTES.values()):
            return False
        data = file.read_bytes()
        kind = find_format(data)
        if kind is None:
            return True
        if len(data) > _LIGHT_BYTES.get(kind, 0) or _has_many_parts(data, kind):
            return False
        width, height = open_image(data).size
    except (OSError, BadImageError):
        return True
    # A progressive JPEG takes as long as all its scans, of which a small file has thousands.
    scans = data.count(b"\xff\xda") if kind == "JPEG" else 1
    return width * height <= _LIGHT_PIXELS and width * height * scans <= _LIGHT_WORK


def _has_many_parts(data: bytes, kind: str) -> bool:
    """Whether there may be so many that reading them takes seconds. A JPEG with many is refused when it is opened."""
    if kind == "BMP":
        is_packed = data[14:18] != b"\x0c\0\0\0" and int.from_bytes(data[30:34], "little") in (1, 2)
        return is_packed and len(data) > _LIGHT_PACKED_BMP
    return kind == "PNG" and has_many_chunks(data, _LIGHT_CHUNKS)


def _refuse(path: Named, reason: str) -> Picture:
    return path if isinstance(path, Picture) else Picture(path, None, reason)


def _load(path: Named, decoding: Decoding) -> Picture:
    if isinstance(path, Picture):
        return path
    try:
        file = Path(path)
        if file.exists() and not file.is_file() and not file.is_dir():
            return Picture(path, None, "not a file: a pipe or a device may have no end")
        if file.stat().st_size > MAX_IMAGE_BYTES:
            return Picture(path, None, f"too large: {file.stat().st_size / 1e6:.0f} MB")
        return decode_named((path, file.read_bytes()), decoding)
    except OSError as error:
        is_broken = error.errno == errno.ENOENT and Path(path).is_symlink()
        return Picture(path, None, "is a link to a file that does not exist" if is_broken else explain_error(error))


def decode_named(named: tuple[str, bytes], decoding: Decoding) -> Picture:
    """named: a name, and a file's bytes. Never raises for a bad picture; see `load_pictures`, which bounds what it may take."""
    name, data = named
    try:
        inspect_image(data, min_side=decoding.min_side, max_megapixels=decoding.max_megapixels)
        pixels = decode_image(
            data, image_size=decoding.image_size, resize=decoding.resize, value_range=decoding.value_range
        )
        return Picture(name, pixels)
    except BadImageError as error:
        return Picture(name, None, str(error))


def explain_error(error: OSError) -> str:
    """Why a file or folder can't be read, in a few words."""
    known = {
        errno.ENOENT: "does not exist",
        errno.EISDIR: "is a folder",
        errno.EACCES: "no permission to read it",
        errno.ELOOP: "is a link that leads back to itself",
    }
    return known.get(error.errno or 0, f"not readable: {error.strerror}")


def label_by_folder(path: str, class_names: Iterable[str], renamed: Mapping[str, str] = MappingProxyType({})) -> str:
    """The class that the nearest of the folders above a file is named after, in any Unicode form, as in a source; empty if none
    is. renamed: names that classes had before prune.merge_classes to those that they have."""
    classes = set(class_names)
    known = {old: new for old, new in renamed.items() if new in classes} | {name: name for name in classes}
    return next((known[part] for part in reversed(Path(normalize("NFC", path)).parts[:-1]) if part in known), "")
