import contextlib
from pathlib import Path

import numpy as np
import pytest

from pipeline.models.build import build_model
from pipeline.runtime.paths import METRICS
from tests.code_digests import write_code
from tests.conftest import Project
from tests.tfrecords import make_coloured_split, make_noise, write_records

pytestmark = pytest.mark.usefixtures("tensorflow")

SIZE = 32
IMAGES = make_noise(5, SIZE).astype(np.float32)
SETTINGS = {"underfit": {}, "linear_svm": {"solver": "svc"}, "mobilenet": {"features": [1], "input_size": 48}}


def build(family: str, *, averaged: bool = True):
    """The same weights each time."""
    import keras

    from pipeline.models.mirrors import average_mirrors

    keras.utils.set_random_seed(3)
    with pytest.MonkeyPatch.context() as patch:
        from tests.small_backbone import shrink_mobilenet

        shrink_mobilenet(patch)
        model = build_model(family, image_size=SIZE, num_classes=3, **SETTINGS[family])
    return average_mirrors(model) if averaged else model


def mean_of_both(model) -> np.ndarray:
    return (model(IMAGES).numpy() + model(IMAGES[:, :, ::-1]).numpy()) / 2


@pytest.mark.parametrize("family", SETTINGS)
def test_an_answer_is_the_mean_over_an_image_and_its_mirror_image(family):
    model = build(family)
    np.testing.assert_allclose(model(IMAGES).numpy(), mean_of_both(build(family, averaged=False)), atol=1e-6)
    assert (model.name, model.input_shape, model.output_shape) == (family, (None, SIZE, SIZE, 3), (None, 3))


@pytest.mark.ci
@pytest.mark.parametrize("family", SETTINGS)
def test_a_saved_one_is_loaded_safely_with_the_same_answers_and_bytes(family, tmp_path):
    import keras

    from pipeline.models.artifacts import load_model, save_model
    from pipeline.models.inference import freeze

    for name in ("first.keras", "second.keras"):
        keras.backend.clear_session()  # layers are numbered as in a new process
        model = build(family)
        save_model(model, tmp_path / name)
    assert (tmp_path / "first.keras").read_bytes() == (tmp_path / "second.keras").read_bytes()
    loaded = load_model(tmp_path / "first.keras")
    np.testing.assert_allclose(freeze(loaded)(IMAGES), model(IMAGES).numpy(), atol=1e-6)


def test_the_model_inside_is_found_and_no_other_is_taken_for_one(tmp_path):
    from pipeline.models.artifacts import load_model, save_model
    from pipeline.models.build import put_in_front
    from pipeline.models.mirrors import get_one_view, is_averaged

    plain = build("underfit", averaged=False)
    for other in (plain, put_in_front(plain, image_size=64, augment={})):
        assert not is_averaged(other)
        assert get_one_view(other) is other
    save_model(build("underfit"), tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert is_averaged(loaded)
    np.testing.assert_allclose(get_one_view(loaded)(IMAGES).numpy(), plain(IMAGES).numpy(), atol=1e-6)


@pytest.mark.parametrize("family", ["underfit", "mobilenet"])
def test_what_is_said_of_its_layers_and_features_is_said_of_the_model_inside(family):
    from pipeline.evaluation.layer_table import make_layer_table
    from pipeline.evaluation.out_of_distribution import make_feature_model
    from pipeline.models.inference import freeze

    model, plain = build(family), build(family, averaged=False)
    columns = ["kind", "rows", "columns", "channels", "parameters"]
    assert make_layer_table(model)[columns].equals(make_layer_table(plain)[columns])
    features, expected = (freeze(make_feature_model(one))(IMAGES) for one in (model, plain))
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)


def test_a_heat_map_is_the_mean_of_both_maps():
    from pipeline.evaluation.gradcam import compute_heat_maps

    model, plain, classes = build("underfit"), build("underfit", averaged=False), np.arange(5) % 3
    maps = [compute_heat_maps(plain, view, classes) for view in (IMAGES, IMAGES[:, :, ::-1])]
    found = compute_heat_maps(model, IMAGES, classes)
    np.testing.assert_allclose(found, (maps[0] + maps[1][:, :, ::-1]) / 2, atol=1e-5)
    np.testing.assert_allclose(compute_heat_maps(model, IMAGES[:, :, ::-1], classes), found[:, :, ::-1], atol=1e-5)
    assert compute_heat_maps(build("linear_svm"), IMAGES, classes) is None, "as there are no convolutions"


@pytest.mark.ci
def test_exported_files_average_too(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("ai_edge_litert")
    from pipeline.export.formats import FORMATS
    from pipeline.export.graphs import save_litert, save_saved_model
    from pipeline.export.onnx_files import save_onnx
    from pipeline.export.runners import load_runner
    from tests.pipeline.export.contracts import make_contract

    model, contract = build("mobilenet"), make_contract(image_size=SIZE)
    save_saved_model(model, tmp_path / "savedmodel", contract)
    save_onnx(model, tmp_path / FORMATS["onnx"].file, contract)
    save_onnx(build("mobilenet", averaged=False), tmp_path / "plain.onnx", contract)
    save_litert(tmp_path / "savedmodel", tmp_path / FORMATS["litert"].file, contract, "litert", make_noise(2, SIZE))
    for name in ("savedmodel", "onnx", "litert"):
        run = load_runner(name, tmp_path, threads=2)
        for count in (1, 5):
            np.testing.assert_allclose(run(IMAGES[:count]), model(IMAGES[:count]).numpy(), atol=1e-5)
    sizes = [(tmp_path / name).stat().st_size for name in (FORMATS["onnx"].file, "plain.onnx")]
    assert sizes[0] < 1.2 * sizes[1], "each weight is there once"


FAMILIES = ("mobilenet", "mobilenet_svm", "mobilenet_fine_tuned")
COUNTS = {"train": 30, "val": 12, "test": 9}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project with small families on a backbone, embedded, trained and evaluated with averages. Not to be changed."""
    folder = tmp_path_factory.mktemp("project")
    project = Project(folder)
    project.set(
        families=list(FAMILIES),
        preprocess__image_size=SIZE,
        evaluate__tta="flip",
        train__epochs=2,
        **{f"recipes__{name}__backbone__weights": "none" for name in FAMILIES},
        recipes__mobilenet_fine_tuned__fine_tune={"epochs": 1, "learning_rate": 0.1, "from": "block 2"},
    )
    splits = {name: make_coloured_split(n, SIZE, seed=n) for name, n in COUNTS.items()}
    write_records(folder / "data/tfrecords", class_names=["red", "green", "blue"], **splits)
    for verb in ("embed", "train"):
        write_code(verb, *FAMILIES, folder=folder)
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(folder):
        from stages import embed, evaluate, train
        from tests.small_backbone import shrink_mobilenet

        shrink_mobilenet(patch)
        patch.setattr("pipeline.evaluation.latency._LEAST_SECONDS", 0.0)
        for verb in (embed, train, evaluate):
            patch.setattr(verb, "configure_tensorflow", lambda **_: None)
        for family in FAMILIES:
            embed.embed(family)
            train.train(family)
            evaluate.evaluate(family)
    return folder


@pytest.mark.ci
class TestStages:
    @pytest.fixture(autouse=True)
    def _inside(self, finished, monkeypatch):
        monkeypatch.chdir(finished)

    @pytest.mark.parametrize("family", FAMILIES)
    def test_evaluate_and_the_model_file_agree_on_every_split(self, family):
        import pandas as pd

        from pipeline.data.batches import load_split
        from pipeline.models.artifacts import load_model
        from pipeline.models.mirrors import get_one_view

        images, _ = load_split("test")
        model = load_model(Path("models") / f"{family}.keras")
        told = pd.read_csv(METRICS / family / "predictions.csv").filter(like="p:").to_numpy()
        plain = get_one_view(model)
        mean = (plain(images).numpy() + plain(images[:, :, ::-1]).numpy()) / 2
        np.testing.assert_allclose(told, mean, atol=1e-4)
        np.testing.assert_allclose(told, model(images).numpy(), atol=1e-4)

    def test_mirror_images_are_kept_and_at_a_cut_not_those_of_test(self):
        from pipeline.data.embeddings import MIRROR, load_embeddings

        for name in FAMILIES:
            found = load_embeddings(name)
            kept = {split: len(found.features(split, MIRROR)) for split in COUNTS if found.facts.has_mirrors(split)}
            tuned = name.endswith("fine_tuned")
            assert kept == {split: n for split, n in COUNTS.items() if split != "test" or not tuned}
            assert len(found.activations("train", MIRROR)) == (COUNTS["train"] if tuned else 0)
