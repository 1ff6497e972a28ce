"""Mean and deviation of cached features, by which heads and linear machines standardize features of several depths."""

from typing import NamedTuple

import numpy as np

from pipeline.data.embeddings import Rows

_ROWS = 4096  # read at a time: memory does not depend on the number of images
_LEAST = 1e-6  # a deviation below it is rounding: the feature is the same for all images


class Statistics(NamedTuple):
    """float64 (features,) each. A feature that is the same for all images has deviation 1."""

    mean: np.ndarray
    deviation: np.ndarray


def compute_statistics(rows: Rows) -> Statistics:
    """Of all rows, one at least, in double precision and in the rows' order: the same on any number of cores."""
    blocks = [np.arange(start, min(start + _ROWS, len(rows))) for start in range(0, len(rows), _ROWS)]
    origin = rows.take(blocks[0][:1])[0].astype(np.float64)  # near the mean, so that the squares lose no digits
    total, squares = np.zeros_like(origin), np.zeros_like(origin)
    for block in blocks:
        distances = rows.take(block) - origin
        total += distances.sum(axis=0)
        squares += np.square(distances).sum(axis=0)
    mean = total / len(rows)
    deviation = np.sqrt(np.maximum(squares / len(rows) - np.square(mean), 0.0))
    return Statistics(origin + mean, np.where(deviation > _LEAST, deviation, 1.0))
