"""ONNX and OpenVINO files of small networks. Their packages are an extra: `make test-ci` runs these tests."""

import numpy as np
import pytest

from pipeline.models.contract import CONTRACT_FILE, dump_contract
from tests.pipeline.export.contracts import make_contract
from tests.tfrecords import make_noise

SIZE = 32
CONTRACT = make_contract(image_size=SIZE)
IMAGES = make_noise(6, SIZE).astype(np.float32)

pytestmark = pytest.mark.ci
onnx = pytest.importorskip("onnx")
pytest.importorskip("tf2onnx")


@pytest.fixture(scope="module")
def model():
    import keras

    from pipeline.models.build import build_model

    keras.utils.set_random_seed(1)  # some weights make logits so large that their last bits count
    return build_model("underfit", image_size=SIZE, num_classes=3)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    from pipeline.export.onnx_files import save_onnx

    folder = tmp_path_factory.mktemp("exported")
    save_onnx(model, folder / "model.onnx", CONTRACT)
    return folder


@pytest.fixture(scope="module")
def expected(model):
    from pipeline.models.inference import freeze

    return freeze(model)(IMAGES)


def test_onnx_runtime_gives_the_probabilities_of_the_model(folder, expected):
    from pipeline.export.runners import load_runner

    pytest.importorskip("onnxruntime")
    run = load_runner("onnx", folder, threads=2)
    np.testing.assert_allclose(run(IMAGES), expected, atol=1e-6)
    assert run(IMAGES[:1]).shape == (1, 3)


def test_nothing_in_the_file_is_for_people_or_by_chance(folder):
    model = onnx.load(str(folder / "model.onnx"))
    assert {node.name + node.doc_string for node in model.graph.node} == {""}
    assert not model.graph.value_info
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["image", "probabilities"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "images"
    assert {prop.key: prop.value for prop in model.metadata_props} == {CONTRACT_FILE: dump_contract(CONTRACT)}
    assert [file.name for file in folder.glob("*.onnx")] == ["model.onnx"]


def test_where_the_model_refuses_by_distance_the_file_gives_it_too(model, expected, tmp_path):
    import onnxruntime

    from pipeline.evaluation.familiarity import fit_directions, fit_familiarity, measure_distances
    from pipeline.export.onnx_files import save_onnx
    from pipeline.export.runners import load_runner
    from pipeline.models.joint import make_extractor

    features = make_extractor(model)(IMAGES, training=False).numpy()
    directions = fit_directions(features, np.arange(6) % 3, 3)
    familiarity = fit_familiarity(np.ones(9), directions, by_distance=True)
    contract = CONTRACT.model_copy(update={"familiarity": familiarity})
    files = [tmp_path / name for name in ("1.onnx", "model.onnx")]
    for file in files:
        save_onnx(model, file, contract)
    assert files[0].read_bytes() == files[1].read_bytes()
    session = onnxruntime.InferenceSession(str(files[0]))
    assert [(end.name, len(end.shape)) for end in session.get_outputs()] == [("probabilities", 2), ("distance", 1)]
    probabilities, distances = session.run(None, {"image": IMAGES})
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    np.testing.assert_allclose(distances, measure_distances(features, directions), rtol=5e-3)
    both = np.hstack([probabilities, distances[:, None]])
    np.testing.assert_allclose(load_runner("onnx", tmp_path, threads=1)(IMAGES), both, rtol=1e-5)


def shuffle(model, seed: int):
    """The same graph in another order, by other names, with a node and a weight that lead nowhere."""
    rng, shuffled = np.random.default_rng(seed), onnx.ModelProto()
    shuffled.CopyFrom(model)
    graph = shuffled.graph
    tensors = {name for node in graph.node for name in (*node.input, *node.output) if name}
    names = {name: f"{seed}_{number}" for number, name in enumerate(sorted(tensors))}
    for node in graph.node:
        node.name, node.doc_string = f"node {rng.random()}", "text"
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    for entry in (*graph.initializer, *graph.input, *graph.output):
        entry.name = names[entry.name]
    graph.initializer.append(onnx.numpy_helper.from_array(np.float32([1.0]), "nowhere"))
    graph.node.append(onnx.helper.make_node("Relu", ["nowhere"], ["nothing"]))
    for field in (graph.node, graph.initializer):
        entries = [type(entry).FromString(entry.SerializeToString()) for entry in field]
        del field[:]
        field.extend(entries[i] for i in rng.permutation(len(entries)))
    return shuffled


def test_the_same_graph_is_the_same_file_whatever_its_order_and_its_names(folder):
    from pipeline.export.onnx_files import make_canonical

    model = onnx.load(str(folder / "model.onnx"))
    for seed in range(3):
        other = shuffle(model, seed)
        assert other.SerializeToString(deterministic=True) != model.SerializeToString(deterministic=True)
        make_canonical(other)
        assert other.SerializeToString(deterministic=True) == (folder / "model.onnx").read_bytes()


def test_openvino_gives_the_probabilities_of_the_model(folder, expected):
    from pipeline.export.onnx_files import save_openvino
    from pipeline.export.runners import load_runner

    openvino = pytest.importorskip("openvino")
    save_openvino(folder / "model.onnx", folder / "model.xml", CONTRACT)
    run = load_runner("openvino", folder, threads=2)
    np.testing.assert_allclose(run(IMAGES), expected, atol=1e-6)
    assert run(IMAGES[:1]).shape == (1, 3)
    written = openvino.Core().read_model(str(folder / "model.xml"))
    assert written.get_rt_info(["contract_json"]).astype(str) == dump_contract(CONTRACT)


@pytest.fixture(scope="module")
def half(folder):
    from pipeline.export.onnx_files import save_half_onnx

    save_half_onnx(folder / "model.onnx", folder.parent / "model_float16.onnx")
    return folder.parent / "model_float16.onnx"


class TestHalf:
    """Weights in float16, arithmetic in float32."""

    def test_it_says_almost_the_same(self, half, expected):
        from pipeline.export.runners import load_runner

        pytest.importorskip("onnxruntime")
        np.testing.assert_allclose(load_runner("onnx_float16", half.parent, threads=2)(IMAGES), expected, atol=0.01)

    def test_large_weights_take_half_the_bytes_and_the_contract_stays(self, half):
        weights = onnx.load(str(half)).graph.initializer
        sizes = {onnx.numpy_helper.to_array(weight).dtype: 0 for weight in weights}
        assert np.dtype(np.float16) in sizes
        large = [weight for weight in weights if np.prod(weight.dims) >= 256]
        assert {weight.data_type for weight in large} == {onnx.TensorProto.FLOAT16}
        assert {prop.key for prop in onnx.load(str(half)).metadata_props} == {CONTRACT_FILE}

    def test_the_same_file_gives_the_same_bytes(self, folder, half, tmp_path):
        from pipeline.export.onnx_files import save_half_onnx

        save_half_onnx(folder / "model.onnx", tmp_path / "again.onnx")
        assert (tmp_path / "again.onnx").read_bytes() == half.read_bytes()

    def test_numbers_that_float16_does_not_reach_stay_as_they_are(self, folder, tmp_path):
        from pipeline.export.onnx_files import save_half_onnx

        model = onnx.load(str(folder / "model.onnx"))
        [largest] = sorted(model.graph.initializer, key=lambda weight: -np.prod(weight.dims))[:1]
        values = onnx.numpy_helper.to_array(largest) * np.float32(1e9)
        largest.CopyFrom(onnx.numpy_helper.from_array(values, largest.name))
        onnx.save(model, str(tmp_path / "model.onnx"))
        save_half_onnx(tmp_path / "model.onnx", tmp_path / "half.onnx")
        kept = {weight.name: weight for weight in onnx.load(str(tmp_path / "half.onnx")).graph.initializer}
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(kept[largest.name]), values)
