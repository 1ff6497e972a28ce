"""What a model costs to use, by the clock of this machine: kept out of everything that DVC hashes. Imports nothing heavy."""

import re
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

_LEAST_SECONDS, _LEAST_CALLS, _MOST_CALLS = 0.4, 5, 200


def measure_rate(apply: Callable[[np.ndarray], np.ndarray], image_size: int, batch_size: int) -> float:
    """Images a second of a model that is given `batch_size` images at a time: the median of calls over 0.4 s or more, after
    two that do not count. apply: images (n, size, size, 3), 0 to 255, to probabilities."""
    images = np.random.default_rng(0).integers(0, 256, (batch_size, image_size, image_size, 3), np.uint8)
    for _ in range(2):
        apply(images)
    readings: list[float] = []
    while len(readings) < _LEAST_CALLS or (sum(readings) < _LEAST_SECONDS and len(readings) < _MOST_CALLS):
        start = time.perf_counter()
        apply(images)
        readings.append(time.perf_counter() - start)
    return round(batch_size / statistics.median(readings), 1)


def read_peak_memory() -> float:
    """The most memory that this process has held so far, MB (10^6 bytes)."""
    # Not getrusage where Linux tells: that counts what the parent held when it started this process.
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
    if found:
        return round(int(found[1]) * 1024 / 1e6, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)
