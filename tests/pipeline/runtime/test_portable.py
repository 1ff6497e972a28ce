"""Arithmetic that does not depend on the processor: here on this one, in tests/test_portability.py on others, emulated."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.runtime.portable import limit_libraries, plain_arithmetic

pytestmark = pytest.mark.usefixtures("tensorflow")
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def values():
    return np.random.default_rng(0).uniform(0.01, 100, 4099).astype(np.float32)


@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize("library", ["tensorflow", "keras"])
def test_reciprocal_square_roots_are_those_of_exact_instructions(values, library, is_compiled):
    """Every processor rounds a quotient and a square root alike (IEEE 754); its instruction for 1/√x approximates."""
    import keras
    import tensorflow as tf

    compute = tf.math.rsqrt if library == "tensorflow" else keras.ops.rsqrt
    found = tf.function(compute)(values) if is_compiled else compute(values)
    assert np.array_equal(found, np.sqrt(np.float32(1) / values))


def test_a_quotient_by_a_square_root_as_in_rmsprop_is_that_of_exact_instructions(values):
    import keras
    import tensorflow as tf

    divide = tf.function(lambda a, b: keras.ops.divide(a, keras.ops.sqrt(b)))
    assert np.array_equal(divide(values[::-1], values), values[::-1] / np.sqrt(values))


def test_batch_normalization_that_is_folded_into_a_convolution_is_exact(values):
    """Weights of 1 and a variance show the factor that TensorFlow's optimizer computes when it folds."""
    import keras

    from pipeline.models.inference import freeze

    inputs = keras.Input((4, 4, 3))
    normalization = keras.layers.BatchNormalization(epsilon=0.0, center=False, scale=False)
    x = keras.layers.Conv2D(64, 1, kernel_initializer="ones", use_bias=False)(inputs)
    model = keras.Model(inputs, normalization(x))
    normalization.set_weights([np.zeros(64, np.float32), values[:64]])
    images = np.zeros((1, 4, 4, 3), np.float32)
    images[..., 0] = 1
    assert np.array_equal(freeze(model)(images)[0, 0, 0], np.sqrt(np.float32(1) / values[:64]))


def test_graphs_for_other_programs_are_made_of_plain_operations():
    import keras
    import tensorflow as tf

    def list_operations() -> list[str]:
        layer, images = keras.layers.Dense(2), tf.TensorSpec((None, 1500), tf.float32)
        graph = tf.function(layer).get_concrete_function(images).graph
        return [operation.type for operation in graph.get_operations()]

    with plain_arithmetic():
        assert list_operations().count("MatMul") == 1
    assert list_operations().count("MatMul") == 3, "portable again"


@pytest.mark.parametrize("terms", [3, 512, 513, 1500])
def test_a_dense_layer_and_its_gradients_are_right_whatever_the_number_of_terms(terms):
    import keras
    import tensorflow as tf

    rng = np.random.default_rng(1)
    layer = keras.layers.Dense(700, use_bias=False)
    layer.build((None, terms))
    x, upstream = (tf.constant(rng.normal(size=shape), tf.float32) for shape in ((5, terms), (5, 700)))
    kernel = layer.kernel.numpy().astype(np.float64)

    @tf.function(input_signature=[tf.TensorSpec((None, terms)), tf.TensorSpec((None, 700))])
    def differentiate(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return y, *tape.gradient(y, [x, layer.kernel.value], output_gradients=upstream)

    y, of_x, of_kernel = (array.numpy() for array in differentiate(x, upstream))
    expected = (x.numpy() @ kernel, upstream.numpy() @ kernel.T, x.numpy().T.astype(np.float64) @ upstream.numpy())
    for found, right in zip((y, of_x, of_kernel), expected, strict=True):
        assert np.allclose(found, right, rtol=1e-4, atol=1e-4)


def test_a_long_sum_of_a_dense_layer_is_cut_into_pieces_that_need_no_cache():
    """A piece of large values and one that cancels them: what is left of the small values says where the pieces end."""
    import keras

    x = np.full((1, 1024), 1e-3, np.float32)
    x[0, 0], x[0, 511] = 1e6, -1e6
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
    assert layer(x).numpy().item() == pytest.approx(0.512, abs=1e-3)


def test_products_of_more_dimensions_are_as_keras_computes_them():
    import keras

    x = np.random.default_rng(2).normal(size=(2, 3, 600)).astype(np.float32)
    assert np.allclose(keras.ops.matmul(x, x.transpose(0, 2, 1)), x @ x.transpose(0, 2, 1), atol=1e-3)


@pytest.mark.skipif(os.environ.get("OPENBLAS_CORETYPE") != "Haswell", reason="this processor has no AVX2")
def test_the_libraries_of_numpy_use_kernels_that_all_have():
    script = (
        "import pipeline.runtime.paths, numpy, threadpoolctl\n"
        "from numpy._core._multiarray_umath import __cpu_features__ as features\n"
        "print(features['X86_V3'], features['X86_V4'], {pool['architecture'] for pool in threadpoolctl.threadpool_info()})"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OPENBLAS", "NPY"))}
    started = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=clean, capture_output=True, text=True, check=True
    )
    assert started.stdout.split("\n")[0] == "True False {'Haswell'}"


@pytest.mark.parametrize("described", ["flags\t\t: fpu sse2 avx\n", "", None])
def test_a_processor_without_avx2_keeps_its_own_kernels(tmp_path, monkeypatch, described):
    """Others would crash there. None: a system that describes no processors."""
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    if described is not None:
        (tmp_path / "cpuinfo").write_text(described)
    limit_libraries(tmp_path / "cpuinfo")
    assert "OPENBLAS_CORETYPE" not in os.environ
