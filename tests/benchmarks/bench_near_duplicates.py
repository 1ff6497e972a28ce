"""Near copies among 100,000 pictures: time, memory, and how many of the planted copies are found, and how many others.

Run: python tests/benchmarks/bench_near_duplicates.py [IMAGES] [noise | scenes | cifar10]. One picture in five is a changed copy
of another, each kind of change as often. Drawing scenes takes some minutes; soft noise is drawn at once. Prints JSON.
"""

import io
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.config.reader import load_params
from pipeline.data.inspection import Limits, inspect_files
from pipeline.data.near_copies import NearCopies, find_near_copies
from pipeline.data.raw import load_index, save_raw
from pipeline.runtime.processes import in_chunks
from pipeline.sources.loader import load_source
from pipeline.sources.raw_image import RawImage
from tests.planted import CHANGES

SHARE = 5  # one picture in so many is a copy
SIZE = 64  # pixels, each side; CIFAR-10 has 32
_INTERVAL = 0.5  # seconds between two readings of the memory


def draw_noise(count: int) -> Iterator[Image.Image]:
    """Soft blobs of 5 × 5 random colours: any two are alike in nothing but style."""
    for number in range(count):
        blobs = np.random.default_rng(number).integers(0, 256, (5, 5, 3), np.uint8)
        yield Image.fromarray(blobs).resize((SIZE, SIZE), Image.Resampling.BICUBIC)


def load_pictures(source: str, count: int) -> Iterator[Image.Image]:
    if source == "noise":
        yield from draw_noise(count)
        return
    params = load_params(Path(__file__).parents[2] / "params.yaml")
    settings = params.sources[source]
    if source == "scenes":
        settings = settings.model_copy(update={"images_per_class": -(-count // 6), "image_size": SIZE})
    images = load_source(source).read_images(path=None, sha256=None, settings=settings)
    for image, _ in zip(images, range(count), strict=False):
        yield Image.open(io.BytesIO(image.data or b"")).convert("RGB")


def _encode(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _plant(chunk: list[tuple[int, Image.Image]], copies: int) -> list[RawImage]:
    """Each picture, and a copy of it if its number is below `copies`: o/<number>, c/<number>/<kind>."""
    found, kinds = [], list(CHANGES)
    for number, image in chunk:
        found.append(RawImage(f"o/{number}", "o", "", _encode(image)))
        if number < copies:
            kind = kinds[number % len(kinds)]
            changed = CHANGES[kind](image, np.random.default_rng(number))
            found.append(RawImage(f"c/{number}/{kind}", "c", "", _encode(changed)))
    return found


def plant(source: str, count: int) -> Iterator[RawImage]:
    """About `count` pictures, copies included."""
    copies = count // SHARE
    for chunk in in_chunks(enumerate(load_pictures(source, count - copies)), 64):
        yield from _plant(chunk, copies)


class Meter:
    """Peak memory of this process and its workers, sampled."""

    def __enter__(self) -> "Meter":
        self.peak, self.before, self._done = 0.0, self._cpu(), threading.Event()
        self._start = time.perf_counter()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.seconds = time.perf_counter() - self._start
        self.cpu_seconds = self._workers + self._cpu() - self.before

    def _cpu(self) -> float:
        times = psutil.Process().cpu_times()
        return times.user + times.system

    def _watch(self) -> None:
        spent: dict[int, float] = {}
        while not self._done.wait(_INTERVAL):
            total = 0
            me = psutil.Process()
            for process in [me, *me.children(recursive=True)]:
                try:
                    total += process.memory_full_info().uss
                    if process.pid != me.pid:
                        spent[process.pid] = sum(process.cpu_times()[:2])
                except psutil.NoSuchProcess:
                    continue
            self.peak = max(self.peak, total / 1e6)
            self._workers = sum(spent.values())

    _workers = 0.0


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    source = sys.argv[2] if len(sys.argv) > 2 else "noise"
    least = load_params(Path(__file__).parents[2] / "params.yaml").split.near_duplicate
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        save_raw(plant(source, count), {"source": source})
        manifest, _ = inspect_files(load_index(), Limits(8, 128.0, 30.0))
        with Meter() as meter:
            found = find_near_copies(manifest, least)
        os.chdir("/")
    report = {"pictures": len(manifest), "seconds": round(meter.seconds), "cpu_seconds": round(meter.cpu_seconds)}
    print(json.dumps(report | {"peak_mb": round(meter.peak)} | judge(manifest["name"].to_numpy(), found), indent=1))


def judge(names: np.ndarray, found: NearCopies) -> dict[str, object]:
    """Recall by kind of change; pairs that were not planted, per 10,000 pictures and as a fraction of all pairs."""
    number = np.array([int(name.split("/")[1]) for name in names])
    kind = np.array([name.split("/")[2] if name.startswith("c") else "" for name in names])
    planted = number[found.one] == number[found.other]
    hit = np.zeros(number.max() + 1, bool)
    hit[number[found.one[planted]]] = True
    recall = {name: round(float(hit[number[kind == name]].mean()), 4) for name in CHANGES}
    others = int((~planted).sum())
    return {
        "recall": recall,
        "pairs": len(planted),
        "not planted": others,
        "precision": round(1 - others / len(planted), 4),
    }


if __name__ == "__main__":
    main()
