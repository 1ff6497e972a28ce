"""Pictures that are nearly the same: found by their coarse outlines, whatever their size, compression or light. Pure."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

SIDE = 16  # pixels to which a picture is reduced
NUM_FEATURES = 2 * SIDE * (SIDE - 1)
_BLOCK = 4096  # rows compared at a time


def describe_outline(pixels: np.ndarray) -> np.ndarray:
    """float16 (NUM_FEATURES,), length 1: the steps between neighbouring pixels of the picture in grey at 16 × 16; all 0 for a
    picture without any. A change of brightness or contrast changes nothing.

    pixels: uint8 (h, w, 3). Real-valued steps where a difference hash keeps only their signs: on small pictures most signs
    are noise, and skies collide.
    """
    grey = Image.fromarray(pixels).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    values = np.asarray(grey, np.float32)
    steps = np.concatenate([np.diff(values, axis=1).ravel(), np.diff(values, axis=0).ravel()])
    length = float(np.sqrt((steps * steps).sum()))
    return (steps / length if length > 0 else steps).astype(np.float16)


def find_similar(ours: np.ndarray, others: np.ndarray, *, least: float) -> Iterator[tuple[int, int, float]]:
    """(row of ours, row of others, similarity) for the most similar row of `others`, where that is at least `least`.

    ours, others: float16 (n, NUM_FEATURES) of `describe_outline`. The similarity is their cosine, -1 to 1, four digits. All
    pairs are compared, 4,096 rows at a time: 10,000 against 40,000 pictures take about two seconds.
    """
    for start in range(0, len(ours), _BLOCK):
        block = _scale(ours[start : start + _BLOCK])
        best, partner = np.full(len(block), -2.0, np.float32), np.zeros(len(block), np.int64)
        for begin in range(0, len(others), _BLOCK):
            cosines = block @ _scale(others[begin : begin + _BLOCK]).T
            nearest = cosines.argmax(axis=1)
            values = cosines[np.arange(len(block)), nearest]
            # four digits, so that the order in which a matrix product adds up does not decide between equals
            values = values.round(4)
            better = values > best
            best[better], partner[better] = values[better], nearest[better] + begin
        for row in np.flatnonzero(best >= least):
            yield int(start + row), int(partner[row]), round(float(best[row]), 4)


def _scale(outlines: np.ndarray) -> np.ndarray:
    """float32, rows of length 1, which they have lost as float16: a picture is as similar to itself as can be. 0 stays 0."""
    rows = outlines.astype(np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
