"""The server and predict, side by side on the same files' bytes: every class, probability, set and reason. `make test-ci`."""

import contextlib
import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from pipeline.data.image import decode_image
from pipeline.models.contract import Contract
from pipeline.sources.scenes.drawing import CLASS_NAMES, draw_scene
from tests.conftest import ROOT, Project
from tests.pipeline.data.hostile import encode, list_bad, list_good
from tests.pipeline.export.contracts import NAMES, make_contract

pytestmark = pytest.mark.ci
for package in ("fastapi", "uvicorn", "httptools", "multipart", "onnx", "tf2onnx", "onnxruntime", "prometheus_client"):
    pytest.importorskip(package)

SIZE, SCENES = 32, 4  # pixels; of each class
FILES = 16  # per request
LAST_DIGIT = 1.01e-6  # of the six that are printed
OTHER_RUNTIME = (
    1e-5  # between TensorFlow and onnxruntime, which add in another order in float32; docs/export.md: up to 7e-6
)


@dataclass
class Sides:
    """files: name to bytes. expected: name to its row of predict --csv."""

    url: str
    files: dict[str, bytes]
    expected: dict[str, dict[str, str]]

    def ask(self, names: list[str]) -> list[dict[str, Any]]:
        form = [("files", (name, self.files[name])) for name in names]
        response = requests.post(f"{self.url}/predict?coverage=0.9", files=form, timeout=240)
        assert response.status_code in (200, 422)
        return response.json()["answers"]


def make_files() -> dict[str, bytes]:
    """The odd and hostile pictures, and drawn scenes as PNG and JPEG."""
    files = dict(list_good()) | {name: data for name, data, _ in list_bad()}
    for label in CLASS_NAMES:
        for index in range(SCENES):
            kind = ("PNG", "JPEG")[index % 2]
            pixels = draw_scene(label, image_size=150, seed=3, index=index)
            files[f"{label}-{index}.{kind.lower()}"] = encode(Image.fromarray(pixels), kind)
    return files


def save_model_and_export(folder: Path, files: dict[str, bytes]) -> Path:
    """A network with random weights, which refuses by distance half of the pictures of its kind; its .keras file, and beside it
    what the server takes."""
    import keras

    from pipeline.evaluation.familiarity import fit_directions, fit_familiarity, measure_distances
    from pipeline.export.contract import make_export_contract, save_contract
    from pipeline.export.onnx_files import save_onnx
    from pipeline.models.artifacts import save_model
    from pipeline.models.build import build_model
    from pipeline.models.joint import make_extractor
    from pipeline.models.layers import unwrap

    keras.utils.set_random_seed(5)
    model = build_model("underfit", image_size=SIZE, num_classes=len(NAMES))
    scenes = [data for name, data in files.items() if name.split("-")[0] in CLASS_NAMES]
    pixels = np.stack([decode_image(data, image_size=SIZE, resize="stretch") for data in scenes]).astype(np.float32)
    features = make_extractor(model)(pixels, training=False).numpy()
    prefer_by_chance(
        [layer for layer in unwrap(model)[1].layers if isinstance(layer, keras.layers.Dense)][-1], features
    )
    directions = fit_directions(features, np.arange(len(features)) % len(NAMES), len(NAMES))
    distances = np.sort(measure_distances(features, directions))
    limit = distances[len(distances) // 2 - 1 : len(distances) // 2 + 1].mean()  # no picture's own
    known = make_contract(
        image_size=SIZE,
        conformal={"images": 99, "scores": [n / 100 for n in range(1, 100)]},
        familiarity=fit_familiarity(np.full(99, limit), directions, by_distance=True).model_dump(),
    ).model_dump(include=set(Contract.model_fields))
    contract = Contract.model_validate(known)
    file = folder / "underfit.keras"
    save_model(model, file, contract=contract)
    (folder / "exported").mkdir()
    exported = make_export_contract(contract, file)
    save_contract(exported, folder / "exported")
    save_onnx(model, folder / "exported/model.onnx", exported)
    return file


def prefer_by_chance(last: Any, features: np.ndarray) -> None:
    """Gives a network's last layer random weights, by which no class is the first of all pictures. features: its inputs."""
    kernel = np.random.default_rng(1).normal(size=(features.shape[1], len(NAMES)))
    kernel *= 3 / (features @ kernel).std(axis=0)
    last.set_weights([kernel, -(features @ kernel).mean(axis=0)])


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[str]:
    """The address of the command itself."""
    command = [sys.executable, "-m", "stages.serve", "--folder", str(folder), "--port", "0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(60) == 0


@pytest.fixture(scope="module")
def sides(tensorflow, tmp_path_factory) -> Iterator[Sides]:  # noqa: ARG001 - must be configured before Keras is imported
    from stages.predict import main

    folder, files = tmp_path_factory.mktemp("sides"), make_files()
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        Project(folder)
        patch.setattr(
            "pipeline.evaluation.answering.configure_tensorflow", lambda **_: None
        )  # it has been configured already
        model = save_model_and_export(folder, files)
        Path("pictures").mkdir()
        for name, data in files.items():
            Path("pictures", name).write_bytes(data)
        with contextlib.redirect_stdout(io.StringIO()) as said:
            names = [f"pictures/{name}" for name in files]
            assert main([*names, "--model", str(model), "--coverage", "0.9", "--csv"]) == 1
        rows = list(csv.DictReader(io.StringIO(said.getvalue())))
        assert len(rows) == len(files)
        with serve(folder / "exported") as url:
            yield Sides(url, files, {Path(row["path"]).name: row for row in rows})


def check(answer: dict[str, Any], row: dict[str, str]) -> None:
    """One answer of the server against the row of predict."""
    name = answer["path"]
    assert answer["family"] == row["family"]
    assert answer.get("error", "") == row["error"], name
    if row["error"]:
        return
    assert [p["label"] for p in answer["predictions"]] == [row[f"class_{n}"] for n in (1, 2, 3)], name
    given = [p["probability"] for p in answer["predictions"]]
    assert given == pytest.approx([float(row[f"probability_{n}"]) for n in (1, 2, 3)], abs=OTHER_RUNTIME, rel=0), name
    assert answer["set"] == json.loads(row["set"]), name
    assert answer["none_of_these"] == (row["none_of_these"] == "yes"), name


def test_every_file_gets_the_answer_of_predict(sides):
    names = list(sides.files)
    for start in range(0, len(names), FILES):
        part = names[start : start + FILES]
        answers = sides.ask(part)
        assert [answer["path"] for answer in answers] == part
        for answer in answers:
            check(answer, sides.expected[answer["path"]])


def test_there_are_answers_of_all_kinds(sides):
    rows = sides.expected.values()
    assert sum(row["error"] == "" for row in rows) > 100
    assert sum(row["error"] != "" for row in rows) > 100
    assert {row["none_of_these"] for row in rows} == {"yes", "no", ""}
    assert len({row["class_1"] for row in rows}) > 2
    assert len({row["set"] for row in rows}) > 3


def test_many_at_once_get_the_answers_of_one_at_a_time(sides):
    """To the last digit that is printed: onnxruntime adds in another order in a batch of another size."""
    names = [name for name, row in sides.expected.items() if not row["error"]][-64:]
    alone = [sides.ask([name])[0] for name in names]
    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(lambda name: sides.ask([name])[0], names))
    for one, other in zip(alone, together, strict=True):
        assert [p["label"] for p in one["predictions"]] == [p["label"] for p in other["predictions"]]
        for first, second in zip(one["predictions"], other["predictions"], strict=True):
            assert first["probability"] == pytest.approx(second["probability"], abs=LAST_DIGIT, rel=0)
        rest = ("path", "family", "set", "none_of_these")
        assert [one[key] for key in rest] == [other[key] for key in rest]
