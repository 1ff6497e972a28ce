"""Clock readings: shown to people, and kept out of everything that DVC hashes, as they differ from run to run."""

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.runtime.files import write_aside
from pipeline.runtime.paths import METRICS


@contextmanager
def record_seconds(key: str, family: str, model: Path) -> Iterator[None]:
    """Times a block and adds the reading to metrics/<family>/timings.json, under the digest of the model it belongs to."""
    start = time.perf_counter()
    yield
    record_readings(family, model, {key: round(time.perf_counter() - start, 2)})


def record_readings(family: str, model: Path, readings: dict[str, float]) -> None:
    """Adds readings to those of the model with this file's digest; what was there of another model goes."""
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    content = load_readings(family, digest) | {"model": digest} | readings
    with write_aside(METRICS / family / "timings.json") as partial:
        partial.write_text(json.dumps(content) + "\n")


def load_readings(family: str, digest: str) -> dict[str, float]:
    """Seconds and other readings by key, of the model with this sha256; none of another one, as when DVC has brought back an
    older model."""
    file = METRICS / family / "timings.json"
    try:
        readings = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return {key: value for key, value in readings.items() if key != "model"} if readings.get("model") == digest else {}
