"""Small presets, saved here, as backbones. KerasHub is an extra: `make test-ci` installs it and runs these tests."""

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.runtime.errors import PipelineError
from tests.code_digests import write_code
from tests.conftest import Project
from tests.tfrecords import make_coloured_split, make_noise, write_records

pytestmark = [pytest.mark.ci, pytest.mark.usefixtures("tensorflow")]
pytest.importorskip("keras_hub")

SCALE, OFFSET = [0.01, 0.02, 0.03], [-1.0, -0.5, 0.25]
PARAMETER = "recipes.dinov2.backbone.preset"
WIDTH = 16
# Pixels of its images, and how many features it gives: of the class and the mean over patches, or of one pool.
PRESETS = {"dinov2": (28, 2 * WIDTH), "vit": (32, 2 * WIDTH), "siglip": (32, WIDTH), "resnet": (32, WIDTH)}


def make_backbone(name: str):
    import keras
    from keras_hub import models

    keras.utils.set_random_seed(4)
    tokens = {"num_layers": 2, "num_heads": 2, "hidden_dim": WIDTH}
    if name == "dinov2":
        size = {"image_shape": (28, 28, 3), "position_embedding_shape": (56, 56, 3), "num_register_tokens": 2}
        return models.DINOV2Backbone(patch_size=14, intermediate_dim=32, **tokens, **size)
    if name == "vit":
        return models.ViTBackbone(image_shape=(32, 32, 3), patch_size=16, mlp_dim=32, **tokens)
    if name == "siglip":
        vision = models.SigLIPVisionEncoder(patch_size=16, image_shape=(32, 32, 3), intermediate_dim=32, **tokens)
        words = {"vocabulary_size": 50, "embedding_dim": WIDTH, "max_sequence_length": 8, "intermediate_dim": 32}
        return models.SigLIPBackbone(vision_encoder=vision, text_encoder=models.SigLIPTextEncoder(**words, **tokens))
    return models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, WIDTH],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
    )


@pytest.fixture(scope="module")
def folders(tensorflow, tmp_path_factory) -> dict[str, Path]:  # noqa: ARG001 - must be configured before Keras is imported
    """A preset of each kind. Not to be changed."""
    from keras_hub import layers

    converters = {
        "dinov2": layers.DINOV2ImageConverter,
        "vit": layers.ViTImageConverter,
        "siglip": layers.SigLIPImageConverter,
        "resnet": layers.ResNetImageConverter,
    }
    root = tmp_path_factory.mktemp("presets")
    for name, converter in converters.items():
        make_backbone(name).save_to_preset(str(root / name))
        converter(image_size=(32, 32), scale=SCALE, offset=OFFSET).save_to_preset(str(root / name))
    return {name: root / name for name in converters}


def build(folder: Path, size: int, weights: str = "imagenet"):
    from pipeline.models.backbones.loader import build_backbone

    return build_backbone("dinov2", size, weights, preset=str(folder))


def refusal(folder: object, size: int = 28) -> str:
    with pytest.raises(PipelineError) as caught:
        build(folder, size)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"{PARAMETER}: {folder} ") or line.startswith(f"{PARAMETER}: the folder {folder} ")
    return line


def compute_expected(name: str, images: np.ndarray) -> np.ndarray:
    """What the preset's own network gives for pixels as it wants them, pooled."""
    network, scaled = make_backbone(name), images * np.float32(SCALE) + np.float32(OFFSET)
    if name == "siglip":
        return np.asarray(network.vision_encoder({"images": scaled})).reshape(len(images), -1)
    output = np.asarray(network({"images": scaled} if name == "dinov2" else scaled))
    if output.ndim == 4:
        return output.mean(axis=(1, 2))
    before = {"dinov2": 3, "vit": 1}[name]  # the class token, and registers
    return np.concatenate([output[:, 0], output[:, before:].mean(axis=1)], axis=1)


@pytest.mark.parametrize("name", PRESETS)
def test_features_are_those_of_the_presets_own_network_on_pixels_scaled_as_it_says(folders, name):
    from pipeline.models.transfer import make_feature_model

    size, count = PRESETS[name]
    images = make_noise(3, size).astype(np.float32)
    model = make_feature_model("dinov2", build(folders[name], size), image_size=size, input_size=size)
    assert model.output_shape == (None, count)
    np.testing.assert_allclose(np.asarray(model(images)), compute_expected(name, images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", PRESETS)
def test_a_saved_model_is_loaded_safely_with_the_same_answers_and_bytes(folders, tmp_path, name):
    import keras

    from pipeline.models.artifacts import load_model, save_model
    from pipeline.models.build import build_model
    from pipeline.models.inference import freeze

    size = PRESETS[name][0]
    images = make_noise(3, size).astype(np.float32)
    for file in ("first.keras", "second.keras"):
        keras.backend.clear_session()
        network = build(folders[name], size)
        keras.utils.set_random_seed(1)
        model = build_model("dinov2", image_size=size, num_classes=3, network=network)
        save_model(model, tmp_path / file)
    assert (tmp_path / "first.keras").read_bytes() == (tmp_path / "second.keras").read_bytes()
    loaded = load_model(tmp_path / "first.keras")
    np.testing.assert_allclose(freeze(loaded)(images), np.asarray(model(images)), atol=1e-5)


def test_random_weights_are_the_same_each_time_and_not_the_presets(folders):
    from pipeline.models.backbones.backbone import compute_weights_digest

    own, first, second = (compute_weights_digest(build(folders["vit"], 32, w)) for w in ("imagenet", "none", "none"))
    assert first == second != own


def test_the_last_layers_alone_can_be_trained(folders):
    from pipeline.models.backbones.loader import unfreeze

    network = build(folders["vit"], 32)
    assert not network.trainable_variables
    unfreeze("dinov2", network, 2)
    some = {variable.path for variable in network.trainable_variables}
    unfreeze("dinov2", network, "all")
    every = [variable.path for variable in network.trainable_variables]
    assert some < set(every)
    assert len(every) == len(network.variables)
    assert some == set(every[-4:]), "a dense layer and the normalization at the end"
    for which in ("2 blocks", "900 layers"):
        with pytest.raises(PipelineError, match="whose blocks have no numbers: expected all, or at most that many"):
            unfreeze("dinov2", network, which)


class TestRefusals:
    def copy(self, folders, tmp_path: Path, name: str = "vit") -> Path:
        return Path(shutil.copytree(folders[name], tmp_path / "copy"))

    def test_a_size_that_it_does_not_take(self, folders):
        assert "can't be loaded for images of 40 px" in refusal(folders["vit"], 40)
        assert "takes images of 32 px: expected that as input_size, received 48" in refusal(folders["siglip"], 48)

    def test_what_does_not_say_how_pixels_are_scaled(self, folders, tmp_path):
        folder = self.copy(folders, tmp_path)
        (folder / "image_converter.json").unlink()
        assert "does not say how pixels are scaled" in refusal(folder)

    def test_a_network_for_text(self, tmp_path):
        from keras_hub.models import BertBackbone

        bert = BertBackbone(vocabulary_size=9, num_layers=1, num_heads=1, hidden_dim=2, intermediate_dim=2)
        bert.save_to_preset(str(tmp_path / "bert"))
        assert "expected a preset of a network for images" in refusal(tmp_path / "bert")

    def test_damaged_weights(self, folders, tmp_path):
        folder = self.copy(folders, tmp_path)
        (folder / "model.weights.h5").write_bytes(b"no weights")
        assert "can't be read (OSError)" in refusal(folder)

    def test_code_in_the_folder(self, folders, tmp_path):
        folder = self.copy(folders, tmp_path)
        config = json.loads((folder / "config.json").read_text())
        evil = {"module": "keras.layers", "class_name": "Lambda", "config": {}, "registered_name": None}
        (folder / "config.json").write_text(json.dumps(config | {"config": config["config"] | {"dtype": evil}}))
        assert "is refused: it is built with 'keras.layers.Lambda'" in refusal(folder)

    def test_a_name_that_no_hub_knows(self):
        assert "does not say how pixels are scaled (ValueError: Unknown preset identifier" in refusal("no_such_preset")


FAMILIES = ("dinov2", "dinov2_svm", "dinov2_fine_tuned")


@pytest.mark.parametrize(("tta", "families"), [("none", FAMILIES), ("flip", FAMILIES[:1])])
def test_families_on_it_are_embedded_trained_and_evaluated(folders, tmp_path, monkeypatch, tta, families):
    import pandas as pd

    from pipeline.data.batches import load_split
    from pipeline.models.artifacts import load_model
    from stages import embed, evaluate, train

    project = Project(tmp_path)
    project.set(
        families=list(families),
        preprocess__image_size=32,
        evaluate__tta=tta,
        train__epochs=2,
        recipes__dinov2__backbone__preset=str(folders["dinov2"]),
        recipes__dinov2__input_size=28,
        recipes__dinov2_fine_tuned__fine_tune={"epochs": 1, "learning_rate": 0.01, "unfreeze": 3},
    )
    splits = {name: make_coloured_split(n, 32, seed=n) for name, n in {"train": 30, "val": 12, "test": 9}.items()}
    write_records(tmp_path / "data/tfrecords", class_names=["red", "green", "blue"], **splits)
    monkeypatch.setattr("pipeline.evaluation.latency._LEAST_SECONDS", 0.0)
    for verb in (embed, train, evaluate):
        monkeypatch.setattr(verb, "configure_tensorflow", lambda **_: None)
    with contextlib.chdir(tmp_path):
        for verb in ("embed", "train"):
            write_code(verb, *families)
        images, _ = load_split("test")
        for family in families:
            embed.embed(family)
            train.train(family)
            evaluate.evaluate(family)
            told = pd.read_csv(f"metrics/{family}/predictions.csv").filter(like="p:").to_numpy()
            model = load_model(Path("models") / f"{family}.keras")
            np.testing.assert_allclose(told, np.asarray(model(images)), atol=1e-4)
