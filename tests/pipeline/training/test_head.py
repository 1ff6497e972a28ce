import contextlib
import json
import logging
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from pipeline.config.recipe_sections import FeatureLinearRecipe, TransferRecipe
from pipeline.data.embeddings import MIRROR, EmbeddingFacts, Embeddings, EmbeddingWriter, load_embeddings, save_facts
from pipeline.runtime.errors import PipelineError
from stages.embed import embed
from tests.code_digests import write_code
from tests.conftest import Project
from tests.tfrecords import make_coloured_split, write_records

pytestmark = pytest.mark.usefixtures("small_backbone")

SIZE, INPUT_SIZE, NAMES, VIEWS = 32, 40, ["red", "green", "blue"], 2
WEIGHTS = "data/mobilenet.weights.h5"
AUGMENT = {"flip": "horizontal", "rotation": 0.1, "zoom": 0.1, "contrast": 0.0}
STOPPING = {"monitor": "val_loss", "patience": None, "restore": "best"}
PLATEAU = {"monitor": "val_loss", "factor": 0.5, "patience": None, "min_lr": 0.0, "min_delta": 0.0}
FINE_TUNE: dict[str, Any] = {
    "epochs": 2,
    "learning_rate": 0.001,
    "optimizer": "adam",
    "unfreeze": "2 layers",
    "start": "head",
    "early_stopping": STOPPING,
    "reduce_lr": PLATEAU,
}
RECIPE: dict[str, Any] = {
    "backbone": {"weights": WEIGHTS},
    "input_size": INPUT_SIZE,
    "head_units": 0,
    "epochs": 4,
    "batch_size": 6,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "dropout": 0.0,
    "l2": 0.0,
    "width": 1.0,
    "augment": AUGMENT,
    "early_stopping": STOPPING,
    "reduce_lr": PLATEAU,
    "schedule": {"kind": "constant", "hold_epochs": 0, "decay": 0.0, "warmup_epochs": 0, "step_decay": 0.0},
    "class_weight": "none",
    "fine_tune": FINE_TUNE | {"epochs": 0},
}
HIDDEN = {"epochs": 2, "head_units": 8, "width": 2.0, "dropout": 0.3}
UNTRAINED = {"epochs": 2, "learning_rate": 1e-6}  # a first phase that learns nothing
SVM: dict[str, Any] = {
    "backbone": {"weights": WEIGHTS},
    "input_size": INPUT_SIZE,
    "augment": AUGMENT,
    "C": 1.0,
    "max_iterations": 1000,
    "solver": "fast",
    "max_gb": 1.0,
    "class_weight": "none",
}


def write_weights(file: Path) -> None:
    """Random weights that preserve the variance (He et al. 2015, arXiv:1502.01852): with Keras' own, meant for
    normalized layers, mobilenet's features shrink to 1e-21."""
    import keras

    from pipeline.models.backbones.loader import build_backbone

    network, rng = build_backbone("mobilenet", INPUT_SIZE), np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            shape = layer.kernel.shape
            # 9 pixels, of which half are beyond the borders of the small maps at the end
            count = 4.5 if isinstance(layer, keras.layers.DepthwiseConv2D) else math.prod(shape[:-1])
            layer.set_weights([rng.normal(0, np.sqrt(2 / count), shape)])
    network.save_weights(file)


@pytest.fixture(scope="module")
def data(small_backbone, tmp_path_factory) -> Path:  # noqa: ARG001 - what it patches is used
    """data/ as embed leaves it: images that show their class by their colour, and their features."""
    return make_data(tmp_path_factory.mktemp("project"), features=[])


def make_data(folder: Path, *, features: list[int], fine_tune: dict[str, Any] | None = None) -> Path:
    project = Project(folder)
    project.set(**{f"recipes__mobilenet__fine_tune__{key}": value for key, value in (fine_tune or {}).items()})
    recipe = {"backbone__weights": WEIGHTS, "features": features, "input_size": INPUT_SIZE, "augment": AUGMENT}
    names = {
        f"recipes__{family}__{key}": value for family in ("mobilenet", "mobilenet_svm") for key, value in recipe.items()
    }
    project.set(preprocess__image_size=SIZE, embed__views=VIEWS, **names)
    splits = {name: make_coloured_split(n, SIZE, seed=n) for name, n in (("train", 24), ("val", 9), ("test", 6))}
    write_records(folder / "data/tfrecords", class_names=NAMES, **splits)
    write_weights(folder / WEIGHTS)
    write_code("embed", "mobilenet", "mobilenet_svm", folder=folder)
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr("stages.embed.configure_tensorflow", lambda **_: None)
        embed("mobilenet")
        embed("mobilenet_svm")
    return folder / "data"


@pytest.fixture(scope="module")
def deep(small_backbone, tmp_path_factory) -> Path:  # noqa: ARG001 - what it patches is used
    """The same, with features of several depths."""
    return make_data(tmp_path_factory.mktemp("deep"), features=[1, 2])


@pytest.fixture(scope="module")
def cut(small_backbone, tmp_path_factory) -> Path:  # noqa: ARG001 - what it patches is used
    """The same, with the activations after the second block, of three."""
    return make_data(tmp_path_factory.mktemp("cut"), features=[1], fine_tune={"epochs": 2, "from": "block 2"})


def move_in(folder: Path, data: Path) -> Path:
    """Links the data into a folder."""
    (folder / "data").symlink_to(data)
    return folder


@pytest.fixture
def folder(data, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return move_in(tmp_path, data)


def train(*, seed: int = 1, watch: Callable[[int, float], None] | None = None, **changes: Any) -> Any:
    from pipeline.training.head import train_transfer

    recipe = TransferRecipe.model_validate(RECIPE | changes)
    return train_transfer(
        "mobilenet", recipe, seed=seed, cache_gb=1.0, shuffle_buffer=16, record=Path("record"), watch=watch
    )


@dataclass(frozen=True)
class Run:
    """What training leaves: the model, the folder in which it ran, and its log; or its error."""

    model: Any
    folder: Path
    log: str
    error: str = ""

    def curve(self, name: str) -> list[float]:
        """A metric by epoch. name: train/loss, for example."""
        file = self.folder / "record" / "plots" / "metrics" / f"{name}.tsv"
        return pd.read_csv(file, sep="\t")[name.rpartition("/")[2]].tolist() if file.exists() else []

    @property
    def best(self) -> dict[str, float]:
        return json.loads((self.folder / "record" / "metrics.json").read_text())["best"]


@contextlib.contextmanager
def collect_log() -> Iterator[list[str]]:
    """The messages of training within the block."""
    messages: list[str] = []
    handler, logger = logging.Handler(), logging.getLogger("pipeline.training")
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@pytest.fixture(scope="module")
def run_train(data, tmp_path_factory) -> Callable[..., Run]:
    """Trains in a new folder. The backbone is built once for all runs that do not change it."""
    from pipeline.training import features

    build_once = cache(features.build_backbone)

    def run(**settings: Any) -> Run:
        folder = move_in(tmp_path_factory.mktemp("run"), data)
        with contextlib.chdir(folder), collect_log() as messages, pytest.MonkeyPatch.context() as patch:
            if "fine_tune" not in settings:
                patch.setattr(features, "build_backbone", build_once)
            try:
                model, error = train(**settings), ""
            except PipelineError as caught:
                model, error = None, str(caught)
        return Run(model, folder, "\n".join(messages), error)

    return run


@pytest.fixture(scope="module")
def frozen(run_train) -> Run:
    """The first phase alone."""
    return run_train()


@pytest.fixture(scope="module")
def with_hidden_layer(run_train) -> Run:
    """The first phase alone, with a larger head."""
    return run_train(**HIDDEN)


@pytest.fixture(scope="module")
def watched(run_train) -> tuple[Run, list[tuple[int, float]]]:
    """Two phases, of which the second is better, and the calls of watch."""
    heard: list[tuple[int, float]] = []
    settings = UNTRAINED | {"fine_tune": FINE_TUNE}
    return run_train(watch=lambda step, accuracy: heard.append((step, accuracy)), **settings), heard


@pytest.fixture(scope="module")
def tuned(watched) -> Run:
    """Two phases, of which the second is better."""
    return watched[0]


FRESH = FINE_TUNE | {"start": "fresh", "unfreeze": "all"}


@pytest.fixture(scope="module")
def fresh(data, tmp_path_factory) -> Run:
    """Backbone and head at once, in a folder without features."""
    folder = tmp_path_factory.mktemp("fresh")
    shutil.copytree(data / "tfrecords", folder / "data/tfrecords")
    shutil.copy(data / "mobilenet.weights.h5", folder / "data")
    with contextlib.chdir(folder), collect_log() as messages:
        return Run(train(fine_tune=FRESH), folder, "\n".join(messages))


@pytest.fixture(scope="module")
def spoilt(run_train) -> Run:
    """Two phases, of which the second is worse: large steps towards wrong labels."""
    with pytest.MonkeyPatch.context() as patch:
        change_batches(patch, "make_training_batches", lambda _, x, labels: (x, (labels + 1) % 3))
        return run_train(fine_tune=FINE_TUNE | {"epochs": 1, "learning_rate": 10.0})


MODULES = {"make_feature_batches": "head", "make_training_batches": "network"}


def change_batches(patch: pytest.MonkeyPatch, name: str, change: Callable[[Any, Any, Any], tuple[Any, Any]]) -> None:
    """Changes the batches of a phase. change: (epoch from 0, images or features, labels) to the last two."""
    module = import_module(f"pipeline.training.{MODULES[name]}")
    make = getattr(module, name)

    def make_changed(*arguments: Any, **settings: Any) -> tuple[Any, int]:
        batches, steps = make(*arguments, **settings)
        return batches.enumerate().map(lambda step, batch: change(step // steps, *batch)), steps

    patch.setattr(module, name, make_changed)


def poison(patch: pytest.MonkeyPatch, name: str, *, from_epoch: int) -> None:
    """Makes the batches of a phase NaN from an epoch on."""
    import tensorflow as tf

    def spoil(epoch, x, labels):
        x = tf.cast(x, tf.float32)
        return tf.where(epoch < from_epoch, x, x * math.nan), labels

    change_batches(patch, name, spoil)


@pytest.fixture(scope="module")
def diverged(run_train) -> Run:
    """The first phase alone, which diverges in its second epoch."""
    with pytest.MonkeyPatch.context() as patch:
        poison(patch, "make_feature_batches", from_epoch=1)
        return run_train()


@pytest.fixture(scope="module")
def diverged_late(run_train) -> Run:
    """Two phases, of which the second diverges at once."""
    with pytest.MonkeyPatch.context() as patch:
        poison(patch, "make_training_batches", from_epoch=0)
        return run_train(epochs=1, learning_rate=0.02, fine_tune=FINE_TUNE | {"learning_rate": 0.125})


def run_spoilt_then_poisoned(run_train: Callable[..., Run], spoil_labels: bool, **settings: Any) -> Run:
    """Two phases, of which the second diverges after one epoch, in which the labels are wrong if spoil_labels is true."""
    import tensorflow as tf

    def spoil(epoch, x, labels):
        x = tf.cast(x, tf.float32)
        return tf.where(epoch < 1, x, x * math.nan), (labels + spoil_labels) % 3

    with pytest.MonkeyPatch.context() as patch:
        change_batches(patch, "make_training_batches", spoil)
        return run_train(**settings)


@pytest.fixture(scope="module")
def worse_then_diverged(run_train) -> Run:
    """The first phase of `frozen`, and a second with one good epoch, which is worse, and one that diverges."""
    settings = FINE_TUNE | {"learning_rate": 10.0}
    return run_spoilt_then_poisoned(run_train, spoil_labels=True, fine_tune=settings)


@pytest.fixture(scope="module")
def better_then_diverged(run_train) -> Run:
    """A first phase that learns nothing, and a second with one good epoch, which is better, and one that diverges."""
    return run_spoilt_then_poisoned(run_train, spoil_labels=False, **UNTRAINED, fine_tune=FINE_TUNE)


@pytest.fixture(scope="module")
def fitted(data, tmp_path_factory) -> Run:
    """A linear machine on the features."""
    from pipeline.training.svm import train_linear

    folder = move_in(tmp_path_factory.mktemp("svm"), data)
    with contextlib.chdir(folder):
        model = train_linear("mobilenet_svm", FeatureLinearRecipe(**SVM), record=Path("record"))
    return Run(model, folder, log="")


@pytest.fixture(scope="module")
def load_saved(tmp_path_factory) -> Callable[[Run], Any]:
    """The model of a run, saved and loaded."""
    from pipeline.models.artifacts import load_model, save_model

    @cache
    def load(run: Run) -> Any:
        file = tmp_path_factory.mktemp("models") / "model.keras"
        save_model(run.model, file)
        return load_model(file)

    return load


@cache
def predict(model, split: str) -> tuple[np.ndarray, np.ndarray]:
    from pipeline.models.predictions import predict_split

    return predict_split(model, split)


def measure_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    return float(-np.log(probabilities[np.arange(len(labels)), labels]).mean())


def measure_accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def backbone_of(model) -> Any:
    import keras

    (network,) = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    return network


def head_of(model) -> list[np.ndarray]:
    import keras

    return [array for layer in model.layers if isinstance(layer, keras.layers.Dense) for array in layer.get_weights()]


def are_identical(weights: list[np.ndarray], others: list[np.ndarray]) -> bool:
    return all((a == b).all() for a, b in zip(weights, others, strict=True))


def published_backbone() -> Any:
    from pipeline.models.backbones.loader import build_backbone

    return build_backbone("mobilenet", INPUT_SIZE, WEIGHTS)


def make_embeddings(folder: Path, *, count: int = 24, views: int = VIEWS, dtype: str = "float32") -> Embeddings:
    """Features that identify the image: (its number, view)."""
    facts = EmbeddingFacts("mobilenet", "the key", "the weights", 2, dtype, views, {"train": count, "val": 9})
    folder.mkdir(exist_ok=True)
    writer, labels = EmbeddingWriter(folder, dtype), np.arange(count) % 3
    for view in range(views + 1):
        features = np.stack([np.arange(count), np.full(count, view)], axis=1).astype(np.float32)
        writer.write("train", view, [(features, labels)])
    writer.write("val", 0, [(np.arange(18, dtype=np.float32).reshape(9, 2), np.arange(9) % 3)])
    save_facts(facts, folder)
    return Embeddings(facts, folder)


class TestFrozenBackbone:
    @pytest.mark.usefixtures("folder")
    def test_the_saved_model_on_pixels_agrees_with_its_head_on_features(self, frozen, load_saved):
        from pipeline.models.predictions import predict_embedded

        labels, probabilities = predict(load_saved(frozen), "val")
        expected_labels, expected = predict_embedded(load_saved(frozen), load_embeddings("mobilenet"), "val")
        np.testing.assert_array_equal(labels, expected_labels)
        np.testing.assert_allclose(probabilities, expected, atol=1e-4)
        assert expected.std(axis=0).min() > 1e-3  # not the same for every image

    @pytest.mark.usefixtures("folder")
    def test_on_pixels_it_has_the_metrics_that_the_record_has_on_features(self, frozen, load_saved):
        predicted = predict(load_saved(frozen), "val")
        assert measure_loss(*predicted) == pytest.approx(min(frozen.curve("eval/loss")), rel=1e-4)
        assert measure_accuracy(*predicted) == pytest.approx(frozen.best["val_accuracy"])

    def test_an_easy_problem_is_learnt(self, frozen):
        losses = frozen.curve("train/loss")
        assert losses[-1] < losses[0] - 0.1
        assert frozen.best["val_accuracy"] > 0.6

    @pytest.mark.usefixtures("folder")
    def test_the_backbone_is_not_changed(self, frozen):
        network = backbone_of(frozen.model)
        assert are_identical(network.get_weights(), published_backbone().get_weights())
        assert network.trainable_weights == []

    def test_the_record_has_one_row_per_epoch_and_the_best_epoch(self, frozen):
        losses = frozen.curve("eval/loss")
        assert len(losses) == len(frozen.curve("train/loss")) == len(frozen.curve("eval/accuracy")) == 4
        assert frozen.best["epoch"] == np.argmin(losses) + 1
        assert frozen.best["val_loss"] == pytest.approx(min(losses))

    def test_the_model_is_returned_uncompiled(self, frozen):
        assert not frozen.model.compiled

    def test_nothing_is_written_beside_the_record(self, frozen):
        assert sorted(path.name for path in frozen.folder.iterdir()) == ["data", "record"]

    @pytest.mark.ci
    def test_one_seed_gives_bit_identical_weights_and_another_seed_others(self, with_hidden_layer, run_train):
        again, other = (run_train(seed=seed, **HIDDEN) for seed in (1, 2))
        assert are_identical(with_hidden_layer.model.get_weights(), again.model.get_weights())
        assert not are_identical(head_of(with_hidden_layer.model), head_of(other.model))

    def test_the_model_has_the_recipes_head(self, with_hidden_layer):
        model = with_hidden_layer.model
        assert [array.shape for array in head_of(model)] == [(64, 16), (16,), (16, 3), (3,)]
        assert [layer.rate for layer in model.layers if type(layer).__name__ == "Dropout"] == [0.3]

    def test_validation_in_several_batches_gives_the_same_metrics(self, frozen, run_train, monkeypatch):
        """Even though several steps run at a time, more than there are batches."""
        monkeypatch.setattr("pipeline.training.features._VALIDATION_BATCH", 4)
        batched = run_train(epochs=2)
        for name in ("eval/loss", "eval/accuracy"):
            assert batched.curve(name) == pytest.approx(frozen.curve(name)[:2], rel=1e-5)

    def test_balanced_weights_of_classes_of_equal_size_change_nothing(self, frozen, run_train):
        balanced = run_train(epochs=2, class_weight="balanced")
        assert balanced.curve("train/loss") == pytest.approx(frozen.curve("train/loss")[:2], rel=1e-4)


@pytest.mark.ci
class TestSeveralDepths:
    """Features of the small mobilenet's first two blocks, 8 and 16 channels, and of its last, 64."""

    SETTINGS: ClassVar = {"features": [1, 2], "standardize": True}

    @pytest.fixture
    def folder(self, deep, tmp_path, monkeypatch) -> Path:
        monkeypatch.chdir(tmp_path)
        return move_in(tmp_path, deep)

    def check_agreement(self, model, folder: Path) -> None:
        """On pixels and on features, saved and loaded."""
        from pipeline.models.artifacts import load_model, save_model
        from pipeline.models.predictions import predict_embedded, predict_split

        save_model(model, folder / "model.keras")
        loaded, found = load_model(folder / "model.keras"), load_embeddings("mobilenet")
        (labels, on_pixels), (_, on_features) = predict_split(loaded, "val"), predict_embedded(loaded, found, "val")
        np.testing.assert_allclose(on_pixels, on_features, atol=1e-4)
        assert measure_accuracy(labels, on_pixels) == 1

    def test_a_head_standardizes_them_by_the_images_and_views_that_it_trains_on(self, folder):
        model = train(**self.SETTINGS, **HIDDEN | {"epochs": 8})
        found = load_embeddings("mobilenet")
        rows = np.concatenate([found.features("train", view).take(np.arange(24)) for view in range(VIEWS + 1)])
        assert rows.shape == (24 * (VIEWS + 1), 8 + 16 + 64)
        mean, variance = model.get_layer("standardize").get_weights()
        np.testing.assert_allclose(mean, rows.mean(axis=0, dtype=np.float64), rtol=1e-5)
        expected = rows.var(axis=0, dtype=np.float64)
        np.testing.assert_allclose(variance, np.where(expected > 0, expected, 1.0), rtol=1e-4)
        self.check_agreement(model, folder)

    @pytest.mark.ci
    def test_the_statistics_stay_when_the_backbone_is_tuned(self, folder):  # noqa: ARG002 - moves in
        model = train(**self.SETTINGS, **UNTRAINED, fine_tune=FINE_TUNE)
        (frozen, tuned) = (train(**self.SETTINGS, epochs=1), model)
        for ours, expected in zip(*(m.get_layer("standardize").get_weights() for m in (tuned, frozen)), strict=True):
            np.testing.assert_array_equal(ours, expected)

    @pytest.mark.parametrize("solver", ["fast", "svc"])
    def test_a_linear_machine_has_their_scales_in_its_hyperplanes(self, folder, solver):
        from pipeline.training.svm import train_linear

        settings = SVM | self.SETTINGS | {"solver": solver, "C": 0.1}
        self.check_agreement(
            train_linear("mobilenet_svm", FeatureLinearRecipe(**settings), record=Path("record")), folder
        )

    @pytest.mark.usefixtures("folder")
    def test_a_linear_machine_does_not_depend_on_their_sizes(self):
        from pipeline.config.recipe_sections import FeatureLinearRecipe as Settings
        from pipeline.data.tfrecords import load_dataset_facts
        from pipeline.training.svm import fit_standardized

        rng, sizes = np.random.default_rng(0), np.array([1.0, 1e3, 1e-3], np.float32)
        labels = np.arange(60) % 3
        features = (np.eye(3)[labels] + rng.normal(0, 0.3, (60, 3))).astype(np.float32)
        recipe, facts = Settings(**SVM | self.SETTINGS), load_dataset_facts()
        plain = fit_standardized("mobilenet_svm", recipe, facts, (features, labels))
        scaled = fit_standardized("mobilenet_svm", recipe, facts, (features * sizes, labels))
        np.testing.assert_allclose(scaled.score(features * sizes), plain.score(features), atol=0.01)


@pytest.mark.ci
class TestCut:
    """Fine-tuning of what comes after the second block of the small mobilenet."""

    SETTINGS: ClassVar = UNTRAINED | {"features": [1]}
    TUNING: ClassVar = FINE_TUNE | {"from": "block 2", "unfreeze": "all", "batch_size": 4}

    @pytest.fixture
    def folder(self, cut, tmp_path, monkeypatch) -> Path:
        monkeypatch.chdir(tmp_path)
        return move_in(tmp_path, cut)

    def best(self) -> dict[str, float]:
        return json.loads(Path("record/metrics.json").read_text())["best"]

    def test_activations_and_features_are_kept_together(self, folder):  # noqa: ARG002 - moves in
        found = load_embeddings("mobilenet")
        assert (found.facts.cut, found.facts.cut_shape) == (2, [10, 10, 16])
        assert [len(found.activations("train", view)) for view in range(VIEWS + 1)] == [24] * (VIEWS + 1)
        assert (len(found.activations("val")), len(found.activations("test"))) == (9, 0)
        assert {np.load(file).dtype for file in found.folder.glob("*-cut*.npy")} == {np.dtype("float16")}

    def test_mirror_images_that_are_kept_are_trained_on_beside_the_views(self, folder, tmp_path):  # noqa: ARG002 - moves in
        from pipeline.training.activations import make_activation_data

        plain = load_embeddings("mobilenet")
        kept = shutil.copytree(plain.folder, tmp_path / "mirrored")
        writer, shape = EmbeddingWriter(kept, "float32"), plain.facts.cut_shape
        writer.write("train", MIRROR, [(plain.features("train").load(), plain.labels("train"))])
        mirrors = writer.open_cut("train", MIRROR, math.prod(shape))
        mirrors.add(np.full((24, math.prod(shape)), 9.0), 24)
        mirrors.close()
        for mirrored in (True, False):
            found = Embeddings(replace(plain.facts, mirrored=mirrored), kept)
            data = make_activation_data(found, batch_size=24, seed=0, num_early=0, num_classes=3)
            epochs = [maps.numpy() for maps, _ in data.batches.take(4)]
            shares = [np.mean((maps == 9).all(axis=(1, 2, 3))) for maps in epochs]
            assert (0.05 < np.mean(shares) < 0.6) == mirrored

    def test_mixed_activations_early_features_and_labels_are_mixed_in_the_same_shares(self, folder):  # noqa: ARG002
        from pipeline.training.activations import make_activation_data

        settings = {"batch_size": 8, "seed": 0, "num_early": 8, "num_classes": 3}
        (plain, early), labels = self.first(make_activation_data(load_embeddings("mobilenet"), **settings))
        (maps, features), rows = self.first(make_activation_data(load_embeddings("mobilenet"), **settings, mixup=1.0))
        own, other = np.eye(3)[labels], np.eye(3)[np.roll(labels, 1)]
        differs = np.flatnonzero(labels != np.roll(labels, 1))
        shares = (rows * other).sum(axis=1)[differs]
        assert len(differs) > 1
        assert len(set(shares)) == len(differs)
        assert ((shares > 0) & (shares < 1)).all()
        np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-6)
        for found, given in ((maps, plain), (features, early), (rows, own)):
            share = shares.reshape(-1, *[1] * (given.ndim - 1))
            expected = (1 - share) * given[differs] + share * np.roll(given, 1, axis=0)[differs]
            np.testing.assert_allclose(found[differs], expected, rtol=1e-3, atol=1e-4)

    def first(self, data: Any) -> Any:
        [(inputs, labels)] = data.batches.take(1).as_numpy_iterator()
        return inputs, labels

    def test_mixing_trains(self, folder):  # noqa: ARG002 - moves in
        settings = self.SETTINGS | {"fine_tune": self.TUNING | {"mixup": 0.4}}
        assert np.isfinite(train(**settings).get_weights()[-1]).all()
        assert self.best()["epoch"] > UNTRAINED["epochs"]

    def test_the_model_is_whole_and_has_the_metrics_of_the_record(self, folder):
        from pipeline.models.artifacts import load_model, save_model

        model = train(**self.SETTINGS, fine_tune=self.TUNING)
        assert not model.compiled
        save_model(model, folder / "model.keras")
        labels, probabilities = predict(load_model(folder / "model.keras"), "val")
        assert self.best()["epoch"] > UNTRAINED["epochs"]
        assert measure_loss(labels, probabilities) == pytest.approx(self.best()["val_loss"], abs=0.02)
        assert measure_accuracy(labels, probabilities) == pytest.approx(self.best()["val_accuracy"], abs=1e-6)

    @pytest.mark.ci
    def test_what_comes_before_the_cut_and_all_statistics_stay(self, folder):  # noqa: ARG002 - moves in
        tuned, before = backbone_of(train(**self.SETTINGS, fine_tune=self.TUNING)), published_backbone()
        changed = {
            variable.path
            for variable, old in zip(tuned.variables, before.get_weights(), strict=True)
            if not np.array_equal(variable.numpy(), old)
        }
        kinds = ("conv_dw_2/kernel", "conv_dw_2_bn/gamma", "conv_dw_2_bn/beta")
        assert changed == {name.replace("dw", kind) for name in kinds for kind in ("dw", "pw")}

    @pytest.mark.ci
    def test_through_pixels_with_the_same_views_it_is_the_same_to_the_rounding_of_float16(self, folder):  # noqa: ARG002
        settings = self.SETTINGS | {"fine_tune": self.TUNING | {"optimizer": "sgd", "learning_rate": 0.05}}
        cached = train(**settings)
        losses = self.best()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pipeline.training.head.make_fit_data", make_pixel_data)
            tuning = settings["fine_tune"] | {"from": None, "unfreeze": "1 block"}
            through_pixels = train(**settings | {"fine_tune": tuning})
        assert self.best()["val_loss"] == pytest.approx(losses["val_loss"], rel=0.01)
        start = published_backbone()
        for ours, theirs, old in zip(
            *(x.get_weights() for x in (backbone_of(cached), backbone_of(through_pixels), start)), strict=True
        ):
            step = np.abs(theirs - old).max()
            np.testing.assert_allclose(ours, theirs, atol=0.02 * step)

    @pytest.mark.ci
    def test_smoothing_averages_and_rates_by_layer_change_what_is_learnt(self, folder):  # noqa: ARG002 - moves in
        plain = train(**self.SETTINGS, fine_tune=self.TUNING)
        for changes in ({"label_smoothing": 0.2}, {"ema": 0.8}, {"layer_decay": 0.5}):
            other = train(**self.SETTINGS, fine_tune=self.TUNING | changes)
            assert not are_identical(plain.get_weights(), other.get_weights())

    @pytest.mark.ci
    def test_so_they_do_for_a_head(self, folder):  # noqa: ARG002 - moves in
        plain = train(**self.SETTINGS)
        for changes in ({"label_smoothing": 0.2}, {"ema": 0.8}, {"optimizer": "nesterov", "weight_decay": 0.5}):
            model = train(**self.SETTINGS | changes)
            assert not are_identical(plain.get_weights(), model.get_weights())
            assert measure_loss(*predict(model, "val")) == pytest.approx(self.best()["val_loss"], abs=1e-3)

    @pytest.mark.ci
    def test_averaged_weights_are_those_that_are_validated_and_kept(self, folder):  # noqa: ARG002 - moves in
        model = train(**self.SETTINGS, fine_tune=self.TUNING | {"ema": 0.8})
        labels, probabilities = predict(model, "val")
        assert measure_loss(labels, probabilities) == pytest.approx(self.best()["val_loss"], abs=0.02)

    @pytest.mark.ci
    def test_labels_are_smoothed_through_pixels_too_but_not_in_validation(self, folder):  # noqa: ARG002 - moves in
        tuning = FINE_TUNE | {"label_smoothing": 0.2, "ema": 0.5, "batch_size": 12}
        labels, probabilities = predict(train(**self.SETTINGS, fine_tune=tuning), "val")
        assert self.best()["epoch"] > UNTRAINED["epochs"]
        assert measure_loss(labels, probabilities) == pytest.approx(self.best()["val_loss"], abs=1e-4)

    def test_activations_that_are_not_there_are_asked_for(self, folder):  # noqa: ARG002 - moves in
        with pytest.raises(PipelineError) as caught:
            train(**self.SETTINGS, fine_tune=self.TUNING | {"from": "block 1"})
        assert str(caught.value) == (
            "data/embeddings/mobilenet has no activations that recipes.mobilenet.fine_tune.from names: expected those after "
            "block 1, received 2; run `dvc repro embed@mobilenet`"
        )


def make_pixel_data(recipe: TransferRecipe, facts: Any, *, seed: int, first_epoch: int, **_: Any) -> Any:
    """What `make_fit_data` returns, with the images and views that are cached, drawn as features are."""
    import tensorflow as tf

    from pipeline.data.augmentation import Augmentation
    from pipeline.data.batches import load_split, read_batches, read_views
    from pipeline.training.features import draw_epochs
    from pipeline.training.fit import FitData

    augmentation = Augmentation(**AUGMENT)
    views = [
        np.concatenate(
            [
                images.numpy()
                for images, _ in read_views("train", view, batch_size=8, seed=42, augmentation=augmentation)
            ]
        )
        for view in range(VIEWS + 1)
    ]
    pixels, labels = np.stack(views).astype(np.float32), load_split("train")[1]

    def generate() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for rows, chosen, _ in draw_epochs(len(labels), VIEWS, seed, first_epoch):
            for start in range(0, len(rows), recipe.batch_size):
                part = slice(start, start + recipe.batch_size)
                yield pixels[chosen[part], rows[part]], labels[rows[part]]

    size = facts.image_size
    signature = (tf.TensorSpec((None, size, size, 3), tf.float32), tf.TensorSpec((None,), tf.int64))
    batches = tf.data.Dataset.from_generator(generate, output_signature=signature)
    return FitData(batches, -(-len(labels) // recipe.batch_size), read_batches("val", batch_size=9), None)


@pytest.mark.ci
@pytest.mark.usefixtures("folder")
class TestResetHeads:
    """A head that is asked for again is the previous one, reset: it must train like a new one."""

    # All that has state: dropout, the optimizer's moments, a learning rate that decays, weights of the best epoch.
    CHANGES = MappingProxyType(
        {
            "dropout": 0.5,
            "epochs": 5,
            "reduce_lr": PLATEAU | {"patience": 1, "min_lr": 1e-6},
            "learning_rate": 0.01,
        }
    )

    def probabilities(self, *, seed: int = 1, **changes: Any) -> np.ndarray:
        from pipeline.training.head import train_head

        recipe = TransferRecipe.model_validate(RECIPE | self.CHANGES | changes)
        return train_head("mobilenet", recipe, seed=seed, cache_gb=1.0, record=Path("record"))[1]

    @pytest.fixture(autouse=True)
    def heads(self) -> Any:
        from pipeline.training import head

        head._compile_head.cache_clear()
        return head._compile_head.cache_info

    def test_the_same_head_again_gives_bit_identical_results_and_others_do_not(self, heads):
        first = self.probabilities()
        np.testing.assert_array_equal(self.probabilities(), first)
        assert (heads().hits, heads().misses) == (1, 1)
        others: tuple[dict[str, Any], ...] = ({"seed": 2}, {"learning_rate": 0.02}, {"head_units": 3})
        for changes in others:
            assert np.abs(self.probabilities(**changes) - first).max() > 1e-4
        assert (heads().hits, heads().misses) == (1, 1 + len(others))

    def test_so_does_one_whose_optimizer_has_other_state(self, heads):
        first, again = (self.probabilities(optimizer="sgd") for _ in range(2))
        np.testing.assert_array_equal(again, first)
        assert heads().hits == 1

    def test_what_is_built_after_it_gets_the_same_random_numbers(self, heads):
        """As the second phase's dropout and order of images do."""
        import keras
        import tensorflow as tf

        from pipeline.training.head import begin_head

        recipe, drawn = TransferRecipe.model_validate(RECIPE | HIDDEN), []
        for number in range(2):
            keras.utils.set_random_seed(100 + number)  # as by a backbone whose weights are random
            begin_head("mobilenet", 4, 3, recipe, seed=1, steps=2)
            drawn.append(
                (keras.layers.Dropout(0.5).seed_generator.state.numpy().tolist(), float(tf.random.uniform(())))
            )
        assert heads().hits == 1
        assert drawn[0] == drawn[1]

    def test_a_head_that_diverged_is_reset(self, heads):
        """With one step, whose loss is measured before it."""
        for _ in range(2):
            with pytest.raises(PipelineError, match="no longer a number"):
                self.probabilities(learning_rate=1e38, optimizer="sgd", batch_size=100, epochs=1)
            (loss,) = pd.read_csv("record/plots/metrics/train/loss.tsv", sep="\t")["loss"]
            assert np.isfinite(loss)
        assert heads().hits == 1


class TestFeatureBatches:
    def read(self, found: Embeddings, epochs: int = 1, **settings: Any) -> list[tuple[np.ndarray, np.ndarray]]:
        """(features, labels) of each epoch."""
        from pipeline.training.features import make_feature_batches

        batches, steps = make_feature_batches(found, **{"batch_size": 5, "seed": 1, "cache_gb": 1.0} | settings)
        iterator = batches.as_numpy_iterator()
        read = [list(islice(iterator, steps)) for _ in range(epochs)]
        return [tuple(np.concatenate([batch[i] for batch in epoch]) for i in (0, 1)) for epoch in read]

    @pytest.mark.parametrize("batch_size", [1, 5, 24, 100])
    def test_each_epoch_has_each_image_once_with_its_label(self, tmp_path, batch_size):
        for features, labels in self.read(make_embeddings(tmp_path), 3, batch_size=batch_size):
            assert sorted(features[:, 0]) == list(range(24))
            np.testing.assert_array_equal(features[:, 0] % 3, labels)
            assert (features.dtype, labels.dtype) == (np.float32, np.int64)

    def test_smaller_classes_come_as_often_as_the_largest_if_asked_for(self, tmp_path):
        found = make_embeddings(tmp_path)
        np.save(found.folder / "train-labels.npy", np.repeat([0, 1], [18, 6]))
        epochs, again = (self.read(found, 2, oversample=True) for _ in range(2))
        for features, labels in epochs:
            assert np.bincount(labels).tolist() == [18, 18]
            assert np.bincount(features[:, 0].astype(int)).tolist() == [1] * 18 + [3] * 6
        views = {tuple(row) for row in epochs[0][0][epochs[0][1] == 1]}
        assert len(views) > 6, "copies of an image have views of their own"
        np.testing.assert_array_equal(epochs[1][0], again[1][0])

    def test_batches_have_the_given_size_except_for_the_last(self, tmp_path):
        from pipeline.training.features import make_feature_batches

        batches, steps = make_feature_batches(make_embeddings(tmp_path), batch_size=10, seed=1, cache_gb=1.0)
        assert steps == 3
        assert [len(labels) for _, labels in islice(batches.as_numpy_iterator(), 6)] == [10, 10, 4, 10, 10, 4]

    def test_each_epoch_has_another_order(self, tmp_path):
        first, second = self.read(make_embeddings(tmp_path), 2)
        assert first[0][:, 0].tolist() != second[0][:, 0].tolist()

    def test_views_are_drawn_uniformly_for_each_image_and_epoch(self, tmp_path):
        epochs = self.read(make_embeddings(tmp_path, count=600), 2, batch_size=64)
        drawn = [features[np.argsort(features[:, 0]), 1] for features, _ in epochs]
        for views in drawn:
            assert np.bincount(views.astype(int), minlength=3) == pytest.approx([200, 200, 200], abs=50)
        assert 0.2 < np.mean(drawn[0] == drawn[1]) < 0.5  # a third, by chance

    def test_without_views_there_are_only_the_images_themselves(self, tmp_path):
        ((features, _),) = self.read(make_embeddings(tmp_path, views=0))
        assert set(features[:, 1]) == {0}

    def test_a_resumed_run_gets_the_same_batches_as_an_uninterrupted_one(self, tmp_path):
        found = make_embeddings(tmp_path)
        uninterrupted, resumed = self.read(found, 4), self.read(found, 2, first_epoch=2)
        for (features, labels), (expected, expected_labels) in zip(resumed, uninterrupted[2:], strict=True):
            np.testing.assert_array_equal(features, expected)
            np.testing.assert_array_equal(labels, expected_labels)

    def test_one_seed_gives_one_order_and_another_seed_another(self, tmp_path):
        found = make_embeddings(tmp_path)
        ((first, _),), ((again, _),), ((other, _),) = (self.read(found, seed=seed) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()

    @pytest.mark.parametrize("views", [0, VIEWS])
    @pytest.mark.parametrize("dtype", ["float16", "float32"])
    def test_features_larger_than_memory_are_read_from_files_with_the_same_result(
        self, tmp_path, monkeypatch, dtype, views
    ):
        monkeypatch.setattr("pipeline.data.embeddings._SHARD_ROWS", 10)
        found = make_embeddings(tmp_path, views=views, dtype=dtype)
        assert len(list(tmp_path.glob("train-view000-*.npy"))) == 3
        kept, streamed = (self.read(found, 2, cache_gb=size) for size in (1.0, 0.0))
        for (features, labels), (expected, expected_labels) in zip(streamed, kept, strict=True):
            assert sorted(features[:, 0]) == list(range(24))
            np.testing.assert_array_equal(features, expected)
            np.testing.assert_array_equal(labels, expected_labels)

    def test_validation_has_each_image_once_in_order(self, tmp_path, monkeypatch):
        from pipeline.training.features import read_feature_batches

        monkeypatch.setattr("pipeline.training.features._VALIDATION_BATCH", 4)
        batches = read_feature_batches(make_embeddings(tmp_path), "val")
        assert int(batches.cardinality()) == 3
        for _ in range(2):  # the second time from memory
            read = list(batches.as_numpy_iterator())
            assert [len(labels) for _, labels in read] == [4, 4, 1]
            np.testing.assert_array_equal(np.concatenate([x for x, _ in read]).ravel(), np.arange(18))
            np.testing.assert_array_equal(np.concatenate([y for _, y in read]), np.arange(9) % 3)


@pytest.mark.ci
class TestFineTuning:
    def test_both_phases_are_in_one_record(self, tuned, spoilt):
        for run, epochs in ((tuned, 2 + 2), (spoilt, 4 + 1)):
            for name in ("train/loss", "train/accuracy", "eval/loss", "eval/accuracy"):
                assert len(run.curve(name)) == epochs

    def test_the_best_epoch_is_counted_across_both(self, tuned, spoilt):
        for run, expected in ((tuned, {3, 4}), (spoilt, {1, 2, 3, 4})):
            losses = run.curve("eval/loss")
            assert run.best["epoch"] == np.argmin(losses) + 1
            assert run.best["epoch"] in expected
            assert run.best["val_loss"] == pytest.approx(min(losses))

    @pytest.mark.usefixtures("folder")
    def test_a_better_second_phase_is_kept(self, tuned, load_saved):
        best = min(tuned.curve("eval/loss"))
        assert measure_loss(*predict(load_saved(tuned), "val")) == pytest.approx(best, rel=1e-3)
        assert "which is kept" not in tuned.log

    @pytest.mark.usefixtures("folder")
    def test_it_changes_only_the_layers_that_are_unfrozen(self, tuned):
        before, after = published_backbone(), backbone_of(tuned.model)
        changed = {
            layer.name
            for layer, old in zip(after.layers, before.layers, strict=True)
            if not are_identical(layer.get_weights(), old.get_weights())
        }
        assert {"conv_pw_2"} <= changed <= {"conv_pw_2", "conv_pw_2_bn"}

    @pytest.mark.usefixtures("folder")
    def test_the_statistics_of_batch_normalization_never_change(self, tuned):
        before, after = published_backbone(), backbone_of(tuned.model)
        pairs = [(old, new) for old, new in zip(before.weights, after.weights, strict=True) if "moving" in old.path]
        assert len(pairs) == 2 * 5
        assert [old.path for old, new in pairs if not np.array_equal(old, new)] == []

    @pytest.mark.ci
    def test_one_seed_gives_the_same_losses_to_the_bit_whether_watched_or_not(self, tuned, better_then_diverged):
        """Until the other run, which nobody watches, diverges."""
        for name in ("train/loss", "eval/loss"):
            assert better_then_diverged.curve(name)[:3] == tuned.curve(name)[:3]

    def test_the_model_is_returned_uncompiled(self, tuned, spoilt):
        assert not tuned.model.compiled
        assert not spoilt.model.compiled

    def test_a_worse_second_phase_is_undone(self, spoilt, frozen):
        losses = spoilt.curve("eval/loss")
        assert losses[-1] > 2 * min(losses)
        assert are_identical(spoilt.model.get_weights(), frozen.model.get_weights())
        assert backbone_of(spoilt.model).trainable_weights == []

    def test_it_is_logged_that_it_was_undone(self, spoilt):
        expected = "mobilenet: fine-tuning has no better epoch than the frozen backbone's best, which is kept"
        assert spoilt.log.splitlines()[-1] == expected

    def test_epochs_are_logged_across_both_phases(self, tuned):
        starts = [f"mobilenet: epoch {epoch}/{epochs}: accuracy " for epoch, epochs in ((1, 2), (2, 2), (3, 4), (4, 4))]
        lines = tuned.log.splitlines()
        assert [line.startswith(start) for line, start in zip(lines, starts, strict=True)] == [True] * 4

    def test_the_first_phase_does_not_depend_on_the_second(self, spoilt, frozen):
        for name in ("train/loss", "eval/loss"):
            assert spoilt.curve(name)[:4] == frozen.curve(name)


@pytest.mark.ci
class TestFreshStart:
    """fine_tune.start: fresh, as system E had it: backbone and head learn together from their first weights on."""

    def test_it_is_one_phase_of_as_many_epochs_as_fine_tuning_has(self, fresh):
        assert len(fresh.curve("train/loss")) == FRESH["epochs"]
        assert "epoch 2/2" in fresh.log

    @pytest.mark.usefixtures("folder")
    def test_backbone_and_head_have_learnt(self, fresh):
        before, after = published_backbone(), backbone_of(fresh.model)
        changed = [(a != b).any() for a, b in zip(before.get_weights(), after.get_weights(), strict=True)]
        assert sum(changed) > len(changed) / 2
        assert fresh.curve("train/loss")[-1] < fresh.curve("train/loss")[0]

    def test_what_is_saved_has_the_metrics_of_the_epoch_in_the_record(self, fresh, load_saved):
        with contextlib.chdir(fresh.folder):
            loss = measure_loss(*predict(load_saved(fresh), "val"))
        assert loss == pytest.approx(fresh.best["val_loss"], rel=1e-3)

    @pytest.mark.usefixtures("folder")
    def test_the_statistics_of_batch_normalization_never_change(self, fresh):
        for before, after in zip(published_backbone().layers, backbone_of(fresh.model).layers, strict=True):
            if "moving_mean" in {variable.name for variable in before.variables}:
                assert (before.moving_mean.numpy() == after.moving_mean.numpy()).all()


class EnoughError(Exception):
    """Raised by watch."""


@pytest.mark.ci
class TestWatch:
    """It is called after each epoch of both phases, and can end training."""

    def test_epochs_are_counted_across_both_phases(self, watched):
        run, heard = watched
        assert [step for step, _ in heard] == [0, 1, 2, 3]
        assert [accuracy for _, accuracy in heard] == pytest.approx(run.curve("eval/accuracy"), abs=1e-6)

    @pytest.mark.parametrize("last", [1, 2])  # the first phase has two epochs
    @pytest.mark.usefixtures("folder")
    def test_an_exception_that_it_raises_ends_training_in_either_phase(self, last):
        heard: list[int] = []

        def watch(step: int, _: float) -> None:
            heard.append(step)
            if step == last:
                raise EnoughError

        with pytest.raises(EnoughError):
            train(watch=watch, **UNTRAINED, fine_tune=FINE_TUNE)
        assert heard == list(range(last + 1))
        assert not Path("models").exists()


class TestRefusals:
    def refusal(self, **changes: Any) -> str:
        with pytest.raises(PipelineError) as caught:
            train(**changes)
        assert "\n" not in str(caught.value)
        assert not Path("record").exists()  # not one epoch ran
        return str(caught.value)

    @pytest.mark.usefixtures("folder")
    @pytest.mark.parametrize(("unfreeze", "has"), [("5 blocks", "3 blocks"), (99, "10 layers")])
    def test_more_layers_to_unfreeze_than_there_are(self, unfreeze, has):
        message = self.refusal(fine_tune=FINE_TUNE | {"unfreeze": unfreeze})
        assert message.startswith(f"recipes.mobilenet.fine_tune.unfreeze: mobilenet has {has}")
        assert str(unfreeze) in message

    @pytest.mark.usefixtures("folder")
    def test_features_of_other_weights(self):
        message = self.refusal(backbone={"weights": "none"})
        assert "other weights than recipes.mobilenet.backbone.weights names" in message
        assert "run `dvc repro -f embed@mobilenet`" in message

    def test_missing_features(self, data, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        shutil.copytree(data / "tfrecords", "data/tfrecords")
        assert "data/embeddings/mobilenet has no features" in self.refusal()


@pytest.mark.ci
class TestDivergence:
    """A loss that is no longer finite."""

    def test_it_ends_in_one_line_with_the_epoch_and_the_rate(self, diverged):
        assert diverged.error.startswith("mobilenet: the loss is no longer a number in epoch 2 with learning rate 0.01")
        assert "lower train.learning_rate" in diverged.error
        assert "\n" not in diverged.error
        assert len(diverged.curve("train/loss")) == 2

    @pytest.mark.usefixtures("folder")
    def test_the_last_good_epochs_weights_are_kept(self, diverged):
        from pipeline.models.artifacts import load_model

        kept = Path("models/mobilenet.last-good.keras")
        assert f"the last good weights are kept in {kept}" in diverged.error
        assert [path.name for path in (diverged.folder / "models").iterdir()] == [kept.name]
        kernel, bias = head_of(load_model(diverged.folder / kept))
        found = load_embeddings("mobilenet")
        probabilities = softmax(found.features("val").take(np.arange(9)) @ kernel + bias, axis=1)
        assert measure_loss(found.labels("val"), probabilities) == pytest.approx(
            diverged.curve("eval/loss")[0], rel=1e-4
        )

    @pytest.mark.usefixtures("folder")
    def test_the_kept_model_takes_pixels(self, diverged):
        from pipeline.models.artifacts import load_model

        model = load_model(diverged.folder / "models/mobilenet.last-good.keras")
        assert model.input_shape == (None, SIZE, SIZE, 3)
        assert measure_loss(*predict(model, "val")) == pytest.approx(diverged.curve("eval/loss")[0], rel=1e-3)

    def test_nothing_is_kept_where_the_first_epoch_diverges(self, run_train, monkeypatch):
        poison(monkeypatch, "make_feature_batches", from_epoch=0)
        run = run_train()
        assert "no longer a number in epoch 1" in run.error
        assert run.error.endswith("no epoch before it was good, nothing is kept")
        assert not (run.folder / "models").exists()

    def test_an_epoch_whose_last_step_diverges_is_not_a_good_one(self, run_train):
        """The training loss is measured before the last step: only the validation loss shows its effect."""
        run = run_train(epochs=1, batch_size=100, optimizer="sgd", learning_rate=1e38)
        assert np.isfinite(run.curve("train/loss")).all()
        assert not np.isfinite(run.curve("eval/loss")).any()
        assert run.error.startswith("mobilenet: the loss is no longer a number in epoch 1")

    def test_in_fine_tuning_the_error_has_the_learning_rate_of_fine_tuning(self, diverged_late):
        assert "with learning rate 0.125" in diverged_late.error
        assert "\n" not in diverged_late.error
        assert "recipes.mobilenet.fine_tune.learning_rate" in diverged_late.error
        assert "train.learning_rate" not in diverged_late.error

    @pytest.mark.usefixtures("folder")
    def test_in_fine_tuning_the_first_phases_model_is_kept(self, diverged_late):
        from pipeline.models.artifacts import load_model

        losses = diverged_late.curve("eval/loss")
        assert np.isfinite(losses[0])
        model = load_model(diverged_late.folder / "models/mobilenet.last-good.keras")
        assert measure_loss(*predict(model, "val")) == pytest.approx(losses[0], rel=1e-3)

    def test_in_fine_tuning_epochs_are_counted_across_both_phases(
        self, diverged_late, worse_then_diverged, better_then_diverged
    ):
        for run, epoch in ((diverged_late, 1 + 1), (worse_then_diverged, 4 + 2), (better_then_diverged, 2 + 2)):
            assert run.error.startswith(f"mobilenet: the loss is no longer a number in epoch {epoch} with")
            assert len(run.curve("train/loss")) == epoch

    @pytest.mark.usefixtures("folder")
    def test_a_good_epoch_that_is_worse_than_the_first_phase_is_not_kept(self, worse_then_diverged, frozen):
        from pipeline.models.artifacts import load_model

        losses = worse_then_diverged.curve("eval/loss")
        assert losses[:4] == frozen.curve("eval/loss")
        assert np.isfinite(losses[4])
        assert losses[4] > 2 * min(losses[:4])
        model = load_model(worse_then_diverged.folder / "models/mobilenet.last-good.keras")
        assert are_identical(model.get_weights(), frozen.model.get_weights())
        assert measure_loss(*predict(model, "val")) == pytest.approx(min(losses[:4]), rel=1e-3)

    @pytest.mark.usefixtures("folder")
    def test_a_good_epoch_that_is_better_than_the_first_phase_is_kept(self, better_then_diverged):
        from pipeline.models.artifacts import load_model

        losses = better_then_diverged.curve("eval/loss")
        assert losses[2] < min(losses[:2])
        model = load_model(better_then_diverged.folder / "models/mobilenet.last-good.keras")
        assert measure_loss(*predict(model, "val")) == pytest.approx(losses[2], rel=1e-3)


class TestLinearMachine:
    @pytest.mark.usefixtures("folder")
    def test_the_saved_model_on_pixels_agrees_with_the_hyperplanes_on_features(self, fitted, load_saved):
        from pipeline.training.one_against_rest import fit_hyperplanes

        found = load_embeddings("mobilenet_svm")
        x = np.concatenate([found.features("train", view).take(np.arange(24)) for view in range(VIEWS + 1)])
        y = np.tile(found.labels("train"), VIEWS + 1)
        planes = fit_hyperplanes(x, y, num_classes=3, penalties=np.ones(len(y)), max_iterations=1000)
        scores = found.features("val").take(np.arange(9)) @ planes.kernel + planes.bias
        _, probabilities = predict(load_saved(fitted), "val")
        np.testing.assert_allclose(probabilities, softmax(fitted.best["scale"] * scores, axis=1), atol=1e-3)

    @pytest.mark.usefixtures("folder")
    def test_an_easy_problem_is_solved(self, fitted, load_saved):
        assert measure_accuracy(*predict(load_saved(fitted), "val")) == 1

    @pytest.mark.usefixtures("folder")
    def test_the_backbone_is_the_one_that_computed_the_features(self, fitted):
        from pipeline.models.predictions import was_made_by

        assert was_made_by(fitted.model, load_embeddings("mobilenet_svm"))
        assert not fitted.model.compiled

    def test_the_record_has_one_point_where_networks_have_a_curve(self, fitted):
        for name in ("train/accuracy", "train/loss", "eval/accuracy", "eval/loss"):
            assert len(fitted.curve(name)) == 1

    def test_scikit_learns_svc_predicts_the_same_from_features_and_from_pixels(self, folder):
        from sklearn.svm import SVC

        from pipeline.models.artifacts import load_model, save_model
        from pipeline.models.predictions import predict_embedded, predict_split
        from pipeline.training.svm import load_embedded, load_views, train_linear

        model = train_linear("mobilenet_svm", FeatureLinearRecipe(**SVM | {"solver": "svc"}), record=Path("record"))
        save_model(model, folder / "voting.keras")
        found = load_embeddings("mobilenet_svm")
        loaded, machine = load_model(folder / "voting.keras"), SVC(kernel="linear", break_ties=True)
        expected = machine.fit(*load_views(found, 1.0)).predict(load_embedded(found, "val")[0])
        for _, probabilities in (predict_embedded(loaded, found, "val"), predict_split(loaded, "val")):
            np.testing.assert_array_equal(probabilities.argmax(axis=1), expected)

    @pytest.mark.usefixtures("folder")
    def test_features_of_other_weights_are_refused(self):
        from pipeline.training.svm import train_linear

        recipe = FeatureLinearRecipe(**SVM | {"backbone": {"weights": "none"}})
        with pytest.raises(PipelineError, match=r"^[^\n]*run `dvc repro -f embed@mobilenet_svm`$"):
            train_linear("mobilenet_svm", recipe, record=Path("record"))

    # 24 images of 2 features of 4 bytes: 192 bytes per view
    @pytest.mark.parametrize(
        ("max_gb", "views"), [(1.0, 3), (577e-9, 3), (575e-9, 2), (385e-9, 2), (383e-9, 1), (1e-12, 1)]
    )
    def test_augmented_views_are_added_as_long_as_they_fit(self, tmp_path, max_gb, views):
        from pipeline.training.svm import load_views

        features, labels = load_views(make_embeddings(tmp_path), max_gb)
        np.testing.assert_array_equal(features[:, 0], np.tile(np.arange(24), views))
        np.testing.assert_array_equal(features[:, 1], np.repeat(np.arange(views), 24))
        np.testing.assert_array_equal(labels, np.tile(np.arange(24) % 3, views))

    def test_validation_has_the_images_themselves(self, tmp_path):
        from pipeline.training.svm import load_embedded

        features, labels = load_embedded(make_embeddings(tmp_path), "val")
        np.testing.assert_array_equal(features, np.arange(18).reshape(9, 2))
        np.testing.assert_array_equal(labels, np.arange(9) % 3)
