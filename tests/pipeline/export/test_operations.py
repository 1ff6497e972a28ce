"""Of a machine with one hyperplane per pair of classes, which computes in double precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.export.formats import FORMATS
from pipeline.export.graphs import save_litert, save_saved_model
from pipeline.export.onnx_files import save_onnx, save_openvino
from pipeline.export.operations import common_operations, make_single_precision
from pipeline.export.runners import load_runner
from pipeline.models.build import build_model
from pipeline.models.voting import set_planes
from tests.pipeline.export.contracts import make_contract
from tests.tfrecords import make_noise

SIZE = 16
IMAGES = make_noise(6, SIZE).astype(np.float32)


@pytest.fixture(scope="module")
def votes():
    model = build_model("linear_svm", image_size=SIZE, num_classes=3, solver="svc")
    kernel = np.random.default_rng(0).normal(size=(SIZE * SIZE * 3, 3)) / 1000
    set_planes(model, kernel, np.array([0.1, 0.0, -0.1]), 2.0)
    return model


def list_operations(model) -> list[tuple[str, str]]:
    """(kind, type of the result) of each."""
    graph = tf.function(model).get_concrete_function(tf.TensorSpec((None, SIZE, SIZE, 3))).graph
    return [
        (operation.type, operation.outputs[0].dtype.name) for operation in graph.get_operations() if operation.outputs
    ]


def test_softsign_is_written_out_while_a_graph_is_traced(votes):
    with common_operations():
        kinds = [kind for kind, _ in list_operations(votes)]
    assert "Softsign" not in kinds
    assert "Abs" in kinds
    assert "Softsign" in [kind for kind, _ in list_operations(votes)], "and only then"


def test_a_model_in_double_precision_has_a_twin_in_single(votes):
    single = make_single_precision(votes)
    assert "float64" in [dtype for _, dtype in list_operations(votes)]
    assert "float64" not in [dtype for _, dtype in list_operations(single)]
    np.testing.assert_allclose(single(IMAGES), votes(IMAGES), atol=1e-4)


def test_any_other_model_stays_what_it_is():
    model = build_model("linear_svm", image_size=SIZE, num_classes=3)
    assert make_single_precision(model) is model


@pytest.fixture(scope="module")
def swish():
    """With constants that a layer holds, and an activation with a gradient of its own, as in EfficientNetV2."""
    layers = [
        keras.layers.Normalization(mean=[120.0, 110.0, 100.0], variance=[50.0, 60.0, 70.0]),
        keras.layers.Conv2D(4, 3, activation="swish"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3, activation="softmax"),
    ]
    return keras.Sequential([keras.Input((SIZE, SIZE, 3)), *layers])


def export(model, folder, name):
    """The file as a function."""
    for package in FORMATS[name].packages:
        pytest.importorskip(package)
    contract = make_contract(image_size=SIZE)
    if name == "savedmodel":
        save_saved_model(model, folder / "savedmodel", contract)
    elif name == "litert":
        save_saved_model(make_single_precision(model), folder / "single", contract)
        save_litert(folder / "single", folder / "model.tflite", contract, name, make_noise(1, SIZE))
    else:
        save_onnx(model, folder / "model.onnx", contract)
    if name == "openvino":
        save_openvino(folder / "model.onnx", folder / "model.xml", contract)
    return load_runner(name, folder, threads=2)


EVERY_RUNTIME = pytest.mark.parametrize(
    "name", ["savedmodel", *(pytest.param(name, marks=pytest.mark.ci) for name in ("onnx", "openvino", "litert"))]
)


@EVERY_RUNTIME
def test_every_runtime_counts_the_same_votes(votes, tmp_path, name):
    np.testing.assert_allclose(export(votes, tmp_path, name)(IMAGES), votes(IMAGES), atol=1e-4)


@EVERY_RUNTIME
def test_every_runtime_knows_swish_and_constants_of_layers(swish, tmp_path, name):
    np.testing.assert_allclose(export(swish, tmp_path, name)(IMAGES), swish(IMAGES), atol=1e-5)
