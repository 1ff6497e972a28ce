"""Training in 16 bits leaves a model in float32. bfloat16 needs kernels that `runtime.portable` rules out in this process."""

import numpy as np
import pytest

from pipeline.runtime.errors import PipelineError

pytestmark = pytest.mark.usefixtures("tensorflow")
SIZE = 32


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (4, SIZE, SIZE, 3)).astype(np.float32)


@pytest.fixture
def model():
    """With batch normalization, pooling, dropout and layers inside of a model inside."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    inside = keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Conv2D(4, 3), layers.BatchNormalization()])
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(inside(layers.Rescaling(1 / 255)(inputs))))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.Dropout(0.1)(x)))


def test_all_layers_but_the_last_compute_in_16_bits(model, images):
    from pipeline.training.precision import lower, restore

    before = model(images).numpy()
    lower(model, "mixed_float16")
    inside = model.layers[2]
    assert {layer.compute_dtype for layer in (model, *model.layers[1:-1], *inside.layers)} == {"float16"}
    assert {weight.dtype for weight in model.weights} <= {"float32", "uint32"}  # the latter: dropout's counter
    probabilities = model(images)
    assert probabilities.dtype == "float32"
    np.testing.assert_allclose(probabilities, before, atol=0.02)
    assert (probabilities.numpy() != before).any()
    restore(model)
    np.testing.assert_array_equal(model(images), before)


def test_a_machine_without_kernels_is_refused_before_training(model, monkeypatch):
    import tensorflow as tf

    from pipeline.training.precision import lower

    def fail(*_: object, **__: object) -> None:
        raise tf.errors.AbortedError(None, None, "could not create a primitive descriptor")  # as oneDNN for AVX2

    monkeypatch.setattr(tf.nn, "conv2d", fail)
    with pytest.raises(
        PipelineError, match=r"^runtime\.precision mixed_bfloat16: expected a GPU, or a processor with kernels"
    ):
        lower(model, "mixed_bfloat16")
    assert {layer.dtype_policy.name for layer in model._flatten_layers()} == {"float32"}


def test_float32_changes_nothing(model):
    from pipeline.training.precision import lower

    lower(model, "float32")
    assert {layer.dtype_policy.name for layer in model._flatten_layers()} == {"float32"}


def test_a_layer_with_a_precision_of_its_own_keeps_it():
    import keras

    from pipeline.training.precision import lower, restore

    inputs = keras.Input((2,))
    exact = keras.layers.Dense(2, dtype="float64")
    model = keras.Model(inputs, keras.layers.Dense(2)(exact(inputs)))
    lower(model, "mixed_float16")
    assert exact.dtype_policy.name == "float64"
    restore(model)
    assert exact.dtype_policy.name == "float64"
