"""A project in a temporary folder, with any number of scenes, in which benchmarks run stages."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from pipeline.runtime.processes import map_in_order
from pipeline.sources.scenes.drawing import CLASS_NAMES, draw_scene

PROJECT = Path(__file__).parents[2]


def save_photos(task: tuple[str, int, int, Path]) -> None:
    """Scenes `first` to `first` + 50 of one class as JPEGs with sensor noise: 15 KB at 150 px, like system A's photographs
    (363 MB for 24,335). Without it they would have a third of the size and decode twice as fast."""
    label, first, image_size, folder = task
    (folder / label).mkdir(parents=True, exist_ok=True)
    for index in range(first, first + 50):
        pixels = draw_scene(label, image_size=image_size, seed=1, index=index).astype(np.int16)
        grain = np.random.default_rng(index).normal(0, 12, pixels.shape).astype(np.int16)
        image = Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))
        image.save(folder / label / f"{index:06d}.jpg", quality=95)


@contextmanager
def photos_project(images: int, image_size: int, *stages: str) -> Iterator[Path]:
    """The same with noisy JPEGs in photos/<class>/, read through the folder source."""
    with scenes_project(images, image_size) as folder:
        tasks = [
            (label, i, image_size, folder / "photos") for label in CLASS_NAMES[:5] for i in range(0, images // 5, 50)
        ]
        for _ in map_in_order(save_photos, tasks):
            pass
        params = yaml.safe_load((folder / "params.yaml").read_text())
        params["data"] |= {"source": "folder", "path": str(folder / "photos")}
        params["preprocess"]["image_size"] = image_size
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
        for stage in stages:
            run_stage(stage, folder)
        yield folder


@contextmanager
def scenes_project(images: int, image_size: int, *stages: str) -> Iterator[Path]:
    """Draws about `images` scenes of five classes at `image_size` px and runs `stages` on them; yields the folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        params = yaml.safe_load((PROJECT / "params.yaml").read_text())
        params["sources"]["scenes"] |= {"images_per_class": -(-images // 5), "image_size": image_size}
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
        for stage in stages:
            run_stage(stage, folder)
        here = Path.cwd()
        os.chdir(folder)
        try:
            yield folder
        finally:
            os.chdir(here)


def run_stage(stage: str, folder: Path, *arguments: str) -> float:
    """Runs one stage as DVC does, without output; returns seconds."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "PATH": path}
    command = [sys.executable, "-m", f"stages.{stage}", *arguments]
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start
