"""Files that somebody names, as pictures for a model: found, decoded in parallel, a bounded number in memory."""

import errno
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.data.image import BadImageError, decode_image, inspect_image
from pipeline.data.tfrecords import DatasetFacts
from pipeline.runtime.processes import in_chunks, map_in_order
from pipeline.sources.formats import IMAGE_EXTENSIONS, MAX_IMAGE_BYTES

if TYPE_CHECKING:
    from pipeline.config.sections import Prune

_CHUNK = 32  # files a task
_FEW = 64  # files up to which starting other processes takes longer than decoding


@dataclass(frozen=True)
class Picture:
    """One file: pixels, uint8 (size, size, 3), RGB; or None, and then reason says why."""

    path: str
    pixels: np.ndarray | None
    reason: str = ""


@dataclass(frozen=True)
class Decoding:
    """image_size: pixels, each side. resize: stretch, crop or letterbox. min_side, max_megapixels: as in `prune`."""

    image_size: int
    resize: str
    min_side: int
    max_megapixels: float


def decode_as_trained(facts: DatasetFacts, prune: "Prune") -> Decoding:
    """As preprocess has decoded the images of facts, dataset.json, refusing what prune refuses."""
    return Decoding(facts.image_size, facts.resize, prune.min_side, prune.max_megapixels)


def list_pictures(folder: Path) -> Iterator[str]:
    """Every file below a folder that has an image's extension, sorted within each folder; hidden ones and links to folders are
    left out. Paths begin with `folder`."""
    with os.scandir(folder) as found:
        entries = sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from list_pictures(Path(entry.path))
        elif Path(entry.name).suffix.lower() in IMAGE_EXTENSIONS and not entry.is_dir():
            yield entry.path


def load_pictures(paths: Iterable[str], decoding: Decoding) -> Iterator[Picture]:
    """Decodes files as preprocess does, in their order, on all cores where there are many; never raises for a bad one."""
    names = iter(paths)
    first = list(islice(names, _FEW + 1))
    tasks = ((chunk, decoding) for chunk in in_chunks(chain(first, names), _CHUNK))
    for pictures in map_in_order(_load_chunk, tasks, 1 if len(first) <= _FEW else None):
        yield from pictures


def _load_chunk(task: tuple[list[str], Decoding]) -> list[Picture]:
    paths, decoding = task
    return [_load(path, decoding) for path in paths]


def _load(path: str, decoding: Decoding) -> Picture:
    try:
        file = Path(path)
        if file.exists() and not file.is_file() and not file.is_dir():
            return Picture(path, None, "not a file: a pipe or a device may have no end")
        if file.stat().st_size > MAX_IMAGE_BYTES:
            return Picture(path, None, f"too large: {file.stat().st_size / 1e6:.0f} MB")
        data = file.read_bytes()
        inspect_image(data, min_side=decoding.min_side, max_megapixels=decoding.max_megapixels)
        return Picture(path, decode_image(data, image_size=decoding.image_size, resize=decoding.resize))
    except BadImageError as error:
        return Picture(path, None, str(error))
    except OSError as error:
        known = {errno.ENOENT: "does not exist", errno.EISDIR: "is a folder", errno.EACCES: "no permission to read it"}
        return Picture(path, None, known.get(error.errno or 0, f"not readable: {error.strerror}"))


def label_by_folder(path: str, class_names: Iterable[str]) -> str:
    """The class that one of the folders above a file is named after, the nearest one; empty if there is none."""
    known = set(class_names)
    return next((part for part in reversed(Path(path).parts[:-1]) if part in known), "")
