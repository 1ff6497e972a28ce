import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from pipeline.config.families import FAMILIES
from pipeline.config.reader import load_params
from pipeline.config.recipe_sections import Recipe
from pipeline.config.recipes import resolve_recipe
from pipeline.data.tfrecords import DatasetFacts
from pipeline.runtime.errors import PipelineError
from tests.conftest import ROOT
from tests.tfrecords import make_coloured_split, write_records

pytestmark = pytest.mark.usefixtures("tensorflow")

SIZE, NAMES = 16, ["red", "green", "blue"]
RECIPE: dict[str, Any] = {
    "backbone": None,
    "input_size": None,
    "epochs": 2,
    "batch_size": 8,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "dropout": 0.0,
    "l2": 0.0,
    "width": 1.0,
    "head_units": 0,
    "augment": {"flip": "none", "rotation": 0.0, "zoom": 0.0, "contrast": 0.0},
    "early_stopping": {"monitor": "val_accuracy", "patience": None, "restore": "best"},
    "reduce_lr": {"monitor": "val_loss", "factor": 0.5, "patience": None, "min_lr": 0.0, "min_delta": 0.0},
    "schedule": {"kind": "constant", "hold_epochs": 0, "decay": 0.0, "warmup_epochs": 0, "step_decay": 0.0},
    "class_weight": "none",
}
LEARN: dict[str, Any] = {"epochs": 4}
MISLED: dict[str, Any] = {
    "epochs": 6,
    "early_stopping": {"monitor": "val_loss", "patience": None, "restore": "best"},
    "reduce_lr": {"monitor": "val_loss", "factor": 0.1, "patience": 1, "min_lr": 0.0005, "min_delta": 0.0},
}


def make_recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate(RECIPE | changes)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_easy() -> None:
    """Images that show their class by their colour."""
    write_records(class_names=NAMES, train=make_coloured_split(48, SIZE), val=make_coloured_split(12, SIZE, seed=1))


def write_misleading() -> None:
    """The longer a network learns from the training images, the worse it is on the validation images."""
    images, labels = make_coloured_split(12, SIZE, seed=1)
    write_records(class_names=NAMES, train=make_coloured_split(48, SIZE), val=(images, (labels + 1) % 3))


@pytest.fixture
def easy(folder) -> Path:
    write_easy()
    return folder


@pytest.fixture
def misleading(folder) -> Path:
    write_misleading()
    return folder


def train(
    folder: Path,
    *,
    seed: int = 1,
    cache_gb: float = 1.0,
    record: str = "record",
    watch: Callable[[int, float], None] | None = None,
    lesson: Any = None,
    family: str = "underfit",
    **changes: Any,
):
    from pipeline.runtime.tensorflow import seed_everything
    from pipeline.training.network import train_network

    seed_everything(seed)
    return train_network(
        family,
        make_recipe(**changes),
        seed=seed,
        cache_gb=cache_gb,
        shuffle_buffer=16,
        record=folder / record,
        watch=watch,
        lesson=lesson,
    )


def curve(folder: Path, name: str, record: str = "record") -> list[float]:
    """A metric by epoch: name is, say, train/loss."""
    file = folder / record / "plots" / "metrics" / f"{name}.tsv"
    return pd.read_csv(file, sep="\t")[name.rpartition("/")[2]].tolist()


def best(folder: Path) -> dict[str, float]:
    return json.loads((folder / "record" / "metrics.json").read_text())["best"]


def predict(model) -> tuple[np.ndarray, np.ndarray]:
    from pipeline.models.predictions import predict_split

    return predict_split(model, "val")


def measure_loss(model) -> float:
    labels, probabilities = predict(model)
    return float(-np.log(probabilities[np.arange(len(labels)), labels]).mean())


def measure_accuracy(model) -> float:
    labels, probabilities = predict(model)
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def weights_of(model) -> list[np.ndarray]:
    return [np.asarray(weights) for weights in model.get_weights()]


def are_identical(model, other) -> bool:
    return all((a == b).all() for a, b in zip(weights_of(model), weights_of(other), strict=True))


@dataclass(frozen=True)
class Run:
    """What training leaves: the model, the folder in which it ran, and the calls of watch."""

    model: Any
    folder: Path
    heard: list[tuple[int, float]]


def write_earlier_record(folder: Path) -> None:
    """Of an earlier training, of more epochs and other metrics."""
    plots = folder / "record/plots/metrics/train"
    plots.mkdir(parents=True)
    (plots / "earlier.tsv").write_text("step\tearlier\n0\t0.01\n")
    (plots / "loss.tsv").write_text("".join(["step\tloss\n", *(f"{step}\t1\n" for step in range(99))]))
    (folder / "record/metrics.json").write_text('{"step": 1}')


@pytest.fixture(scope="module")
def run_once(tensorflow, tmp_path_factory) -> Callable[..., Run]:  # noqa: ARG001 - must be configured before training
    """Trains in a folder with an earlier record, whose TFRecords `write` writes."""

    def run(write: Callable[[], None], **settings: Any) -> Run:
        folder, heard = tmp_path_factory.mktemp("run"), []
        write_earlier_record(folder)
        with contextlib.chdir(folder):
            write()
            model = train(folder, watch=lambda step, accuracy: heard.append((step, accuracy)), **settings)
        return Run(model, folder, heard)

    return run


@pytest.fixture(scope="module")
def learnt(run_once) -> Run:
    """Four epochs on an easy problem, watched. Not to be changed."""
    return run_once(write_easy, **LEARN)


@pytest.fixture(scope="module")
def misled(run_once) -> Run:
    """Training whose best epoch is not the last; after 4 epochs it stops improving. Not to be changed."""
    return run_once(write_misleading, **MISLED)


@pytest.fixture(scope="module")
def unrestored(run_once) -> Run:
    """The same training, which ends early and of which the last epoch is kept. Not to be changed."""
    settings = MISLED | {"early_stopping": MISLED["early_stopping"] | {"patience": 2, "restore": "last"}}
    return run_once(write_misleading, **settings)


class TestLearning:
    @pytest.mark.usefixtures("easy")
    def test_the_loss_falls_on_an_easy_problem(self, learnt):
        losses = curve(learnt.folder, "train/loss")
        assert losses[-1] < losses[0]
        assert measure_accuracy(learnt.model) > 0.6

    @pytest.mark.ci
    @pytest.mark.parametrize(
        "changes",
        [
            {"augment": {"flip": "both", "rotation": 0.1, "zoom": 0.1, "contrast": 0.1}},
            {"batch_size": 1000, "dropout": 0.3, "l2": 0.01, "width": 2.0, "class_weight": "balanced"},
        ],
    )
    def test_a_split_larger_than_memory_is_streamed(self, easy, changes):
        from pipeline.models.build import build_model

        model = train(easy, cache_gb=0.0, epochs=1, **changes)
        assert np.isfinite(curve(easy, "train/loss")).all()
        expected = build_model("underfit", image_size=SIZE, num_classes=3, width=changes.get("width", 1.0))
        assert model.count_params() == expected.count_params()

    def test_the_model_is_returned_uncompiled(self, learnt):
        assert not learnt.model.compiled

    def test_a_network_that_learns_its_normalization_answers_as_it_will_from_its_file(self, easy):
        from pipeline.models.artifacts import load_model, save_model

        model = train(easy, family="vgg_blocks", epochs=1)
        save_model(model, easy / "model.keras")
        np.testing.assert_array_equal(predict(model)[1], predict(load_model(easy / "model.keras"))[1])
        assert measure_loss(model) == pytest.approx(best(easy)["val_loss"], rel=1e-3)

    def test_a_loss_that_is_not_finite_ends_in_one_line(self, easy):
        with pytest.raises(PipelineError, match=r"^underfit: the loss is no longer a number") as caught:
            train(easy, learning_rate=1e30)
        assert "1e+30" in str(caught.value)
        assert "lower train.learning_rate" in str(caught.value)
        assert "\n" not in str(caught.value)


class TestBestEpoch:
    @pytest.mark.usefixtures("misleading")
    def test_its_weights_are_the_ones_returned(self, misled):
        losses = curve(misled.folder, "eval/loss")
        assert min(losses) < losses[-1]
        assert measure_loss(misled.model) == pytest.approx(min(losses), rel=1e-3)

    def test_it_is_in_the_record_with_its_metrics(self, misled):
        names = {"loss": "train/loss", "accuracy": "train/accuracy", "val_loss": "eval/loss"}
        row = int(best(misled.folder)["epoch"]) - 1
        assert curve(misled.folder, "eval/loss")[row] == min(curve(misled.folder, "eval/loss"))
        for key, name in names.items():
            assert best(misled.folder)[key] == pytest.approx(curve(misled.folder, name)[row], rel=1e-6)

    @pytest.mark.usefixtures("easy")
    def test_the_monitor_determines_it(self, learnt):
        accuracies = curve(learnt.folder, "eval/accuracy")
        assert measure_accuracy(learnt.model) == pytest.approx(max(accuracies), abs=1e-6)
        assert best(learnt.folder)["val_accuracy"] == pytest.approx(max(accuracies), abs=1e-6)

    def test_patience_ends_training_early_and_the_calls_of_watch(self, misleading):
        heard: list[int] = []
        settings = {"epochs": 9, "early_stopping": {"monitor": "val_loss", "patience": 1, "restore": "best"}}
        train(misleading, watch=lambda step, _: heard.append(step), **settings)
        losses = curve(misleading, "eval/loss")
        assert len(losses) < 9
        assert losses[-1] > min(losses)
        assert heard == list(range(len(losses)))

    def test_without_patience_all_epochs_run(self, misled):
        assert len(curve(misled.folder, "eval/loss")) == MISLED["epochs"]

    def test_a_plateau_lowers_the_learning_rate_to_its_floor(self, misled):
        rates = curve(misled.folder, "train/learning_rate")
        assert rates[0] == pytest.approx(0.01)
        assert rates[-1] == pytest.approx(0.0005)


class TestGivingUp:
    """early_stopping.give_up_below."""

    def test_a_curve_that_promises_too_little_ends_training_and_is_in_the_record(self, misleading):
        settings = {"epochs": 20, "early_stopping": MISLED["early_stopping"] | {"give_up_below": 0.99}}
        train(misleading, **settings)
        accuracies = curve(misleading, "eval/accuracy")
        said = json.loads((misleading / "record" / "metrics.json").read_text())["given_up"]
        assert max(accuracies) <= said["highest"] < 0.99
        assert said["epoch"] == len(accuracies) < said["epochs"] == 20
        assert best(misleading)["epoch"] <= said["epoch"]

    def test_without_a_bar_nothing_is_said(self, misled):
        assert "given_up" not in json.loads((misled.folder / "record" / "metrics.json").read_text())


class TestLastEpoch:
    """early_stopping.restore: last, as studies without a callback had it."""

    @pytest.mark.usefixtures("misleading")
    def test_its_weights_are_the_ones_returned(self, unrestored):
        losses = curve(unrestored.folder, "eval/loss")
        assert min(losses) < losses[-1]
        assert measure_loss(unrestored.model) == pytest.approx(losses[-1], rel=1e-3)

    def test_it_is_in_the_record(self, unrestored):
        assert best(unrestored.folder)["epoch"] == len(curve(unrestored.folder, "eval/loss"))
        assert best(unrestored.folder)["val_loss"] == pytest.approx(curve(unrestored.folder, "eval/loss")[-1], rel=1e-6)

    def test_training_itself_is_the_same_and_patience_still_ends_it(self, unrestored, misled):
        losses = curve(unrestored.folder, "eval/loss")
        assert losses == curve(misled.folder, "eval/loss")[: len(losses)]
        assert len(losses) < MISLED["epochs"]


class TestRecord:
    def test_it_has_one_row_per_epoch(self, learnt):
        for name in ("train/loss", "train/accuracy", "eval/loss", "eval/accuracy"):
            assert len(curve(learnt.folder, name)) == LEARN["epochs"]

    def test_accuracy_is_a_fraction(self, learnt):
        accuracies = curve(learnt.folder, "train/accuracy") + curve(learnt.folder, "eval/accuracy")
        assert all(0 <= value <= 1 for value in accuracies)

    def test_an_earlier_record_is_replaced(self, learnt):
        assert len(curve(learnt.folder, "train/loss")) == LEARN["epochs"]
        assert not list((learnt.folder / "record").rglob("earlier*"))

    def test_the_last_epochs_metrics_are_beside_the_best_ones(self, learnt):
        last = json.loads((learnt.folder / "record/metrics.json").read_text())
        assert last["train"]["loss"] == pytest.approx(curve(learnt.folder, "train/loss")[-1])
        assert last["eval"]["accuracy"] == pytest.approx(curve(learnt.folder, "eval/accuracy")[-1])

    def test_nothing_is_written_beside_it(self, learnt):
        assert sorted(path.name for path in learnt.folder.iterdir()) == ["data", "record"]


def read_record(folder: Path, name: str) -> dict[str, bytes]:
    files = [path for path in (folder / name).rglob("*") if path.is_file()]
    return {path.relative_to(folder / name).as_posix(): path.read_bytes() for path in files}


class TestSeeds:
    CHANGES: ClassVar = {"dropout": 0.3, "augment": {"flip": "both", "rotation": 0.1, "zoom": 0.1, "contrast": 0.1}}

    @pytest.mark.ci
    def test_one_seed_gives_the_same_weights_and_record_to_the_bit_and_another_seed_others(self, easy):
        """Watched or not."""
        first, again, other = (
            train(easy, seed=seed, record=f"run {run}", watch=watch, **self.CHANGES)
            for run, (seed, watch) in enumerate(((1, None), (1, lambda *_: None), (2, None)))
        )
        assert are_identical(first, again)
        assert not are_identical(first, other)
        assert read_record(easy, "run 0") == read_record(easy, "run 1")
        assert read_record(easy, "run 0").keys() >= {"metrics.json", "plots/metrics/train/loss.tsv"}


class TestSoftLabels:
    """Smoothing, mixed images, averaged weights: what they change, and what stays comparable."""

    def test_labels_are_smoothed_in_training_and_not_in_validation(self, easy):
        from pipeline.data.tfrecords import load_dataset_facts
        from pipeline.training.network import make_fit_data
        from pipeline.training.soft_labels import soften_labels

        recipe = make_recipe(label_smoothing=0.3, augment=RECIPE["augment"] | {"mixup": 0.4, "cutmix": 1.0})
        facts = load_dataset_facts()
        data = soften_labels(make_fit_data(recipe, facts, seed=1, cache_gb=1.0, shuffle_buffer=16), 3, recipe)
        _, labels = next(data.batches.as_numpy_iterator())
        np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)
        assert labels.min() >= 0.1 - 1e-6
        assert labels.max() <= 0.8 + 1e-6
        assert len(np.unique(labels.round(4))) > 3, "mixed"
        _, labels = next(data.validation.as_numpy_iterator())
        assert set(np.unique(labels)) == {0.0, 1.0}
        assert easy.exists()

    @pytest.mark.ci
    @pytest.mark.parametrize(
        "changes",
        [
            {"label_smoothing": 0.2},
            {"augment": RECIPE["augment"] | {"mixup": 0.2, "cutmix": 1.0}},
            {"ema": 0.5},
            {"optimizer": "nesterov", "weight_decay": 0.1},
        ],
    )
    def test_each_trains_another_network_whose_metrics_are_still_accuracy_and_loss(self, easy, changes):
        settings: dict[str, Any] = {"epochs": 1, "optimizer": "sgd"}
        plain, changed = train(easy, record="plain", **settings), train(easy, **settings | changes)
        assert not are_identical(plain, changed)
        assert measure_loss(changed) == pytest.approx(curve(easy, "eval/loss")[-1], rel=1e-3)
        assert measure_accuracy(changed) == pytest.approx(curve(easy, "eval/accuracy")[-1], abs=1e-6)

    def test_classes_count_by_their_weights_here_too(self, easy):
        train(easy, epochs=1, label_smoothing=0.1, class_weight="balanced")
        assert np.isfinite(curve(easy, "train/loss")).all()


@pytest.mark.ci
def test_resnet_fast_whitens_by_its_training_images_and_learns(easy):
    from pipeline.data.batches import load_split
    from pipeline.models.scratch.whitening import compute_whitening
    from pipeline.runtime.tensorflow import seed_everything
    from pipeline.training.network import train_network

    seed_everything(1)
    recipe = make_recipe(epochs=4, width=0.1, optimizer="nesterov", learning_rate=0.05, label_smoothing=0.2)
    model = train_network("resnet_fast", recipe, seed=1, cache_gb=1.0, shuffle_buffer=16, record=easy / "record")
    weights, _ = compute_whitening(load_split("train")[0], size=2, step=1, directions=12)
    kept = model.get_layer("whitening").get_weights()[0][..., :12].reshape(12, 12)
    np.testing.assert_array_equal(kept, weights)
    assert measure_accuracy(model) > 0.6


@pytest.mark.ci
@pytest.mark.parametrize(
    ("mode", "changes"),
    [
        ({"precision": "mixed_float16"}, {"ema": 0.9, "label_smoothing": 0.1}),  # the loss is scaled
        ({"xla": True}, {}),
    ],
)
def test_other_arithmetic_learns_too_and_leaves_a_model_in_float32(easy, monkeypatch, mode, changes):
    from pipeline.runtime import tensorflow

    monkeypatch.setattr(tensorflow, "_MODES", [tensorflow.TrainingMode(**mode)])
    model = train(easy, **LEARN, **changes)
    losses = curve(easy, "train/loss")
    assert losses[-1] < losses[0]
    assert {layer.dtype_policy.name for layer in model._flatten_layers()} == {"float32"}
    monkeypatch.setattr(tensorflow, "_MODES", [])
    plain = train(easy, record="plain", **LEARN, **changes)
    assert any((ours != theirs).any() for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True))
    # With 16 bits, the first steps are left out until the loss is scaled so that gradients are finite.
    assert losses[-1] == pytest.approx(curve(easy, "train/loss", "plain")[-1], rel=0.3)


class TestClassWeight:
    @pytest.mark.ci
    def test_it_changes_training_on_classes_of_different_sizes(self, folder):
        images, labels = make_coloured_split(60, SIZE)
        kept = (labels != 2) | (np.arange(60) < 6)
        write_records(class_names=NAMES, train=(images[kept], labels[kept]), val=make_coloured_split(12, SIZE, seed=1))
        plain = train(folder, epochs=1, record="plain")
        balanced = train(folder, epochs=1, record="balanced", class_weight="balanced")
        assert not are_identical(plain, balanced)


class TestNormalization:
    def test_it_has_the_training_images_mean_and_deviation(self):
        from pipeline.models.build import build_model
        from pipeline.training.network import adapt_normalization

        images = make_coloured_split(48, SIZE)[0].astype(np.float64)
        mean, std = images.mean(axis=(0, 1, 2)), images.std(axis=(0, 1, 2))
        model = build_model("vgg_blocks", image_size=SIZE, num_classes=3)
        adapt_normalization(model, mean.tolist(), std.tolist())
        layer = next(layer for layer in model.layers if type(layer).__name__ == "Normalization")
        values = np.asarray(layer(images.astype(np.float32)))
        np.testing.assert_allclose(values.mean(axis=(0, 1, 2)), 0, atol=1e-3)
        np.testing.assert_allclose(values.std(axis=(0, 1, 2)), 1, atol=1e-3)


@pytest.mark.ci
class TestInputSize:
    def test_the_model_resizes_images_to_the_recipes_size(self, easy):
        model = train(easy, epochs=1, input_size=32)
        assert model.input_shape == (None, SIZE, SIZE, 3)
        assert np.isfinite(measure_loss(model))


class EnoughError(Exception):
    """Raised by watch."""


@pytest.mark.ci
class TestWatch:
    """It is called after each epoch, and can end training."""

    def test_it_receives_every_epochs_number_and_validation_accuracy(self, learnt):
        assert [step for step, _ in learnt.heard] == list(range(LEARN["epochs"]))
        accuracies = [accuracy for _, accuracy in learnt.heard]
        assert accuracies == pytest.approx(curve(learnt.folder, "eval/accuracy"), abs=1e-6)

    def test_an_exception_that_it_raises_ends_training(self, easy):
        heard: list[int] = []

        def watch(step: int, _: float) -> None:
            heard.append(step)
            if step == 1:
                raise EnoughError

        with pytest.raises(EnoughError):
            train(easy, epochs=4, watch=watch)
        assert heard == [0, 1]
        assert len(curve(easy, "train/loss")) == 2


class TestCount:
    FACTS = DatasetFacts(NAMES, {}, {}, image_size=32, resize="stretch", channel_mean=[], channel_std=[])

    @pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if family.kind == "network"])
    def test_they_are_those_of_the_model_that_would_be_built(self, family):
        from pipeline.models.build import build_model
        from pipeline.training.network import count_parameters, make_settings

        params = load_params(ROOT / "params.yaml")
        recipe = resolve_recipe(params.train, params.recipes[family])
        model = build_model(family, **make_settings(family, recipe, self.FACTS))
        assert count_parameters(family, recipe, self.FACTS) == model.count_params()

    def test_every_size_of_the_recipe_changes_them(self):
        from pipeline.training.network import count_parameters

        params = load_params(ROOT / "params.yaml")
        recipe, counts = params.recipes["searched_cnn"], set()
        changes = [{}, {"blocks": 2}, {"layers": 2}, {"filters": 8}, {"kernel": 5}, {"head_units": 0}, {"width": 2.0}]
        for change in changes:
            counts.add(count_parameters("searched_cnn", recipe.model_copy(update=change), self.FACTS))
        assert len(counts) == len(changes)

    def test_no_memory_is_allocated_for_them(self):
        """36 TB."""
        from pipeline.training.network import count_parameters

        published = load_params(ROOT / "params.yaml").recipes["searched_cnn"]
        recipe = published.model_copy(update={"filters": 10**6, "blocks": 2, "head_units": 0})
        convolutions = (9 * 3 + 1) * 10**6 + (9 * 10**6 + 1) * 10**6
        assert count_parameters("searched_cnn", recipe, self.FACTS) == convolutions + (8 * 8 * 10**6 + 1) * 3

    def test_a_model_that_is_built_afterwards_is_the_same_as_without_counting(self):
        from pipeline.models.build import build_model
        from pipeline.runtime.tensorflow import seed_everything
        from pipeline.training.network import count_parameters, make_settings

        models = []
        for counts in (False, True):
            if counts:
                count_parameters("underfit", make_recipe(dropout=0.5), self.FACTS)
            seed_everything(1)
            models.append(build_model("underfit", **make_settings("underfit", make_recipe(), self.FACTS)))
        assert are_identical(*models)

    def test_a_network_that_is_too_large_leaves_nothing_behind_that_needs_its_memory(self):
        """Keras gives values to all variables that it has noted whenever it infers a shape, as for a Lambda layer."""
        import keras

        from pipeline.training.network import count_parameters

        recipe = load_params(ROOT / "params.yaml").recipes["searched_cnn"]
        huge = recipe.model_copy(update={"filters": 10**6, "layers": 2})
        assert count_parameters("searched_cnn", huge, self.FACTS) > 10**12
        output = keras.layers.Lambda(lambda x: x * 2)(keras.Input((4,)))
        assert output.shape == (None, 4)
