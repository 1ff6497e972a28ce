"""Stages that are killed by SIGKILL when half of their parts are finished, and run again: seconds, and what is done twice.

Run: python tests/benchmarks/bench_resume.py [IMAGES] [STAGE...]. IMAGES: noisy JPEGs of 512 px, default 4,000; stages: prune,
preprocess, examine, embed. Each runs as DVC runs it, undisturbed, then killed, then again. Target: the same bytes, no finished
part done again, and for both runs together little more than the time of one undisturbed.
"""

import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import yaml
from PIL import Image

from pipeline.runtime.files import remove
from pipeline.runtime.processes import map_in_order
from tests.benchmarks.scenes_project import PROJECT, run_stage

FAMILY, CLASSES, SHARDS, SIDE, STORED = "efficientnet_lite0", 5, 16, 512, 128
_POLL = 0.02  # seconds


@dataclass(frozen=True)
class Victim:
    """outputs: what it writes. parts: what is there of finished ones. goes_on: how its next run says how many it takes over,
    and of what, `unit`. kept: parts that stay in the output as they are."""

    outputs: tuple[str, ...]
    parts: str
    goes_on: str
    unit: str
    kept: str = ""


_EMBEDDED = f"data/embeddings/{FAMILY}"
VICTIMS = {
    "prune": Victim(
        ("data/manifest.csv", "data/quarantine.csv"), "data/inspected.partial/*.npz", r"([\d,]+) files", "files"
    ),
    "preprocess": Victim(
        ("data/tfrecords",), "data/tfrecords.partial/*.counts", r"(\d+) shards", "shards", "data/tfrecords/*.tfrecord"
    ),
    "examine": Victim(("data/examination",), "data/measured.partial/*.tfrecord-*.npz", r"([\d,]+) images", "images"),
    "embed": Victim((_EMBEDDED,), f"{_EMBEDDED}.partial/*-*-*.npy", r"(\d+) rows", "rows", f"{_EMBEDDED}/*-*-*.npy"),
}


def main() -> None:
    words = sys.argv[1:]
    images = int(words.pop(0)) if words[:1] and words[0].isdigit() else 4_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_project(folder, images)
        os.chdir(folder)
        for stage in ("code", "check", "locate", "download"):
            run_stage(stage, folder)
        asked = words or list(VICTIMS)
        for stage in ("prune", "split", "preprocess", "examine", "embed"):
            if stage in asked:
                disturb(stage)
            elif stage in ("prune", "split", "preprocess"):  # what the others need
                run_stage(stage, folder)


def make_project(folder: Path, images: int) -> None:
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    params["data"] |= {"source": "folder", "path": str(folder / "pictures")}
    params["preprocess"] |= {"image_size": STORED, "num_shards": SHARDS}
    params["families"] = [FAMILY]
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    tasks = [(first, folder / "pictures") for first in range(0, images, 50)]
    for _ in map_in_order(save_pictures, tasks):
        pass


def save_pictures(task: tuple[int, Path]) -> None:
    """Fifty clouds of colour with sensor noise, no two alike."""
    first, folder = task
    for index in range(first, first + 50):
        place = folder / f"class{index % CLASSES}"
        place.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(index)
        cloud = Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8)).resize((SIDE, SIDE))
        grain = rng.integers(-14, 15, (SIDE, SIDE, 3), np.int8)  # faster than a normal distribution
        pixels = np.clip(np.asarray(cloud, np.int16) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{index:07d}.jpg", quality=85)


def disturb(stage: str) -> None:
    """Prints what it costs."""
    victim = VICTIMS[stage]
    whole, _ = run(stage)
    expected, files = digest(victim), list_finished(victim)
    clear(victim)
    killed, parts = run_and_kill(stage, max(1, count_parts(stage, files) // 2))
    again, said = run(stage)
    taken = sum(int(number.replace(",", "")) for number in re.findall(rf"goes on: {victim.goes_on}", said))
    same = "same bytes" if digest(victim) == expected else "OTHER BYTES"
    kept = list_finished(victim)
    touched = sum(kept.get(name) != state for name, state in parts.items()) if victim.kept else 0
    print(
        f"{stage}: {whole:.1f} s undisturbed; killed after {killed:.1f} s with {len(parts)} finished parts, "
        f"then {again:.1f} s: {(killed + again) / whole:.2f}x in all; {taken:,} {victim.unit} taken over, "
        f"{touched} finished files written again; {same}",
        flush=True,
    )


def count_parts(stage: str, files: dict[str, tuple[int, int]]) -> int:
    """How many an undisturbed run finishes."""
    if stage == "prune":
        size = sum(file.stat().st_size for file in Path("data/raw").glob("*.tar"))
        return -(-size // (64 << 20))
    return 3 * SHARDS if stage != "embed" else len(files)


def list_finished(victim: Victim) -> dict[str, tuple[int, int]]:
    """Files by name: inode and time of the last change."""
    stats = {file.name: file.stat() for file in Path().glob(victim.kept)} if victim.kept else {}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


def start(stage: str) -> subprocess.Popen[str]:
    """As DVC starts it, in a session of its own."""
    item = f"{stage}@{FAMILY}" if stage == "embed" else stage
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "PATH": path, "DVC_STAGE": f"{Path.cwd()}/dvc.yaml:{item}"}
    command = [sys.executable, "-m", f"stages.{stage}"]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)


def run(stage: str) -> tuple[float, str]:
    """(Seconds, what it says.)"""
    begun = time.perf_counter()
    process = start(stage)
    _, said = process.communicate()
    if process.returncode:
        raise SystemExit(f"{stage} failed: {said[-2000:]}")
    return time.perf_counter() - begun, said


def run_and_kill(stage: str, parts: int) -> tuple[float, dict[str, tuple[int, int]]]:
    """(Seconds until the kill, the files of the parts that were finished then.)"""
    victim, begun = VICTIMS[stage], time.perf_counter()
    process = start(stage)
    while process.poll() is None and len(list(Path().glob(victim.parts))) < parts:
        time.sleep(_POLL)
    if process.poll() is not None:
        raise SystemExit(f"{stage} ended before {parts} parts were seen")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    seconds = time.perf_counter() - begun
    found = {file.name.removesuffix(".counts"): file for file in Path().glob(victim.parts)}
    stats = {name: file.with_name(name).stat() for name, file in found.items()}
    return seconds, {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


def clear(victim: Victim) -> None:
    """As DVC does before a stage runs."""
    for output in victim.outputs:
        remove(Path(output))


def digest(victim: Victim) -> str:
    """Of all files of its outputs and their names."""
    total = hashlib.sha256()
    for output in map(Path, victim.outputs):
        for file in sorted(output.rglob("*")) if output.is_dir() else [output]:
            total.update(f"{file.name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}".encode())
    return total.hexdigest()


if __name__ == "__main__":
    main()
