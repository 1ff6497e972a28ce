import contextlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.tfrecords import load_dataset_facts
from pipeline.evaluation.results import load_results
from pipeline.evaluation.temperature import apply_temperature, fit_temperature
from pipeline.models.contract import load_contract
from pipeline.runtime.cli import run_family_verb
from pipeline.runtime.files import compute_sha256
from stages.evaluate import evaluate
from stages.train import train
from tests.conftest import Project
from tests.tfrecords import make_coloured_split, write_records

SIZE, NAMES = 16, ["red", "green", "blue"]
COUNTS = {"train": 30, "val": 12, "test": 9}
NETWORK, LINEAR = "underfit", "linear_svm"
AUGMENT = {"flip": "both", "rotation": 0.25, "zoom": 0.25, "contrast": 0.0}


@pytest.fixture(scope="module", autouse=True)
def _configured(tensorflow):  # noqa: ARG001 - the verb does it itself, but only once in a process
    with pytest.MonkeyPatch.context() as patch:
        for verb in ("train", "evaluate"):
            patch.setattr(f"stages.{verb}.configure_tensorflow", lambda **_: None)
        patch.setattr(
            "pipeline.evaluation.latency._LEAST_SECONDS", 0.0
        )  # five calls each; how fast they are is not asserted
        yield


def make_project(folder: Path) -> Project:
    """Images of which most show their class by their colour."""
    project = Project(folder)
    project.set(
        families=[NETWORK, LINEAR],
        preprocess__image_size=SIZE,
        train__epochs=2,
        train__width=None,
        **{f"recipes__{NETWORK}__augment": AUGMENT},
    )
    splits = {name: make_coloured_split(n, SIZE, seed=n) for name, n in COUNTS.items()}
    for _, labels in splits.values():
        labels[::5] = (labels[::5] + 1) % 3
    write_records(folder / "data/tfrecords", class_names=NAMES, **splits)
    return project


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A project with two families trained and evaluated, and two images outside the splits. Not to be changed."""
    folder = tmp_path_factory.mktemp("project")
    project = make_project(folder)
    outside = folder / "data/outside/red"
    outside.mkdir(parents=True)
    Image.new("RGB", (20, 30), (250, 10, 10)).save(outside / "a.png")
    (outside / "b.png").write_bytes(b"no image")
    project.set(evaluate__outside_path="somewhere")
    with contextlib.chdir(folder):
        for family in (NETWORK, LINEAR):
            train(family)
            evaluate(family)
    return folder


@pytest.fixture
def inside(finished, monkeypatch) -> Path:
    monkeypatch.chdir(finished)
    return finished


@pytest.mark.usefixtures("inside")
class TestResults:
    @pytest.mark.parametrize("family", [NETWORK, LINEAR])
    def test_every_test_and_validation_image_is_predicted(self, family):
        results = load_results(family)
        for split, table in (("test", results.predictions), ("val", results.val_predictions)):
            assert sorted(table["image_id"]) == sorted(f"{split}-id-{i}" for i in range(COUNTS[split]))
            hits = table["label"] == table["predicted"]
            assert results.metrics[f"{split}_accuracy"] == pytest.approx(hits.mean(), abs=1e-6)

    def test_predictions_are_those_of_the_saved_model(self):
        from pipeline.models.artifacts import load_model
        from pipeline.models.predictions import predict_split

        _, probabilities = predict_split(load_model(Path(f"models/{NETWORK}.keras")), "test")
        table = load_results(NETWORK).predictions
        np.testing.assert_allclose(table[[f"p:{name}" for name in NAMES]], probabilities, atol=1e-5)

    def test_the_temperature_lies_between_one_and_the_best_on_val(self):
        results = load_results(NETWORK)
        table = results.val_predictions
        labels = table["label"].map({name: number for number, name in enumerate(NAMES)}).to_numpy()
        probabilities = table[[f"p:{name}" for name in NAMES]].to_numpy()

        def loss(temperature: float) -> float:
            return -float(np.log(apply_temperature(probabilities, temperature)[np.arange(len(labels)), labels]).mean())

        found, best = results.metrics["temperature"], min(np.geomspace(0.05, 20, 200), key=loss)
        assert min(1, best) * 0.97 <= found <= max(1, best) * 1.03
        assert loss(best) - 1e-5 <= loss(found) <= loss(1.0) + 1e-5

    @pytest.mark.parametrize("family", [NETWORK, LINEAR])
    def test_the_temperature_is_in_the_model_to_the_last_digit(self, family):
        """As it is of the saved model, though `train` fits it before saving."""
        from pipeline.models.artifacts import load_model
        from pipeline.models.predictions import predict_split

        artifact = Path(f"models/{family}.keras")
        contract = load_contract(artifact)
        assert contract.temperature == fit_temperature(*predict_split(load_model(artifact), "val"))
        assert contract.temperature == load_results(family).metrics["temperature"]
        assert json.loads(Path(f"metrics/{family}/calibration.json").read_text()) == {
            "temperature": contract.temperature,
            "model_sha256": compute_sha256(artifact),
        }

    def test_what_is_refused_is_measured_for_both_scores(self):
        refusals = load_results(NETWORK).refusals
        assert refusals["score"].unique().tolist() == ["distance", "confidence"]
        assert refusals["kind"].unique().tolist() == ["test", "noise", "scrambled", "street"]
        used = refusals.loc[refusals["is_used"], "score"].unique().tolist()
        assert used == [load_results(NETWORK).contract.familiarity.score]
        assert refusals["refused"].between(0, 1).all()
        assert refusals["auroc"].isna().eq(refusals["kind"] == "test").all()

    @pytest.mark.parametrize("family", [NETWORK, LINEAR])
    def test_the_contract_goes_with_the_results(self, family):
        contract = load_results(family).contract
        assert contract == load_contract(Path(f"models/{family}.keras"))
        assert (contract.family, contract.class_names, contract.image_size) == (family, NAMES, SIZE)

    def test_metrics_describe_the_model_and_its_best_epoch(self):
        metrics, linear = load_results(NETWORK).metrics, load_results(LINEAR).metrics
        assert (
            metrics["parameters"] == metrics["trainable_parameters"] == load_results(NETWORK).layers["parameters"].sum()
        )
        assert metrics["model_bytes"] == Path(f"models/{NETWORK}.keras").stat().st_size
        assert metrics["best_epoch"] in (1, 2)
        assert linear["best_epoch"] is None

    def test_the_tables_agree_with_the_predictions(self):
        results = load_results(NETWORK)
        pairs = results.predictions.groupby(["label", "predicted"]).size()
        for row in results.confusion.to_dict("records"):
            assert row["images"] == pairs.get((row["label"], row["predicted"]), 0)
        assert results.classes["support"].sum() == results.reliability.groupby("state")["images"].sum()["after"] == 9
        assert results.classes_train["support"].sum() == load_dataset_facts().num_images["train"]
        recall, images = results.classes_train["recall"], results.classes_train["support"]
        assert (recall * images).sum() / images.sum() == pytest.approx(results.metrics["train_accuracy"], abs=1e-5)
        assert set(results.roc["label"]) == set(results.pr["label"]) == {*NAMES, ""}

    def test_images_outside_the_splits_are_judged(self):
        good, bad = load_results(NETWORK).outside.to_dict("records")
        assert (good["name"], good["label"], good["reason"]) == ("red/a.png", "red", "")
        assert good["predicted"] in NAMES
        assert good["distance"] > 0
        assert (bad["name"], bad["predicted"]) == ("red/b.png", "")
        assert bad["reason"]

    def test_heat_maps_and_samples_are_those_of_the_family(self):
        network, linear = load_results(NETWORK), load_results(LINEAR)
        mistakes = int((network.predictions["label"] != network.predictions["predicted"]).sum())
        assert len(network.heat_maps) == mistakes > 0
        assert network.augmented.shape == (5, 1 + 4, SIZE, SIZE, 3)
        assert len(linear.heat_maps) == len(linear.augmented) == 0

    def test_speed_and_memory_are_recorded_apart_from_the_metrics(self):
        readings = json.loads(Path(f"metrics/{NETWORK}/timings.json").read_text())
        assert {"images_per_second_1", "images_per_second_32", "evaluate_peak_mb", "evaluate_test_seconds"} <= set(
            readings
        )
        assert not set(readings) & set(load_results(NETWORK).metrics)

    def test_it_is_reproducible(self, inside):
        def read() -> dict[str, bytes]:
            folder = inside / "data/evaluations" / NETWORK
            return {file.name: file.read_bytes() for file in folder.iterdir()}

        before = read()
        evaluate(NETWORK)
        assert read() == before


def test_without_a_path_no_image_outside_the_splits_is_judged(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_project(tmp_path).set(evaluate__outside_path=None)
    shutil.copytree(finished / "models", "models")
    shutil.copytree(finished / "metrics", "metrics")
    evaluate(LINEAR)
    outside = load_results(LINEAR).outside
    assert outside.empty
    assert outside.columns.tolist() == load_results(LINEAR, finished / "data/evaluations").outside.columns.tolist()


class TestRefusals:
    def refusal(self, monkeypatch, capsys, family: str) -> str:
        monkeypatch.setattr(sys, "argv", ["evaluate", family])
        with pytest.raises(SystemExit) as ended:
            run_family_verb(evaluate, "Evaluates.")
        captured = capsys.readouterr()
        assert (ended.value.code, captured.out, captured.err.count("\n")) == (1, "", 1)
        return captured.err

    def test_a_missing_model(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        make_project(tmp_path)
        message = self.refusal(monkeypatch, capsys, NETWORK)
        assert message.startswith(f"error: models/{NETWORK}.keras is not here")
        assert f"dvc repro train@{NETWORK}" in message
        assert not Path("data/evaluations").exists()

    def test_a_missing_record_of_training(self, finished, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        make_project(tmp_path)
        (tmp_path / "models").symlink_to(finished / "models")
        assert f"metrics/{NETWORK}/train/metrics.json is not here" in self.refusal(monkeypatch, capsys, NETWORK)
        assert not Path("data/evaluations").exists()

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"digest": "other"}, "other pictures, labels or splits than data/tfrecords has"),
            ({"class_names": ["red", "green", "violet"]}, "other classes than data/tfrecords has"),
            ({"image_size": 32}, f"images of {SIZE} px"),
        ],
    )
    def test_a_model_of_other_data(self, finished, tmp_path, monkeypatch, capsys, changes, words):
        monkeypatch.chdir(tmp_path)
        make_project(tmp_path)
        (tmp_path / "models").symlink_to(finished / "models")
        facts = Path("data/tfrecords/dataset.json")
        facts.write_text(json.dumps(json.loads(facts.read_text()) | changes))
        message = self.refusal(monkeypatch, capsys, NETWORK)
        assert message.startswith(f"error: models/{NETWORK}.keras was trained on {words}")
        assert f"dvc repro train@{NETWORK}" in message
        assert not Path("data/evaluations").exists()

    def test_a_model_with_other_settings(self, finished, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        make_project(tmp_path).set(train__epochs=3)
        (tmp_path / "models").symlink_to(finished / "models")
        assert "trained with other settings than params.yaml has" in self.refusal(monkeypatch, capsys, NETWORK)

    @pytest.mark.usefixtures("inside")
    def test_an_unknown_family(self, monkeypatch, capsys):
        assert "did you mean underfit" in self.refusal(monkeypatch, capsys, "undrfit")
