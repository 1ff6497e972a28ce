import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from pipeline.data.embeddings import EmbeddingFacts, EmbeddingWriter, save_facts
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.evaluation.results import load_table
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import EMBEDDINGS
from stages.crossval import crossval, main
from tests.conftest import Project
from tests.tfrecords import make_coloured_split, write_records

SIZE, NAMES = 16, ["red", "green", "blue"]
COUNTS = {"train": 30, "val": 12, "test": 6}
FOLDER = Path("data/crossval")
LINEAR, NETWORK, TRANSFER = "linear_svm", "underfit", "mobilenet_svm"
WEIGHTS = "data/own.weights.h5"
INPUT_SIZE = 32
AUGMENT = {"flip": "both", "rotation": 0.25, "zoom": 0.25, "contrast": 0.0}
# What neither the recipe nor train says.
MORE = dict.fromkeys(("brightness", "shift", "crop", "translate", "erase", "randaugment", "mixup", "cutmix"), 0.0)
NONE = {"flip": "none", "rotation": 0.0, "zoom": 0.0, "contrast": 0.0}


@pytest.fixture(autouse=True)
def _configured(tensorflow, monkeypatch, caplog):  # noqa: ARG001 - the verb does it itself, but only once in a process
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("stages.crossval.configure_tensorflow", lambda **_: None)
    from tests.small_backbone import shrink_mobilenet

    shrink_mobilenet(monkeypatch)


@pytest.fixture
def data(project: Project) -> Project:
    """Images of which most show their class by their colour, and three folds with arbitrary numbers."""
    splits = {name: make_coloured_split(n, SIZE, seed=n) for name, n in COUNTS.items()}
    for _, labels in splits.values():
        labels[::5] = (labels[::5] + 1) % 3
    write_records(class_names=NAMES, **splits)
    project.set(
        families=[LINEAR, NETWORK, TRANSFER],
        preprocess__image_size=SIZE,
        crossval__folds=[7, 3, 11],
        train__epochs=2,
        train__width=None,
        **{f"recipes__{NETWORK}__augment": AUGMENT, f"recipes__{TRANSFER}__input_size": INPUT_SIZE},
    )
    return project


def read_metrics(fold: int, family: str = LINEAR) -> dict[str, Any]:
    return json.loads((FOLDER / family / str(fold) / "metrics.json").read_text())


def read_predictions(fold: int, family: str = LINEAR) -> pd.DataFrame:
    return load_table(FOLDER / family / str(fold) / "predictions.csv")


def list_files() -> list[str]:
    """Everything below data/crossval but for the folders of families."""
    return sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.parent != FOLDER)


def list_families() -> list[str]:
    return sorted(path.name for path in FOLDER.iterdir())


def assert_metrics_follow(metrics: dict[str, Any], predictions: pd.DataFrame) -> None:
    """From the table of predictions, with probabilities of six digits."""
    pair = predictions["label"], predictions["predicted"]
    chances = [row[f"p:{row['label']}"] for row in predictions.to_dict("records")]
    assert metrics["accuracy"] == pytest.approx(np.mean(pair[0] == pair[1]), abs=1e-6)
    assert metrics["macro_f1"] == pytest.approx(f1_score(*pair, average="macro", zero_division=0), abs=1e-6)
    assert metrics["loss"] == pytest.approx(-np.log(np.clip(chances, 1e-7, 1)).mean(), rel=1e-2, abs=1e-5)
    assert metrics["images"] == len(predictions)


@pytest.mark.usefixtures("data")
class TestFolds:
    def test_metrics_follow_from_the_predictions(self):
        crossval(LINEAR, 3)
        metrics, predictions = read_metrics(3), read_predictions(3)
        assert_metrics_follow(metrics, predictions)
        assert 0.5 < metrics["accuracy"] < 1
        assert (metrics["images"], metrics["training_images"], metrics["best_epoch"]) == (14, 28, None)

    def test_a_network_has_a_curve_and_a_best_epoch_and_is_trained_by_its_recipe(self, caplog):
        crossval(NETWORK, 7)
        assert "augment" not in caplog.text  # which crossval.augment leaves on
        metrics = read_metrics(7, NETWORK)
        assert_metrics_follow(metrics, read_predictions(7, NETWORK))
        curves = pd.read_csv(FOLDER / NETWORK / "7" / "curves.csv")
        assert curves[["split", "epoch"]].to_numpy().tolist() == [
            ["train", 1], ["train", 2], ["val", 1], ["val", 2],
        ]  # fmt: skip
        best = curves[(curves["split"] == "val") & (curves["epoch"] == metrics["best_epoch"])]
        assert best["accuracy"].item() == pytest.approx(metrics["accuracy"], abs=1e-5)

    def test_every_image_of_train_and_val_is_predicted_in_one_fold(self):
        for fold in (3, 7, 11):
            crossval(LINEAR, fold)
        names = [image_id for fold in (3, 7, 11) for image_id in read_predictions(fold)["image_id"]]
        assert sorted(names) == sorted(f"{split}-id-{i}" for split in ("train", "val") for i in range(COUNTS[split]))
        assert list_families() == [LINEAR]
        files = ("/curves.csv", "/metrics.json", "/predictions.csv")
        assert list_files() == sorted(f"{LINEAR}/{fold}{file}" for fold in (3, 7, 11) for file in ("", *files))

    def test_the_test_split_takes_no_part(self):
        for file in Path("data/tfrecords").glob("test-*"):
            file.unlink()
        crossval(LINEAR, 3)
        assert (FOLDER / LINEAR / "3" / "metrics.json").exists()

    @pytest.mark.ci
    def test_it_is_reproducible_and_changes_nothing_else_and_another_seed_holds_out_other_images(self, data):
        def read_all() -> dict[Path, bytes]:
            return {path: path.read_bytes() for path in data.folder.rglob("*") if path.is_file()}

        before = read_all()
        crossval(LINEAR, 3)
        first = read_all()
        crossval(LINEAR, 3)
        assert read_all() == first
        held_out = set(read_predictions(3)["image_id"])
        results = data.folder / FOLDER / LINEAR / "3"
        assert {path: content for path, content in first.items() if path.parent != results} == before
        assert Path.cwd() == data.folder
        data.set(crossval__seed=1)
        crossval(LINEAR, 3)
        assert set(read_predictions(3)["image_id"]) != held_out


@pytest.mark.usefixtures("data")
class TestRefusals:
    def refusal(self, family: str, fold: int) -> str:
        with pytest.raises(PipelineError) as caught:
            crossval(family, fold)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def test_an_unknown_fold(self):
        assert self.refusal(LINEAR, 1) == "fold 1 is not in crossval.folds: expected one of 7, 3, 11"
        assert not FOLDER.exists()

    def test_an_unknown_family(self):
        assert "no family is called 'linear'" in self.refusal("linear", 7)

    def test_more_folds_than_a_class_has_images_leave_nothing(self, data):
        data.set(crossval__folds=list(range(20)))
        assert self.refusal(LINEAR, 0).startswith("crossval.folds: there are 20, but class red has ")
        assert not FOLDER.exists()

    def test_a_family_without_features(self):
        assert self.refusal(TRANSFER, 7).endswith(f"expected them from `dvc repro embed@{TRANSFER}`")
        assert list_files() == list_families() == []

    @pytest.mark.ci
    def test_diverging_training_keeps_the_previous_result_only(self, data):
        crossval(LINEAR, 7)
        (FOLDER / LINEAR).rename(FOLDER / NETWORK)  # as if an earlier training had succeeded
        before, metrics = list_files(), read_metrics(7, NETWORK)
        # The rate of the first of four steps is almost 0, so that the first epoch is good.
        data.set(train__schedule__kind="cosine", train__schedule__warmup_epochs=1)
        data.set(train__learning_rate=1e30, train__epochs=4, train__batch_size=64)
        message = self.refusal(NETWORK, 7)
        assert message.startswith(f"{NETWORK}: the loss is no longer a number in epoch ")
        assert message.endswith(
            "lower train.learning_rate"
        )  # the weights that were kept are deleted with the workspace
        assert (list_files(), list_families()) == (before, [NETWORK])
        assert read_metrics(7, NETWORK) == metrics
        assert not Path("models").exists()
        assert Path.cwd() == data.folder

    def test_the_command_line_ends_in_one_line_and_a_status(self, monkeypatch, capsys):
        monkeypatch.setattr(sys, "argv", ["crossval", LINEAR, "1"])
        assert main() == 1
        assert capsys.readouterr().err == "error: fold 1 is not in crossval.folds: expected one of 7, 3, 11\n"

    @pytest.mark.parametrize("arguments", [[LINEAR], [LINEAR, "first"], [LINEAR, "7", "8"]])
    def test_a_command_line_needs_a_family_and_a_number(self, monkeypatch, capsys, arguments):
        monkeypatch.setattr(sys, "argv", ["crossval", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        assert "FAMILY FOLD" in capsys.readouterr().err

    def test_the_accuracy_is_logged_on_stderr(self, monkeypatch, capsys):
        monkeypatch.setattr(sys, "argv", ["crossval", LINEAR, "11"])
        assert main() == 0
        accuracy = read_metrics(11)["accuracy"]
        captured = capsys.readouterr()
        assert captured.err.endswith(f"{LINEAR}, fold 11: accuracy {accuracy:.4f} on 14 images\n")
        assert captured.out == ""


@pytest.mark.ci
def test_crossval_augment_switches_augmentation_off_whatever_recipe_and_train_say(data, caplog):
    data.set(crossval__augment=False, train__augment=AUGMENT, train__epochs=1)
    crossval(NETWORK, 7)
    assert f"augment {NONE | MORE} instead of {AUGMENT | MORE}" in caplog.text


def save_features(weights: str) -> None:
    """Features that show each image's class; those of its augmented view show another one, ten times as strongly."""
    from pipeline.data.batches import load_split
    from pipeline.models.backbones.backbone import compute_weights_digest
    from pipeline.models.backbones.loader import build_backbone

    network = build_backbone("mobilenet", INPUT_SIZE)
    network.save_weights(weights)
    digest = compute_weights_digest(network)
    facts = EmbeddingFacts("mobilenet", "the key", digest, 64, "float32", 1, load_dataset_facts().num_images)
    (EMBEDDINGS / TRANSFER).mkdir(parents=True)
    writer = EmbeddingWriter(EMBEDDINGS / TRANSFER, facts.dtype)
    for split, views in (("train", 2), ("val", 1)):
        _, labels = load_split(split)
        for view in range(views):
            shown = (labels + view) % 3
            features = np.random.default_rng(view).normal(0, 0.01, (len(labels), 64)).astype(np.float32)
            features[np.arange(len(labels)), shown] += 10 if view else 1
            writer.write(split, view, [(features, labels)])
    save_facts(facts, EMBEDDINGS / TRANSFER)


class TestTransfer:
    """The folds of backbones are made of cached features."""

    @pytest.fixture
    def features(self, data):
        """The weights are a file, with a path relative to the project."""
        recipe = f"recipes__{TRANSFER}__"
        data.set(**{f"{recipe}backbone": {"weights": WEIGHTS}, f"{recipe}C": 1.0})
        save_features(WEIGHTS)
        return data

    def test_images_are_classified_by_features_and_views_count_only_with_augmentation(self, features):
        features.set(crossval__augment=False)
        crossval(TRANSFER, 7)
        assert read_metrics(7, TRANSFER)["accuracy"] == 1
        assert_metrics_follow(read_metrics(7, TRANSFER), read_predictions(7, TRANSFER))
        features.set(crossval__augment=True)
        crossval(TRANSFER, 7)
        assert read_metrics(7, TRANSFER)["accuracy"] < 0.5
        assert list_families() == [TRANSFER]
