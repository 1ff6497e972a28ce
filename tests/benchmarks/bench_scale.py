"""100,000 scenes through prune, split and preprocess: peak memory, and time per image against that of a tenth of the images.

Run: python tests/benchmarks/bench_scale.py [IMAGES]. Drawing them takes some minutes. Target: constant memory, linear time.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.scenes_project import PROJECT, scenes_project

SIZE = 64
STAGES = ("prune", "split", "preprocess")
_INTERVAL = 0.1  # seconds between two readings of the memory


def measure(stage: str, folder: Path) -> tuple[float, float]:
    """(seconds, peak MB) of one stage: the sum of the memory that belongs to its process and workers alone."""
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    start, peak = time.perf_counter(), 0
    command = [sys.executable, "-m", f"stages.{stage}"]
    with psutil.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        while run.poll() is None:
            peak = max(peak, sum(_own_memory(process) for process in [run, *run.children(recursive=True)]))
            time.sleep(_INTERVAL)
    if run.returncode:
        raise SystemExit(f"{stage} failed: run it alone to see why")
    return time.perf_counter() - start, peak / 1e6


def _own_memory(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().uss
    except psutil.NoSuchProcess:  # a worker that has just exited
        return 0


def main() -> None:
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    totals = {}
    for count in (images // 10, images):
        with scenes_project(count, SIZE, "download") as folder:
            readings = {stage: measure(stage, folder) for stage in STAGES}
        for stage, (seconds, peak) in readings.items():
            rate, memory = f"{count / seconds:,.0f} images/s", f"peak {peak:.0f} MB with all workers"
            print(f"{count:,} images, {stage}: {seconds:.1f} s, {rate}, {memory}")
        totals[count] = sum(seconds for seconds, _ in readings.values()) / count
    print(f"time per image, {images:,} against {images // 10:,} images: {totals[images] / totals[images // 10]:.2f}x")


if __name__ == "__main__":
    main()
