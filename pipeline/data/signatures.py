"""What near copies are found by: each image in grey at 32 × 32, and a short description of it. Computed on all cores.

Both are the same on every CPU, so that splits are: sums in other orders differ by less than what the rounding takes away.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.data.image import decode_image
from pipeline.data.raw import read_many
from pipeline.runtime.processes import in_chunks, map_in_order
from pipeline.runtime.progress import progress_bar

SIDE = 32  # pixels, each side, to which an image is reduced
STEPS = 2048  # a description is in steps of 1 / STEPS: float16 holds them, and float32 their products and sums, exactly
_LUMA = np.array(
    [299, 587, 114], np.float32
)  # thousandths, ITU-R BT.601: whole numbers, as halves must round alike everywhere
_CHUNK = 256  # images per message to a worker
# Frequencies of the cosine transform that a description holds: (order below which, blur in pixels of the transform).
_GREY, _COLOUR = (7, 0.25), (5, 0.35)

Location = tuple[str, int, int]  # shard, offset, size


def measure_signatures(images: pd.DataFrame, greys_file: Path, num_workers: int | None = None) -> np.ndarray:
    """Writes `greys_file`, an .npy of uint8 (n, SIDE, SIDE), and returns the descriptions, float16 (n, NUM_VALUES).

    images: shard, offset, size of data/raw, one row per image. The greys are on disk, so that a million images need no
    gigabyte of memory.
    """
    greys = np.lib.format.open_memmap(greys_file, "w+", np.uint8, (len(images), SIDE, SIDE))
    descriptions = np.empty((len(images), NUM_VALUES), np.float16)
    done = 0
    with progress_bar(total=len(images), desc="near copies", unit=" images") as progress:
        for grey, description in map_in_order(_measure, in_chunks(_locate(images), _CHUNK), num_workers):
            part = slice(done, done + len(grey))
            greys[part], descriptions[part] = grey, description
            done += len(grey)
            progress.update(len(grey))
    greys.flush()
    return descriptions


def _locate(images: pd.DataFrame) -> Iterator[Location]:
    return zip(images["shard"], images["offset"], images["size"], strict=True)


def _measure(locations: list[Location]) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.stack([decode_image(data, image_size=SIDE, resize="stretch") for data in read_many(locations)])
    return (pixels @ _LUMA / 1000).round().astype(np.uint8), describe(pixels)


def describe(pixels: np.ndarray) -> np.ndarray:
    """float16 (n, NUM_VALUES), multiples of 1 / STEPS, length 1 but for rounding: low frequencies of grey and of two
    differences of colours; all 0 for one colour.

    pixels: uint8 (n, SIDE, SIDE, 3), RGB. Without the mean, so that brightness and contrast do not matter; weighted by
    frequency times a Gaussian, so that edges decide, but a shift by a tenth of the picture does not undo the likeness. Like a
    perceptual hash (pHash, Zauner 2010) before it is reduced to bits.
    """
    joined = pixels.reshape(len(pixels), -1).astype(np.float64) @ _BASIS
    length = np.linalg.norm(joined, axis=1, keepdims=True)
    scaled = np.where(length > _LEAST_LENGTH, joined / np.maximum(length, _LEAST_LENGTH), 0)
    return ((scaled * STEPS).round() / STEPS).astype(np.float16)


def mirror(descriptions: np.ndarray) -> np.ndarray:
    """The descriptions of the images mirrored left to right: odd horizontal frequencies change their sign."""
    return descriptions * _MIRROR


def _build_cosines(order: int) -> np.ndarray:
    """float64 (order, SIDE): the first rows of the orthonormal cosine transform (DCT-II)."""
    rows = np.cos(np.pi * np.outer(np.arange(order), np.arange(SIDE) + 0.5) / SIDE) * np.sqrt(2 / SIDE)
    rows[0] /= np.sqrt(2)
    return rows


def _build_basis() -> np.ndarray:
    """float64 (SIDE * SIDE * 3, NUM_VALUES): what a description weighs each pixel's red, green and blue with."""
    luma = _LUMA.astype(np.float64) / 1000
    red, _, blue = np.eye(3)
    parts = []
    for (order, weights, kept), mix in zip(_PARTS, (luma, red - luma, blue - luma), strict=True):
        cosines = _build_cosines(order)
        parts.append((np.einsum("fi,gj,c->ijcfg", cosines, cosines, mix) * weights)[..., kept])
    return np.concatenate(parts, axis=-1).reshape(SIDE * SIDE * 3, -1)


def _build_part(order: int, blur: float) -> tuple[int, np.ndarray, np.ndarray]:
    """(order, weights, which of them are kept), both (order, order): a triangle without the mean."""
    frequency = np.hypot(*np.indices((order, order)))
    weights = frequency * np.exp(-((frequency * blur) ** 2) / 2)
    kept = (np.indices((order, order)).sum(axis=0) <= (order if order == _GREY[0] else order - 1)) & (frequency > 0)
    return order, weights, kept


_PARTS = (_build_part(*_GREY), _build_part(*_COLOUR), _build_part(*_COLOUR))
_BASIS = _build_basis()
_LEAST_LENGTH = 1e-2  # far below one step of one pixel: what rounding leaves of an image of one colour
_MIRROR = np.concatenate([(1 - 2.0 * (np.indices(kept.shape)[1] % 2))[kept] for _, _, kept in _PARTS]).astype(
    np.float16
)
NUM_VALUES = len(_MIRROR)
