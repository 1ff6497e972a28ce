import numpy as np
import pytest
from tensorflow.python.framework import ops

from pipeline.models.build import build_model
from pipeline.models.inference import freeze, freeze_function

SIZE = 32
IMAGES = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3), np.uint8)


@pytest.mark.parametrize("images", [IMAGES, IMAGES[:1]])
def test_a_frozen_model_gives_what_the_model_gives(images):
    model = build_model("underfit", image_size=SIZE, num_classes=3)
    found = freeze(model)(images)
    assert (found.dtype, found.shape) == (np.float32, (len(images), 3))
    np.testing.assert_allclose(found, model(images.astype(np.float32), training=False).numpy(), atol=1e-6)


def test_a_function_of_several_tensors_takes_them_in_order():
    apply = freeze_function(lambda one, other: one - 2 * other, (3,), (3,))
    one, other = np.float32([[1, 2, 3]]), np.float32([[4, 5, 6]])
    np.testing.assert_array_equal(apply(one, other), one - 2 * other)
    np.testing.assert_array_equal(apply(other, one), other - 2 * one)


def test_a_call_writes_no_numbers_into_a_text(monkeypatch):
    """TensorFlow's own way does, which takes ten times as long as a small model."""
    apply = freeze_function(lambda x: x + 1, (3,))
    monkeypatch.setattr(ops, "numpy_text", lambda *_: pytest.fail("numbers are written into a text"))
    np.testing.assert_array_equal(apply(np.zeros((2, 3), np.float32)), np.ones((2, 3)))
