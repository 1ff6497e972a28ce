"""Pictures that are in no data set: finds their files and decodes them as in training, with a bounded number in memory."""

import errno
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.data.damage import has_many_chunks
from pipeline.data.deep_pixels import ValueRange
from pipeline.data.file_kinds import find_format
from pipeline.data.guarded import make_bounds, map_guarded
from pipeline.data.image import BadImageError, decode_image, inspect_image
from pipeline.data.opening import open_image
from pipeline.data.tfrecords import DatasetFacts
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.processes import in_chunks
from pipeline.sources.formats import IMAGE_EXTENSIONS, MAX_IMAGE_BYTES

if TYPE_CHECKING:
    from pipeline.config.sections import Prune

_CHUNK = 32  # files per task
_FEW = 64  # files; up to this many, decoding takes less time than starting other processes
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


def decode_as_trained(facts: DatasetFacts, prune: "Prune", value_range: ValueRange) -> Decoding:
    """As preprocess decoded the data set with these facts; what prune refuses is refused. value_range: preprocess.range."""
    return Decoding(
        facts.image_size, facts.resize, prune.min_side, prune.max_megapixels, prune.max_seconds, value_range
    )


def list_pictures(folder: Path) -> Iterator[str]:
    """Paths of all files below a folder with an image's extension, sorted within each folder, beginning with `folder`. Hidden
    ones and links to folders are left out."""
    with os.scandir(folder) as found:
        entries = sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from list_pictures(Path(entry.path))
        elif Path(entry.name).suffix.lower() in IMAGE_EXTENSIONS and not entry.is_dir():
            yield entry.path


def find_files(paths: Iterable[str]) -> Iterator[str]:
    """These files, and the pictures below these folders. Raises PipelineError for a folder without pictures."""
    for path in paths:
        if not Path(path).is_dir():
            yield path  # whoever loads it says what is wrong with it, if anything
            continue
        found = 0
        for file in list_pictures(Path(path)):
            found += 1
            yield file
        if not found:
            raise PipelineError(
                f"{path} contains no picture: expected files such as .jpg, .png, .bmp, .gif, .webp or .tif below it"
            )


def load_pictures(paths: Iterable[str], decoding: Decoding) -> Iterator[Picture]:
    """Decodes files as preprocess does, in their order, on all cores if there are many; never raises for a bad one. One that
    takes longer than max_seconds, or too much memory, costs only itself.
    """
    names = iter(paths)
    first = list(islice(names, _FEW + 1))
    if len(first) > _FEW:
        yield from _load_guarded(in_chunks(chain(first, names), _CHUNK), decoding)
        return
    is_light = [_is_light(Path(path)) for path in first]
    heavy = [path for path, light in zip(first, is_light, strict=True) if not light]
    guarded = _load_guarded(in_chunks(heavy, 1), decoding) if heavy else iter(())
    for path, light in zip(first, is_light, strict=True):
        yield _load(path, decoding) if light else next(guarded)


def _load_guarded(chunks: Iterator[list[str]], decoding: Decoding) -> Iterator[Picture]:
    bounds = make_bounds(max_seconds=decoding.max_seconds, max_megapixels=decoding.max_megapixels)
    for pictures in map_guarded(partial(_load, decoding=decoding), chunks, refuse=_refuse, bounds=bounds):
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


def _refuse(path: str, reason: str) -> Picture:
    return Picture(path, None, reason)


def _load(path: str, decoding: Decoding) -> Picture:
    try:
        file = Path(path)
        if file.exists() and not file.is_file() and not file.is_dir():
            return Picture(path, None, "not a file: a pipe or a device may have no end")
        if file.stat().st_size > MAX_IMAGE_BYTES:
            return Picture(path, None, f"too large: {file.stat().st_size / 1e6:.0f} MB")
        data = file.read_bytes()
        inspect_image(data, min_side=decoding.min_side, max_megapixels=decoding.max_megapixels)
        pixels = decode_image(
            data, image_size=decoding.image_size, resize=decoding.resize, value_range=decoding.value_range
        )
        return Picture(path, pixels)
    except BadImageError as error:
        return Picture(path, None, str(error))
    except OSError as error:
        known = {errno.ENOENT: "does not exist", errno.EISDIR: "is a folder", errno.EACCES: "no permission to read it"}
        return Picture(path, None, known.get(error.errno or 0, f"not readable: {error.strerror}"))


def label_by_folder(path: str, class_names: Iterable[str]) -> str:
    """The class that the nearest of the folders above a file is named after; empty if none is named after a class."""
    known = set(class_names)
    return next((part for part in reversed(Path(path).parts[:-1]) if part in known), "")
