import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.export.costs import find_file, load_costs, measure, record_costs, time_calls
from pipeline.models.artifacts import save_model
from pipeline.models.build import build_model
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import compute_sha256
from tests.pipeline.export.contracts import make_contract

SIZE = 32


@pytest.fixture
def artifact(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = Path("models/underfit.keras")
    save_model(build_model("underfit", image_size=SIZE, num_classes=3), file)
    return file


def test_calls_are_timed_after_a_warm_up():
    calls: list[int] = []
    times = time_calls(lambda images: calls.append(len(images)) or images, np.zeros((32, 2, 2, 3)))
    assert set(times) == {"median", "p95"}
    assert len(calls) > 10
    assert set(calls) == {32}


def test_a_process_that_fails_says_why_in_one_line(tmp_path):
    with pytest.raises(PipelineError) as caught:
        measure("onnx", tmp_path / "nowhere", SIZE, 1)
    assert "\n" not in str(caught.value)
    assert "onnx in" in str(caught.value)


def test_without_measurements_there_are_no_costs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_costs("underfit", "0" * 64) == []


@pytest.mark.ci
def test_the_model_and_its_files_are_measured_in_processes_of_their_own(artifact, monkeypatch):
    from pipeline.export.onnx_files import save_onnx

    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("pipeline.export.costs.num_cores", lambda: 1)
    save_onnx(
        build_model("underfit", image_size=SIZE, num_classes=3), Path("model.onnx"), make_contract(image_size=SIZE)
    )
    record_costs("underfit", artifact, Path(), ["onnx"], SIZE)
    keras, onnx = load_costs("underfit", compute_sha256(artifact))
    assert (keras.format, onnx.format, onnx.threads) == ("keras", "onnx", 1)
    assert all(
        value > 0 for cost in (keras, onnx) for value in (cost.load_seconds, cost.median_1, cost.p95_32, cost.peak_mb)
    )
    assert onnx.peak_mb < keras.peak_mb, "no TensorFlow is in it"
    assert json.loads(find_file("underfit").read_text())["model"] == compute_sha256(artifact)
    assert load_costs("underfit", "0" * 64) == []
