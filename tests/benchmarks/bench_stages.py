"""Every stage on many small pictures: seconds, processor seconds, peak memory of all its processes, bytes that it writes.

Run: python tests/benchmarks/bench_stages.py [FOLDER] [IMAGES] [--large]

With --large, those up to examine on pictures of 2 to 12 megapixels, which stay where they are. FOLDER (default: a temporary
one) is kept, with the pictures, the project and a line per stage in stages.csv; run again, it goes on after the last stage that
is there. A picture of 32 px takes 4 KB on disk as a file, 2 KB as raw data, 3.3 KB as a TFRecord; a large one 1 to 5 MB.
"""

import argparse
import csv
import io
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import yaml
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.runtime.processes import map_in_order
from tests.benchmarks.scenes_project import PROJECT

SIZE, LARGE_SIZE = 32, 150  # pixels, each side, that models get
CLASSES = 10
FAMILIES = ("linear_svm", "underfit")
STAGES = ("code", "check", "locate", "download", "prune", "split", "preprocess", "examine")
BY_FAMILY = ("embed", "train", "evaluate")
LAST = ("choose", "report")
COLUMNS = ("stage", "images", "seconds", "user", "sys", "peak_mb", "alone", "written_mb")
_AT_A_TIME = 1000  # pictures per task
_COPIES = 10  # of a large picture, which differ by a comment
_INTERVAL = 0.1  # seconds between two readings


def draw_pictures(task: tuple[Path, int]) -> None:
    """1,000 JPEGs of one class, all different: squares of random colours, and stripes that are the class's."""
    folder, first = task
    folder.mkdir(parents=True, exist_ok=True)
    number = int(folder.name.removeprefix("class_"))
    squares = np.random.default_rng([number, first]).integers(40, 216, (_AT_A_TIME, 8, 8, 3), np.uint8)
    angle, (y, x) = np.pi * number / CLASSES, np.mgrid[:SIZE, :SIZE]
    stripes = (20 * np.sin((x * np.cos(angle) + y * np.sin(angle)) * 0.8)).astype(np.int16)[:, :, None]
    for index, colours in enumerate(squares):
        pixels = colours.repeat(SIZE // 8, axis=0).repeat(SIZE // 8, axis=1) + stripes
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{first + index:07d}.jpg", quality=80)


def draw_large(task: tuple[Path, int]) -> None:
    """Ten JPEGs of 2 to 12 megapixels, of soft colours and grain; they decode to the same pixels, and their bytes differ."""
    folder, first = task
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([int(folder.name.removeprefix("class_")), first])
    height = round(float(rng.uniform(2e6, 12e6) / 1.5) ** 0.5)
    soft = Image.fromarray(rng.integers(40, 216, (12, 16, 3), np.uint8)).resize((height * 3 // 2, height))
    pixels = np.asarray(soft).astype(np.int16) + rng.integers(-8, 9, (height, height * 3 // 2, 1), np.int16)
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG", quality=85)
    start, rest = buffer.getvalue()[:2], buffer.getvalue()[2:]
    for number in range(first, first + _COPIES):
        comment = f"{number:07d}".encode()
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        (folder / f"{number:07d}.jpg").write_bytes(start + segment + rest)


def make_project(folder: Path, images: int, large: bool) -> Path:
    """A project that reads FOLDER/pictures, which is drawn unless it is there."""
    pictures, project = folder / "pictures", folder / "project"
    if not (folder / "drawn").exists():
        draw, step = (draw_large, _COPIES) if large else (draw_pictures, _AT_A_TIME)
        each = images // CLASSES
        tasks = [(pictures / f"class_{number}", first) for number in range(CLASSES) for first in range(0, each, step)]
        for _ in map_in_order(draw, iter(tasks)):
            pass
        (folder / "drawn").touch()
    project.mkdir(exist_ok=True)
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    params["data"] |= {"source": "folder", "path": str(pictures), "keep": "reference" if large else "copy"}
    params["sources"]["folder"]["image_size"] = LARGE_SIZE if large else SIZE
    params["families"] = list(FAMILIES)
    params["train"]["epochs"] = 1
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    return project


def measure(name: str, project: Path) -> dict[str, float]:
    """COLUMNS of one stage. alone: the share of the readings at which no more than one of its threads had work."""
    before = _measure_files(project)
    stage, _, family = name.partition("@")
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", f"stages.{stage}", *filter(None, [family])]
    start, peak, alone, readings = time.perf_counter(), 0, 0, 0
    spent: dict[int, tuple[float, float]] = {}
    with (project / f"{name}.log").open("w") as log:
        run = psutil.Popen(command, cwd=project, env=environment, stdout=log, stderr=log)
        # Its own processor time can be read until it is waited for.
        while os.waitid(os.P_PID, run.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            memory, threads = _read_tree(run, spent)
            peak, alone, readings = max(peak, memory), alone + (threads <= 1), readings + 1
            time.sleep(_INTERVAL)
        seconds = time.perf_counter() - start
        _read_times(run, spent)
    if run.wait():
        raise SystemExit(f"{name} failed: see {project / f'{name}.log'}")
    written = sum(size for file, (size, when) in _measure_files(project).items() if before.get(file) != (size, when))
    return {
        "seconds": round(seconds, 1),
        "user": round(sum(user for user, _ in spent.values()), 1),
        "sys": round(sum(system for _, system in spent.values()), 1),
        "peak_mb": round(peak / 1e6),
        "alone": round(alone / max(1, readings), 2),
        "written_mb": round(written / 1e6, 1),
    }


def _read_tree(run: psutil.Process, spent: dict[int, tuple[float, float]]) -> tuple[int, int]:
    """(memory in bytes, a page that several processes share counted once; threads that run or wait for a core or the disk).
    spent: processor seconds by process, user and system, which are brought up to date."""
    memory = threads = 0
    try:
        processes = [run, *run.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0, 0
    for process in processes:
        try:
            _read_times(process, spent)
            memory += process.memory_full_info().pss
            for status in Path(f"/proc/{process.pid}/task").glob("*/stat"):
                threads += status.read_text().rpartition(")")[2].split()[0] in "RD"
        except (psutil.NoSuchProcess, OSError):  # one that has just exited
            continue
    return memory, threads


def _read_times(process: psutil.Process, spent: dict[int, tuple[float, float]]) -> None:
    times = process.cpu_times()
    spent[process.pid] = times.user, times.system


def _measure_files(project: Path) -> dict[Path, tuple[int, int]]:
    found = (file for place in ("data", "metrics", "models") for file in (project / place).rglob("*") if file.is_file())
    return {file: (file.stat().st_size, file.stat().st_mtime_ns) for file in found}


def list_stages(large: bool) -> list[str]:
    if large:
        return list(STAGES)
    return [*STAGES, *(f"{stage}@{family}" for stage in BY_FAMILY for family in FAMILIES), *LAST]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("images", type=int, nargs="?", default=20_000)
    parser.add_argument("--large", action="store_true", help="of megapixels")
    parser.add_argument("--again", nargs="*", default=[], help="stages to run though they are there, as examine")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (arguments.folder or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        project = make_project(folder, arguments.images, arguments.large)
        measure_all(project, folder / "stages.csv", arguments)


def measure_all(project: Path, table: Path, arguments: argparse.Namespace) -> None:
    """A line for each stage in the table and on stdout."""
    there = [row[0] for row in csv.reader(table.open())] if table.exists() else []
    with table.open("a", newline="") as file:
        rows = csv.DictWriter(file, COLUMNS)
        if not there:
            rows.writeheader()
        for name in list_stages(arguments.large):
            if name not in there or name in arguments.again:
                row = {"stage": name, "images": arguments.images, **measure(name, project)}
                rows.writerow(row)
                file.flush()
                print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)


if __name__ == "__main__":
    main()
