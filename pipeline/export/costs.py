"""What using an exported file costs, by this machine's clock: metrics/<family>/export_timings.json, which DVC does not hash.

Each file is measured in a process of its own, without what this project sets for repeatable arithmetic: as a user's program
would run it. Nothing else should run on the machine.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from pipeline.config.types import ExportFormat
from pipeline.export.runners import load_runner
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import compute_sha256, write_aside
from pipeline.runtime.paths import METRICS
from pipeline.runtime.processes import num_cores
from pipeline.runtime.timings import read_peak_memory

Measured: TypeAlias = ExportFormat | Literal["keras"]  # the model's own file, by Keras

BATCHES = (1, 32)
_LEAST_SECONDS, _LEAST_CALLS, _MOST_CALLS = 0.4, 10, 200
_PROGRAM = "from pipeline.export.costs import main; main()"
_OURS = ("TF_", "ONEDNN_", "DNNL_", "OMP_", "OPENBLAS_", "MKL_", "NPY_", "KERAS_")  # variables that change speed


@dataclass(frozen=True)
class Cost:
    """One file with one number of threads. load_seconds: from importing its runtime to the first answer. median, p95:
    milliseconds for a batch of as many images. peak_mb: the most memory that the process held, MB, the runtime included."""

    format: str
    threads: int
    load_seconds: float
    median_1: float
    p95_1: float
    median_32: float
    p95_32: float
    peak_mb: float


def record_costs(family: str, artifact: Path, folder: Path, formats: Sequence[ExportFormat], image_size: int) -> None:
    """Measures the model's own file and the exported ones in `folder`, with one thread and with as many as there are cores."""
    measured: list[Measured] = ["keras", *formats]
    costs = [
        measure(name, artifact if name == "keras" else folder, image_size, threads)
        for name in measured
        for threads in sorted({1, num_cores()})
    ]
    with write_aside(find_file(family)) as partial:
        content = {"model": compute_sha256(artifact), "costs": [asdict(cost) for cost in costs]}
        partial.write_text(json.dumps(content, indent=1) + "\n")


def load_costs(family: str, digest: str) -> list[Cost]:
    """Of the files of the model with this SHA-256; none if they were not measured on this machine."""
    try:
        content = json.loads(find_file(family).read_text())
    except (FileNotFoundError, ValueError):
        return []
    return [Cost(**cost) for cost in content["costs"]] if content["model"] == digest else []


def find_file(family: str) -> Path:
    return METRICS / family / "export_timings.json"


def measure(name: Measured, place: Path, image_size: int, threads: int) -> Cost:
    """In a process of its own. place: the folder of exported files, or the model's file for keras."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(_OURS)}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "PYTHONPATH": os.pathsep.join(sys.path)}
    environment |= {
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": "1",
        "OMP_NUM_THREADS": str(threads),
    }
    command = [sys.executable, "-c", _PROGRAM, name, str(place), str(image_size), str(threads)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1][:200]
        raise PipelineError(f"{name} in {place} can't be measured: {said}; run `dvc repro -f` for this export again")
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """What the process runs: prints a Cost as JSON."""
    name, place, size, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    images = np.random.default_rng(0).integers(0, 256, (max(BATCHES), size, size, 3)).astype(np.float32)
    start = time.perf_counter()
    run = _load_keras(place) if name == "keras" else load_runner(name, place, threads=threads)  # type: ignore[arg-type]
    run(images[:1])
    loaded = time.perf_counter() - start
    readings = {f"{key}_{batch}": value for batch in BATCHES for key, value in time_calls(run, images[:batch]).items()}
    cost = Cost(format=name, threads=threads, load_seconds=round(loaded, 2), peak_mb=read_peak_memory(), **readings)
    print(json.dumps(asdict(cost)))


def _load_keras(file: Path) -> Callable[[np.ndarray], np.ndarray]:
    import keras

    model = keras.models.load_model(file, compile=False)
    return lambda images: np.asarray(model.predict_on_batch(images))


def time_calls(run: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> dict[str, float]:
    """median and p95, milliseconds per call, over 0.4 s or more, after two for warm-up."""
    for _ in range(2):
        run(images)
    readings: list[float] = []
    while len(readings) < _LEAST_CALLS or (sum(readings) < _LEAST_SECONDS and len(readings) < _MOST_CALLS):
        start = time.perf_counter()
        run(images)
        readings.append(1000 * (time.perf_counter() - start))
    return {"median": round(statistics.median(readings), 3), "p95": round(float(np.quantile(readings, 0.95)), 3)}
