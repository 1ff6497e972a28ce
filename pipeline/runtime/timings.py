"""Seconds, rates and memory of a run: shown to people, but kept out of all that DVC hashes, as they vary from run to run."""

import json
import re
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.runtime.files import compute_sha256, write_aside
from pipeline.runtime.paths import METRICS


@contextmanager
def record_seconds(key: str, family: str, model: Path) -> Iterator[None]:
    """Times a block and adds the seconds to metrics/<family>/timings.json, under the digest of their model."""
    start = time.perf_counter()
    yield
    record_readings(family, model, {key: round(time.perf_counter() - start, 2)})


def record_readings(family: str, model: Path, readings: dict[str, float]) -> None:
    """Adds readings to those of the model with this file's digest, and drops those of any other model."""
    digest = compute_sha256(model)
    content = load_readings(family, digest) | {"model": digest} | readings
    with write_aside(METRICS / family / "timings.json") as partial:
        partial.write_text(json.dumps(content) + "\n")


def load_readings(family: str, digest: str) -> dict[str, float]:
    """Seconds and other readings by key, of the model with this SHA-256; none if they belong to another model, as after DVC
    has checked out an older one."""
    file = METRICS / family / "timings.json"
    try:
        readings = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return {key: value for key, value in readings.items() if key != "model"} if readings.get("model") == digest else {}


def read_peak_memory() -> float:
    """The most memory that this process has held so far, MB (10^6 bytes)."""
    # Not getrusage where Linux has better: that includes what the parent held when it started this process.
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
    if found:
        return round(int(found[1]) * 1024 / 1e6, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)
