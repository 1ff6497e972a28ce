"""Clock readings: shown to people, and kept out of everything that DVC hashes, as they differ from run to run."""

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

METRICS = Path("metrics")


@contextmanager
def record_seconds(key: str, family: str, model: Path) -> Iterator[None]:
    """Times a block and adds the reading to metrics/<family>/timings.json, under the digest of the model it belongs to."""
    start = time.perf_counter()
    yield
    seconds = round(time.perf_counter() - start, 2)
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    file = METRICS / family / "timings.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    readings = known if known.get("model") == digest else {"model": digest}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(readings | {key: seconds}) + "\n")
