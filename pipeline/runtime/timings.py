"""Seconds, rates and memory of a run: shown to people, but kept out of all that DVC hashes, as they vary from run to run."""

import json
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.runtime.files import compute_sha256, write_aside
from pipeline.runtime.last_digits import compute_digest, describe_configured
from pipeline.runtime.paths import METRICS

_LAST_DIGITS = "last_digits"


@contextmanager
def record_seconds(key: str, family: str, model: Path, *, before: Callable[[], float] = lambda: 0.0) -> Iterator[None]:
    """Times a block and adds the seconds to metrics/<family>/timings.json, under the digest of their model. before: asked after
    the block for the seconds that the same work had taken in processes that were killed."""
    start = time.perf_counter()
    yield
    record_readings(family, model, {key: round(before() + time.perf_counter() - start, 2)})


def record_readings(family: str, model: Path, readings: dict[str, float]) -> None:
    """Adds readings to those of the model with this file's digest, and drops those of any other model."""
    digest = compute_sha256(model)
    content = _load(family, digest) | {"model": digest} | readings
    with write_aside(METRICS / family / "timings.json") as partial:
        partial.write_text(json.dumps(content) + "\n")


def record_last_digits(family: str, model: Path) -> None:
    """Adds what decides the last digits in this process, in which TensorFlow was configured, to the readings of a model."""
    said = load_last_digits(family, compute_sha256(model))
    description = describe_configured()
    record_readings(family, model, {})
    file = METRICS / family / "timings.json"
    content = json.loads(file.read_text()) | {_LAST_DIGITS: said | {compute_digest(description): description}}
    with write_aside(file) as partial:
        partial.write_text(json.dumps(content) + "\n")


def load_last_digits(family: str, digest: str) -> dict[str, str]:
    """Digest to description of what decided the last digits where the model with this SHA-256 was trained and evaluated; empty
    if neither was done here."""
    found: dict[str, str] = _load(family, digest).get(_LAST_DIGITS, {})
    return found


def load_readings(family: str, digest: str) -> dict[str, float]:
    """Seconds and other readings by key, of the model with this SHA-256; none if they belong to another model, as after DVC
    has checked out an older one."""
    return {key: value for key, value in _load(family, digest).items() if key not in ("model", _LAST_DIGITS)}


def _load(family: str, digest: str) -> dict[str, Any]:
    file = METRICS / family / "timings.json"
    try:
        readings: dict[str, Any] = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return readings if readings.get("model") == digest else {}


def read_peak_memory() -> float:
    """The most memory that this process has held so far, MB (10^6 bytes)."""
    # Not getrusage where Linux has better: that includes what the parent held when it started this process.
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
    if found:
        return round(int(found[1]) * 1024 / 1e6, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)
