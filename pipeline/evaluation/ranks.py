"""Which of many sorted scores a model file keeps, for quantiles. Pure."""

import numpy as np

KEPT = 1000  # scores in a model file


def list_ranks(images: int) -> np.ndarray:
    """int (up to 1,000,), from 1, ascending, evenly spaced, the last of them `images`."""
    count = min(images, KEPT)
    return -(-np.arange(1, count + 1) * images // count)
