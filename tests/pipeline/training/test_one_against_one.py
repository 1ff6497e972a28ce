import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.svm import SVC

from pipeline.config.recipe_sections import PixelLinearRecipe
from tests.tfrecords import write_records

pytestmark = pytest.mark.usefixtures("tensorflow")

RECIPE = dict.fromkeys(("backbone", "input_size", "augment"))
RECIPE |= {"solver": "svc", "C": 1.0, "max_iterations": 1000, "max_gb": 1.0, "class_weight": "none"}


def load_pictures(num_classes: int, *, faded: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Handwritten digits as grey pictures, uint8 (n, 8, 8, 3), and labels. faded: with noise, so that not all are right."""
    images, labels = load_digits(return_X_y=True)
    kept = labels < num_classes
    pixels = images[kept].reshape(-1, 8, 8, 1) * 8 + np.zeros(3)
    noise = np.random.default_rng(0).normal(0, 60, pixels.shape) if faded else 0
    return np.clip(pixels + noise, 0, 255).astype(np.uint8), labels[kept]


def write(images: np.ndarray, labels: np.ndarray, *, names: list[str] | None = None) -> None:
    """A third for training, a sixth for validation."""
    third, half = len(labels) // 3, len(labels) // 2
    names = names or [str(number) for number in range(labels.max() + 1)]
    write_records(
        class_names=names, train=(images[:third], labels[:third]), val=(images[third:half], labels[third:half])
    )


def train(**changes):
    from pipeline.training.svm import train_linear

    return train_linear("linear_svm", PixelLinearRecipe(**RECIPE | changes), record=Path("record"))


def fit_study(images: np.ndarray, labels: np.ndarray, **settings) -> SVC:
    """The study's machine on the same training images."""
    third = len(labels) // 3
    machine = SVC(kernel="linear", C=1, break_ties=True, **settings)
    return machine.fit(images[:third].reshape(third, -1).astype(float), labels[:third])


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("num_classes", [2, 5, 10])
def test_the_loaded_model_predicts_what_svc_predicts(num_classes, tmp_path):
    import keras

    from pipeline.models.artifacts import save_model
    from pipeline.models.inference import freeze

    images, labels = load_pictures(num_classes)
    write(images, labels)
    save_model(train(), tmp_path / "linear_svm.keras")
    expected = fit_study(images, labels).predict(images.reshape(len(images), -1).astype(float))
    loaded = keras.models.load_model(tmp_path / "linear_svm.keras")
    assert 0.5 < np.mean(expected[len(images) // 2 :] == labels[len(images) // 2 :]) < 1
    np.testing.assert_array_equal(freeze(loaded)(images).argmax(axis=1), expected)


def test_its_file_has_the_same_bytes_each_time(tmp_path):
    import keras

    from pipeline.models.artifacts import save_model

    write(*load_pictures(3))
    for name in ("first", "again"):
        keras.backend.clear_session()
        save_model(train(), tmp_path / f"{name}.keras")
    assert (tmp_path / "first.keras").read_bytes() == (tmp_path / "again.keras").read_bytes()


def test_classes_are_weighted():
    images, labels = load_pictures(4)
    kept = (labels != 3) | (np.arange(len(labels)) % 8 == 0)
    images, labels = images[kept], labels[kept]
    write(images, labels)
    machine = fit_study(images, labels, class_weight="balanced")
    predicted = train(class_weight="balanced").predict_on_batch(images).argmax(axis=1)
    np.testing.assert_array_equal(predicted, machine.predict(images.reshape(len(images), -1).astype(float)))


@pytest.mark.parametrize("absent", [0, 1, 3])
def test_a_class_without_training_images_is_never_predicted(absent):
    images, labels = load_pictures(4)
    images, labels = images[labels != absent], labels[labels != absent]
    write(images, labels, names=["a", "b", "c", "d"])
    machine = fit_study(images, labels)
    predicted = train().predict_on_batch(images).argmax(axis=1)
    np.testing.assert_array_equal(predicted, machine.predict(images.reshape(len(images), -1).astype(float)))


def test_with_one_class_in_training_all_are_of_it():
    images, labels = load_pictures(3)
    images, labels = images[labels == 1], labels[labels == 1]
    write(images, labels, names=["a", "b", "c"])
    assert set(train().predict_on_batch(images).argmax(axis=1)) == {1}


def test_pixels_are_averaged_until_they_fit():
    images, labels = load_pictures(3, faded=False)
    write(images, labels)
    model = train(max_gb=len(labels) // 3 * 16 * 3 * 8 * 1e-9)  # 4 × 4 pixels of three double numbers
    assert model.get_layer("hyperplanes").kernel.shape == (4 * 4 * 3, 3)
    assert np.mean(model.predict_on_batch(images).argmax(axis=1) == labels) > 0.95


def test_the_record_has_one_point_and_the_steps():
    write(*load_pictures(3))
    train()
    best = json.loads(Path("record/metrics.json").read_text())["best"]
    assert best["iterations"] > 10
    assert best["scale"] > 0


def test_too_few_steps_are_said(caplog):
    from pipeline.training.one_against_one import fit_pairs

    rng = np.random.default_rng(0)
    features, labels = rng.uniform(0, 255, (60, 5)).astype(np.float32), np.arange(60) % 2
    planes = fit_pairs(features, labels, num_classes=2, penalty=1.0, class_weight=None, max_iterations=1)
    assert (planes.converged, planes.iterations) == (False, 60)
    write(*(values[:60] for values in load_pictures(2)))
    train(max_iterations=1)
    assert caplog.messages == ["linear_svm: not converged after 20 steps; see recipes.linear_svm.max_iterations"]


@pytest.mark.parametrize(
    ("num_images", "words"),
    [(1_000, None), (20_000, "minutes"), (200_000, "hours")],
)
def test_what_takes_long_is_said_before(num_images, words, caplog):
    from pipeline.training.one_against_one import warn_of_duration

    warn_of_duration("linear_svm", num_images, 3072)
    assert len(caplog.messages) == (words is not None)
    assert words is None or (words in caplog.text and "recipes.linear_svm.solver=fast" in caplog.text)
