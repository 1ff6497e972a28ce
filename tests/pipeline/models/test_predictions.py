import numpy as np
import pytest

from pipeline.models.build import build_model
from tests.tfrecords import make_noise, write_records

pytestmark = pytest.mark.usefixtures("tensorflow")

COUNT, SIZE = 300, 4  # more than one batch of images
IMAGES, LABELS = make_noise(COUNT, SIZE), np.random.default_rng(1).integers(0, 3, COUNT)


@pytest.fixture
def model():
    return build_model("linear_svm", image_size=SIZE, num_classes=3)


@pytest.fixture(autouse=True)
def _records(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_records(class_names=["cat", "dog", "emu"], test=(IMAGES, LABELS), val=(IMAGES[:1], LABELS[:1]))


def predict_split(model, split: str) -> tuple[np.ndarray, np.ndarray]:
    from pipeline.models.predictions import predict_split

    return predict_split(model, split)


def test_every_image_has_its_label_in_the_order_of_the_files(model):
    labels, _ = predict_split(model, "test")
    np.testing.assert_array_equal(labels, LABELS)
    assert labels.dtype == np.int64


def test_probabilities_are_the_models_own(model):
    _, probabilities = predict_split(model, "test")
    np.testing.assert_allclose(probabilities, model(IMAGES).numpy(), atol=1e-6)
    assert probabilities.dtype == np.float32


def test_a_split_of_one_image_is_enough(model):
    labels, probabilities = predict_split(model, "val")
    assert (labels.shape, probabilities.shape) == ((1,), (1, 3))
