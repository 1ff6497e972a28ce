"""Several devices train what one does, but for rounding; two of them are halves of this processor."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.runtime.errors import PipelineError
from tests.conftest import ROOT


@pytest.fixture
def run(tmp_path) -> Callable[..., None]:
    """Runs tests/devices.py in the test's folder."""

    def run(devices: int, *names: str) -> str:
        command = [sys.executable, str(ROOT / "tests/devices.py"), str(devices), *names]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stderr

    return run


def read_weights(folder: Path) -> list[np.ndarray]:
    with np.load(folder / "weights.npz") as content:
        return [content[name] for name in content.files]


def read_curves(folder: Path) -> dict[str, list[float]]:
    files = sorted((folder / "record" / "plots" / "metrics").rglob("*.tsv"))
    return {f"{file.parent.name}/{file.stem}": pd.read_csv(file, sep="\t")[file.stem].tolist() for file in files}


def assert_close(one: Path, other: Path) -> None:
    """And not equal, as sums are of other parts: otherwise nothing was shared."""
    ones, others = read_weights(one), read_weights(other)
    for a, b in zip(ones, others, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4, rtol=1e-3)
    assert any((a != b).any() for a, b in zip(ones, others, strict=True))
    curve = read_curves(one)
    assert {"train/loss", "eval/loss", "train/accuracy", "eval/accuracy"} <= set(curve)
    for name, values in read_curves(other).items():
        np.testing.assert_allclose(values, curve[name], atol=1e-4, rtol=1e-3, err_msg=name)


def read_files(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*.*"))}


@pytest.mark.ci
@pytest.mark.parametrize("name", ["cifar_elu", "vgg_blocks", "taught", "from_cut", "fresh"])
def test_two_devices_train_the_network_of_one(run, tmp_path, name):
    """Batch normalization, dropout, weights of classes, teachers, backbones; and a last batch of one image."""
    run(1, name)
    said = run(2, name)
    assert "runtime.devices 2: no GPU that TensorFlow can use: the processor is 2 devices" in said
    assert_close(tmp_path / f"{name}-1", tmp_path / f"{name}-2")


@pytest.mark.ci
def test_a_killed_training_on_two_devices_goes_on_and_ends_in_the_same_bytes(run, tmp_path):
    """With averaged weights and mixed images."""
    run(1, "resnet_fast")
    run(2, "resnet_fast", "resumed")
    whole, resumed = tmp_path / "resnet_fast-2", tmp_path / "resumed-2"
    assert_close(tmp_path / "resnet_fast-1", whole)
    assert (resumed / "model.keras").read_bytes() == (whole / "model.keras").read_bytes()
    assert read_files(resumed / "record") == read_files(whole / "record")


@pytest.mark.ci
def test_two_trainings_on_three_devices_end_in_the_same_bytes(run, tmp_path):
    run(3, "cifar_elu")
    (tmp_path / "cifar_elu-3").rename(tmp_path / "first")
    run(3, "cifar_elu")
    assert read_files(tmp_path / "cifar_elu-3") == read_files(tmp_path / "first")


@pytest.mark.usefixtures("tensorflow")
class TestMirror:
    def test_a_batch_with_fewer_images_than_devices_is_refused(self, monkeypatch):
        from pipeline.runtime import tensorflow
        from pipeline.training.devices import mirror

        monkeypatch.setattr(tensorflow, "_MODES", [tensorflow.TrainingMode(devices=4)])
        expected = "^runtime.devices: 4 devices share each batch: expected a batch_size of 4 or more, received 3;"
        with pytest.raises(PipelineError, match=expected):
            mirror(None, 3)

    def test_one_device_trains_the_network_itself(self):
        from pipeline.training.devices import mirror

        model = object()
        assert mirror(model, 1) is model


@pytest.mark.usefixtures("tensorflow")
@pytest.mark.parametrize(("total", "devices", "sizes"), [(8, 2, [4, 4]), (10, 4, [2, 3, 2, 3]), (1, 3, [0, 0, 1])])
def test_shares_follow_each_other_and_differ_by_one_image_at_most(total, devices, sizes):
    from pipeline.training.whole_batch import find_rows

    found = [find_rows(total, device, devices) for device in range(devices)]
    assert [end - first for first, end in found] == sizes
    assert [row for first, end in found for row in range(first, end)] == list(range(total))
