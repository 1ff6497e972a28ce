"""Steps of fine-tuning from a cut in a process that keeps the memory that it frees, against one that gives it back.

Run: python tests/benchmarks/bench_freed_memory.py [STEPS]. STEPS (default 50) of 64 images, as in bench_fine_tune.py; each
process takes one epoch before it, which traces. Prints page faults, too.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.config.reader import load_params
from pipeline.runtime.tensorflow import configure_tensorflow
from tests.benchmarks.bench_fine_tune import CUT, prepare, write_data
from tests.benchmarks.pairs import compare
from tests.benchmarks.scenes_project import PROJECT

BATCH = 64
AS_GLIBC_COMES = {"MALLOC_ARENA_TEST": "8"}  # its default: what the user has set is left as it is


def main() -> None:
    if len(sys.argv) > 2:
        print(json.dumps(train(int(sys.argv[1]))))
        return
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    faults: dict[str, int] = {}

    def run(name: str, settings: dict[str, str]) -> float:
        words = [sys.executable, __file__, str(steps), "alone"]
        done = subprocess.run(words, env=os.environ | settings, capture_output=True, text=True, check=True)
        seconds, faults[name] = json.loads(done.stdout.splitlines()[-1])
        return steps / seconds

    compare(
        f"{steps} steps that keep freed memory, against as many that do not",
        lambda: run("kept", {}),
        lambda: run("given back", AS_GLIBC_COMES),
        rounds=3,
        unit="steps/s",
    )
    print("page faults: " + ", ".join(f"{name} {number:,}" for name, number in faults.items()))


def train(steps: int) -> tuple[float, int]:
    """Seconds and page faults of an epoch."""
    configure_tensorflow(**load_params(PROJECT / "params.yaml").runtime.model_dump())
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        write_data(steps * BATCH)
        epoch = prepare(steps * BATCH, CUT, from_cut=True)
        epoch()
        start, before = time.perf_counter(), _count_faults()
        epoch()
        return time.perf_counter() - start, _count_faults() - before


def _count_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


if __name__ == "__main__":
    main()
