"""The tower for text of small presets, saved here. KerasHub is an extra: `make test-ci` installs it and runs these tests."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.runtime.errors import PipelineError
from tests.tfrecords import make_noise

pytestmark = [
    pytest.mark.ci,
    pytest.mark.usefixtures("tensorflow"),
    # KerasHub leaves the file of a tokenizer's words to the garbage collector.
    pytest.mark.filterwarnings("ignore:.*vocabulary.spm:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*vocabulary.spm:pytest.PytestUnraisableExceptionWarning"),
]
pytest.importorskip("keras_hub")

PARAMETER = "recipes.siglip.backbone.preset"
KINDS = ("clip", "metaclip", "siglip")
TEXTS = ["a photo of a red.", "a photo of a polar bear.", "blue"]


@pytest.fixture(scope="module")
def folders(tensorflow, tmp_path_factory) -> dict[str, Path]:  # noqa: ARG001 - must be configured before Keras is imported
    """A preset of each kind. Not to be changed."""
    from tests.text_presets import save_text_preset

    root = tmp_path_factory.mktemp("presets")
    for kind in KINDS:
        save_text_preset(kind, root / kind)
    return {kind: root / kind for kind in KINDS}


@pytest.fixture
def copy(folders, tmp_path) -> Path:
    """A preset that may be changed."""
    return Path(shutil.copytree(folders["siglip"], tmp_path / "copy"))


def load(folder: Path):
    from pipeline.models.backbones.text_tower import load_text_tower

    return load_text_tower(str(folder), parameter=PARAMETER)


def build(folder: Path):
    from pipeline.models.backbones.loader import build_backbone

    return build_backbone("siglip", 32, "imagenet", preset=str(folder))


def refusal(folder: Path) -> str:
    with pytest.raises(PipelineError) as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(PARAMETER)
    return str(caught.value)


def normalize(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", KINDS)
def test_cached_features_and_texts_are_as_similar_as_the_presets_own_network_says(folders, kind):
    from pipeline.models.transfer import make_feature_model
    from tests.text_presets import OFFSET, SCALE, make_network, make_preprocessor

    images, tower, network = make_noise(7, 32).astype(np.float32), load(folders[kind]), make_network(kind)
    features = make_feature_model("siglip", build(folders[kind]), image_size=32, input_size=32)(images)
    told = normalize(tower.embed_features(np.asarray(features))) @ normalize(tower.embed_texts(TEXTS)).T

    tokens = np.asarray(make_preprocessor(kind)({"images": images, "prompts": TEXTS})["token_ids"])
    scaled = images * np.float32(SCALE) + np.float32(OFFSET)
    logits = np.asarray(network({"images": scaled, "token_ids": tokens})["vision_logits"])
    head = getattr(network, {"clip": "clip_head", "metaclip": "metaclip_2_head", "siglip": "siglip_head"}[kind])
    bias = float(np.asarray(head.logit_bias)) if kind == "siglip" else 0.0
    cosines = (logits - bias) / np.exp(float(np.asarray(head.logit_scale)))
    np.testing.assert_allclose(told, cosines, atol=1e-5)
    assert (told.argmax(axis=1) == logits.argmax(axis=1)).all()
    assert np.ptp(told) > 0.02, "texts and images are told apart"


@pytest.mark.parametrize("kind", KINDS)
def test_the_weights_of_its_tower_for_images_are_those_of_the_backbone(folders, kind):
    from pipeline.models.backbones.backbone import compute_weights_digest
    from pipeline.models.backbones.text_tower import may_know_texts

    backbone = build(folders[kind])
    assert compute_weights_digest(backbone) == load(folders[kind]).images_sha256
    assert may_know_texts(backbone)


def test_texts_are_embedded_the_same_each_time_alone_and_among_many(folders):
    for kind in KINDS:
        first, second = load(folders[kind]), load(folders[kind])
        many = TEXTS * 30
        np.testing.assert_array_equal(first.embed_texts(many), second.embed_texts(many))
        np.testing.assert_allclose(first.embed_texts(TEXTS[:1]), first.embed_texts(many)[:1], atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("clip", "Red x", ["red</w>", "x</w>"]),
        ("clip", "дом", []),
        ("clip", "", []),
        ("metaclip", "polar bear", ["▁polar", "▁bear"]),
        ("metaclip", "дом", []),
        ("siglip", "Polar bear!", ["▁polar", "▁bear"]),
        ("siglip", "дом", []),
        ("siglip", "???", []),
    ],
)
def test_the_words_of_a_text_are_the_tokens_that_the_tokenizer_knows(folders, kind, text, words):
    assert load(folders[kind]).list_words(text) == words


def test_what_is_frozen_after_it_warns_of_nothing(folders, caplog):
    import keras

    from pipeline.models.inference import freeze

    assert load(folders["clip"]) is not None
    caplog.clear()
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()])
    freeze(model)(np.zeros((1, 8, 8, 3), np.float32))
    assert not caplog.records


class TestWithoutOne:
    def test_a_preset_without_a_tokenizer(self, copy):
        shutil.rmtree(copy / "assets")
        for name in ("tokenizer.json", "preprocessor.json"):
            (copy / name).unlink()
        assert load(copy) is None

    def test_a_preset_of_a_tower_for_images_alone(self, tmp_path):
        from tests.text_presets import make_network

        make_network("clip").vision_encoder.save_to_preset(str(tmp_path / "tower"))
        assert load(tmp_path / "tower") is None

    def test_a_backbone_of_another_kind(self):
        import keras

        from pipeline.models.backbones.text_tower import may_know_texts

        assert not may_know_texts(keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)]))


class TestRefusals:
    def test_a_file_of_the_tokenizer_is_missing(self, copy):
        (copy / "assets/tokenizer/vocabulary.spm").unlink()
        line = refusal(copy)
        assert f"{copy} can't be loaded for texts (FileNotFoundError: " in line
        assert line.endswith("set evaluate.prompts to [] to do without the zero-shot row")

    def test_a_file_of_the_tokenizer_is_damaged(self, copy):
        (copy / "assets/tokenizer/vocabulary.spm").write_bytes(b"no words")
        assert "can't be loaded for texts (" in refusal(copy)

    def test_a_tokenizer_that_this_version_does_not_know(self, copy):
        for name in ("tokenizer.json", "preprocessor.json"):
            (copy / name).write_text((copy / name).read_text().replace('"add_bos"', '"added_later"'))
        assert "can't be loaded for texts (" in refusal(copy)

    def test_texts_that_are_longer_than_the_network_takes(self, copy):
        file = copy / "preprocessor.json"
        file.write_text(file.read_text().replace('"sequence_length": 32', '"sequence_length": 99'))
        assert "can't be loaded for texts (" in refusal(copy)

    @pytest.mark.parametrize("key", ["proto", "vocabulary", "merges"])
    def test_a_tokenizer_that_names_a_file_elsewhere(self, copy, key):
        config = json.loads((copy / "tokenizer.json").read_text())
        config["config"][key] = "/etc/passwd"
        (copy / "tokenizer.json").write_text(json.dumps(config))
        assert f"is refused: its tokenizer takes {key} from '/etc/passwd'" in refusal(copy)

    @pytest.mark.parametrize("name", ["tokenizer.json", "preprocessor.json"])
    def test_code_in_place_of_a_tokenizer(self, copy, name):
        evil = {"module": "os", "class_name": "system", "config": {}, "registered_name": None}
        (copy / name).write_text(json.dumps(evil))
        assert "is refused: it is built with 'os.system'" in refusal(copy)

    def test_a_network_in_place_of_a_tokenizer(self, copy):
        (copy / "tokenizer.json").write_text((copy / "config.json").read_text())
        assert "is refused: it is built with 'keras_hub.src.models.siglip.siglip_backbone.SigLIPBackbone" in refusal(
            copy
        )
