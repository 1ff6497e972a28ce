"""A project in a temporary folder, with scenes drawn to order, for benchmarks to run stages in."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

PROJECT = Path(__file__).parents[2]


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


def run_stage(stage: str, folder: Path) -> None:
    """One stage as DVC runs it, quietly."""
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    subprocess.run(
        [sys.executable, "-m", f"stages.{stage}"], cwd=folder, env=environment, check=True, capture_output=True
    )
