"""One point of a sweep that changes only the head: seconds per stage, and whether it is slower after 200 more experiments.

Run: python tests/benchmarks/bench_sweep.py [IMAGES [EXPERIMENTS]]. IMAGES images of CIFAR-10 (default 10,000),
efficientnet_lite0; the first run embeds them, then each point is `dvc exp run -S train.dropout=…`. Between the first and the
last points, `dvc exp save` adds EXPERIMENTS (default 200) more. Goal: less than 25 s per point, and a ratio of 1. Needs
CIFAR-10, which it downloads into the pipeline's cache.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import yaml

from pipeline.runtime.progress import progress_bar
from tests.clone import commit, make_clone, run

FAMILY, ROUNDS = "efficientnet_lite0", 3


def main() -> None:
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    experiments = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    with tempfile.TemporaryDirectory() as name:
        folder = make_project(Path(name), images)
        first = sum(time_point(folder, {}).values())
        before = [time_point(folder, {"train.dropout": 0.1 + k / 100}) for k in range(ROUNDS)]
        for number in progress_bar(range(experiments), desc="save", unit=" experiments"):
            save_experiment(folder, number)
        after = [time_point(folder, {"train.dropout": 0.2 + k / 100}) for k in range(ROUNDS)]
    for part in before[0]:
        print(f"  {part}: {statistics.median(point[part] for point in before):.1f} s")
    early, late = (statistics.median(sum(point.values()) for point in points) for points in (before, after))
    print(
        f"a point that changes only the head, {images:,} images: {early:.1f} s, {first / early:.1f}x faster than the first "
        f"run ({first:.1f} s); after {experiments} more experiments {late:.1f} s, {late / early:.2f}x, {os.cpu_count()} cores"
    )


def make_project(folder: Path, images: int) -> Path:
    """A clone with the first images of each class."""
    project = folder / "project"
    project.mkdir()
    make_clone(project)
    file = project / "params.yaml"
    params = yaml.safe_load(file.read_text())
    params["data"]["source"] = "cifar10"
    params["prune"]["max_images_per_class"] = images // 10
    params["families"] = [FAMILY]
    file.write_text(yaml.safe_dump(params))
    run(["git", "config", "user.name", "bench"], project)
    run(["git", "config", "user.email", "bench@example.invalid"], project)
    commit(project, "settings")
    return project


def time_point(folder: Path, values: dict[str, float]) -> dict[str, float]:
    """Seconds of each stage that an experiment runs, and of DVC before the first and after the last stage."""
    options = [word for name, value in values.items() for word in ("-S", f"{name}={value:g}")]
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONUNBUFFERED": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    seconds, part, start = {}, "dvc, before", time.perf_counter()
    process = subprocess.Popen(
        ["dvc", "exp", "run", *options], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout or []:
        if line.startswith(("Running stage", "Ran experiment")):
            now = time.perf_counter()
            seconds[part] = now - start
            part, start = line.split("'")[1] if line.startswith("Running") else "dvc, after", now
    if process.wait():
        raise SystemExit(f"dvc exp run {' '.join(options)} failed")
    return seconds | {part: time.perf_counter() - start}


def save_experiment(folder: Path, number: int) -> None:
    """Adds an experiment with other parameters, as `dvc exp run` would leave it."""
    file = folder / "params.yaml"
    params = yaml.safe_load(file.read_text())
    params["train"]["l2"] = number / 1e6
    file.write_text(yaml.safe_dump(params))
    run(["dvc", "exp", "save", "--force", "--name", f"saved-{number}"], folder)
    run(["git", "checkout", "--quiet", "params.yaml"], folder)


if __name__ == "__main__":
    main()
