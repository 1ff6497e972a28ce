"""What a model costs to use, by this machine's clock: kept out of everything that DVC hashes. Imports nothing heavy."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.runtime.timings import read_peak_memory, record_last_digits, record_readings

_LEAST_SECONDS, _LEAST_CALLS, _MOST_CALLS = 0.4, 5, 200


def record_costs(family: str, apply: Callable[[np.ndarray], np.ndarray], artifact: Path, image_size: int) -> None:
    """Adds the speed and the memory of using a model to its readings. artifact: the model's file. apply: see `measure_rate`."""
    rates = {f"images_per_second_{n}": measure_rate(apply, image_size, n) for n in (1, 32)}
    record_readings(family, artifact, rates | {"evaluate_peak_mb": read_peak_memory()})
    record_last_digits(family, artifact)


def measure_rate(apply: Callable[[np.ndarray], np.ndarray], image_size: int, batch_size: int) -> float:
    """Images per second in batches of `batch_size`: the median of calls over 0.4 s or more, after two for warm-up.

    apply: images (n, size, size, 3), 0 to 255, to probabilities.
    """
    images = np.random.default_rng(0).integers(0, 256, (batch_size, image_size, image_size, 3), np.uint8)
    for _ in range(2):
        apply(images)
    readings: list[float] = []
    while len(readings) < _LEAST_CALLS or (sum(readings) < _LEAST_SECONDS and len(readings) < _MOST_CALLS):
        start = time.perf_counter()
        apply(images)
        readings.append(time.perf_counter() - start)
    return round(batch_size / statistics.median(readings), 1)
