"""Which images an epoch has more than once, so that all classes have as many as the largest."""

from collections.abc import Iterable

import numpy as np


def count_oversampled(counts: Iterable[int]) -> int:
    """Images per epoch. counts: of each class; those without images stay without."""
    present = [count for count in counts if count]
    return len(present) * max(present, default=0)


def draw_times(labels: np.ndarray, *, seed: int, epoch: int) -> np.ndarray:
    """How often each image comes in an epoch, int64 (n,): within a class equally often, but for those drawn for what is left
    over. labels: int (n,)."""
    rng, times = np.random.default_rng([seed, epoch, 1]), np.zeros(len(labels), np.int64)
    classes, counts = np.unique(labels, return_counts=True)
    for label, count in zip(classes, counts, strict=True):
        rows = np.flatnonzero(labels == label)
        whole, rest = divmod(int(counts.max()), int(count))
        times[rows] = whole
        times[rng.permutation(rows)[:rest]] += 1
    return times
