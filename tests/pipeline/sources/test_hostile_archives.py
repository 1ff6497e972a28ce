"""A corpus of archives that do harm, read under limits of memory and time: nothing but one line comes out, nothing is lost."""

import bz2
import gzip
import json
import lzma
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from pipeline.runtime.errors import PipelineError
from pipeline.sources.archive import read_images
from pipeline.sources.raw_image import RawImage
from tests.pipeline.sources.hostile_archives import CORPUS, SETTINGS, Outcome
from tests.pipeline.sources.packing import END_MARK, tar_of, zip_bytes

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, dict[str, Any]]:
    """All archives, read in a process of its own with an upper limit of memory."""
    folder = tmp_path_factory.mktemp("hostile")
    for number, (name, build, _) in enumerate(CORPUS.values()):
        (folder / f"{number:03d}").mkdir()
        (folder / f"{number:03d}" / name).write_bytes(build())
    command = [sys.executable, "-m", "tests.pipeline.sources.hostile_archives", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, env=os.environ)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout)
    return {case: found[f"{number:03d}"] for number, case in enumerate(CORPUS)}


def test_there_are_more_than_sixty():
    assert len(CORPUS) > 60


@pytest.mark.parametrize("case", CORPUS)
def test_reading_gives_what_it_must(results, case):
    expected: Outcome = CORPUS[case][2]
    result = results[case]
    assert result["crash"] == ""
    assert expected.line in result["line"]
    assert bool(result["line"]) == bool(expected.line), result["line"]
    assert "\n" not in result["line"]
    if not expected.line:
        assert (result["used"], result["refused"]) == (expected.used, expected.refused)


def read_or_refuse(file: Path) -> tuple[str, list[RawImage]]:
    """The line of the error or "", and the images."""
    try:
        return "", list(read_images(path=str(file), sha256=None, settings=SETTINGS))
    except PipelineError as error:
        return str(error), []


class TestOneDamagedByte:
    """One byte of a sound archive is changed. Every picture is then right, or refused, or the archive is."""

    FILES: ClassVar[dict[str, bytes]] = {
        f"{label}/{i}.png": np.random.default_rng([i, len(label)]).bytes(300)
        for label in ("cat", "horse")
        for i in range(8)
    }
    PACKERS: ClassVar[dict[str, Callable[[], bytes]]] = {
        "zip": lambda: bytes(zip_bytes(TestOneDamagedByte.FILES)),
        "stored zip": lambda: bytes(zip_bytes(TestOneDamagedByte.FILES, 0)),
        "tar": lambda: tar_of(TestOneDamagedByte.FILES) + END_MARK,
        "tar.gz": lambda: gzip.compress(tar_of(TestOneDamagedByte.FILES) + END_MARK, mtime=0),
        "tar.bz2": lambda: bz2.compress(tar_of(TestOneDamagedByte.FILES) + END_MARK),
        "tar.xz": lambda: lzma.compress(tar_of(TestOneDamagedByte.FILES) + END_MARK),
    }

    @pytest.mark.parametrize("kind", PACKERS)
    def test_in_one_of_ten_archives(self, tmp_path, kind):
        for number in range(10):
            self.check(tmp_path, kind, number)

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", PACKERS)
    def test_in_one_of_two_hundred_archives(self, tmp_path, kind):
        for number in range(200):
            self.check(tmp_path, kind, number)

    def check(self, tmp_path: Path, kind: str, number: int) -> None:
        data = bytearray(self.PACKERS[kind]())
        chance = np.random.default_rng([number, len(data)])
        data[chance.integers(len(data))] ^= int(chance.integers(1, 256))
        (tmp_path / "a").write_bytes(data)
        line, images = read_or_refuse(tmp_path / "a")
        assert "\n" not in line
        if line:
            return
        used = {image.name: image.data for image in images if not image.reason}
        wrong = [name for name, content in used.items() if self.FILES.get(name) != content]
        assert len(images) == len({image.name for image in images}) == len(self.FILES)
        # A plain tar has checksums of headers only: a byte of a picture may be another one.
        assert len(wrong) <= (kind == "tar")
