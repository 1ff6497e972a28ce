"""SavedModel and LiteRT files of small networks. LiteRT's runtime is an extra: `make test-ci` runs it."""

import json

import numpy as np
import pytest

from pipeline.export.formats import FORMATS
from pipeline.export.graphs import save_litert, save_saved_model
from pipeline.export.runners import load_runner
from pipeline.models.build import build_model
from pipeline.models.contract import CONTRACT_FILE, dump_contract
from pipeline.models.inference import freeze
from tests.pipeline.export.contracts import make_contract
from tests.tfrecords import make_noise

SIZE = 32
CONTRACT = make_contract(image_size=SIZE)
IMAGES = make_noise(6, SIZE).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    return build_model("underfit", image_size=SIZE, num_classes=3)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    save_saved_model(model, folder / "savedmodel", CONTRACT)
    return folder


def test_a_saved_model_gives_the_probabilities_of_the_model(model, saved):
    run = load_runner("savedmodel", saved, threads=2)
    np.testing.assert_allclose(run(IMAGES), freeze(model)(IMAGES), atol=1e-6)
    assert run(IMAGES[:1]).shape == (1, 3), "any number of images"


def test_its_weights_are_constants_in_plain_operations(tmp_path, tensorflow):
    """Of a dense layer on 3,072 values, which portable arithmetic sums in pieces."""
    save_saved_model(build_model("linear_svm", image_size=SIZE, num_classes=3), tmp_path / "savedmodel", CONTRACT)
    serve = tensorflow.saved_model.load(str(tmp_path / "savedmodel")).signatures["serving_default"]
    assert not serve.variables
    library = serve.graph.as_graph_def().library.function
    assert [node.op for function in library for node in function.node_def].count("MatMul") == 1


def test_it_holds_nothing_random_and_its_contract(saved):
    folder = saved / "savedmodel"
    assert not (folder / "fingerprint.pb").exists()
    assert (folder / "assets.extra" / CONTRACT_FILE).read_text(encoding="utf-8") == dump_contract(CONTRACT)


def read_metadata(content: bytes) -> dict[str, str]:
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    return {
        entry.name.decode(): bytes(model.buffers[entry.buffer].data).decode()
        for entry in model.metadata
        if entry.name == CONTRACT_FILE.encode()
    }


@pytest.mark.ci
def test_a_litert_file_holds_its_contract_and_is_the_same_each_time(saved):
    files = [saved / f"{number}.tflite" for number in range(2)]
    for file in files:
        save_litert(saved / "savedmodel", file, CONTRACT, "litert", make_noise(2, SIZE))
    first, second = (file.read_bytes() for file in files)
    assert first == second
    assert json.loads(read_metadata(first)[CONTRACT_FILE])["class_names"] == CONTRACT.class_names


@pytest.mark.ci
@pytest.mark.parametrize(
    ("name", "difference"),
    [("litert", 1e-6), ("litert_float16", 0.01), ("litert_int8_weights", 0.02), ("litert_int8", 0.2)],
)
def test_litert_runs_every_kind_of_file(model, saved, name, difference):
    pytest.importorskip("ai_edge_litert")
    save_litert(saved / "savedmodel", saved / FORMATS[name].file, CONTRACT, name, make_noise(20, SIZE))
    run = load_runner(name, saved, threads=2)
    np.testing.assert_allclose(run(IMAGES), freeze(model)(IMAGES), atol=difference)
    assert (run(IMAGES[:1]).dtype, run(IMAGES[:1]).shape) == (np.float32, (1, 3))
