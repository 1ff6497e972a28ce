"""100,000 scenes through prune, split and preprocess: peak memory, and time an image against a tenth of the images.

Run: python tests/benchmarks/bench_scale.py [IMAGES]. Drawing them takes some minutes. Aim: memory flat, time linear.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.scenes_project import PROJECT, scenes_project

SIZE = 64
STAGES = ("prune", "split", "preprocess")
_CHILD = """
import importlib, resource, sys
getattr(importlib.import_module('stages.' + sys.argv[1]), sys.argv[1])()
print('PEAK', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def measure(stage: str, folder: Path) -> tuple[float, float]:
    """(seconds, peak MB of the stage's own process; workers hold one message each) of one stage."""
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    start = time.perf_counter()
    command = [sys.executable, "-c", _CHILD, stage]
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    _, parent = next(line for line in done.stdout.splitlines() if line.startswith("PEAK")).split()
    return seconds, int(parent) / 1024


def main() -> None:
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    totals = {}
    for count in (images // 10, images):
        with scenes_project(count, SIZE, "download") as folder:
            readings = {stage: measure(stage, folder) for stage in STAGES}
        for stage, (seconds, parent) in readings.items():
            rate, memory = f"{count / seconds:,.0f} images/s", f"peak {parent:.0f} MB"
            print(f"{count:,} images, {stage}: {seconds:.1f} s, {rate}, {memory}")
        totals[count] = sum(seconds for seconds, _ in readings.values()) / count
    print(
        f"time an image at {images:,} images, of that at {images // 10:,}: {totals[images] / totals[images // 10]:.2f}x"
    )


if __name__ == "__main__":
    main()
