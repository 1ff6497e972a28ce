"""Zero-shot classification. What needs KerasHub, an extra, is run by `make test-ci`, which installs it."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from pipeline.config.reader import load_params
from pipeline.data.embeddings import EmbeddingFacts, Embeddings
from pipeline.evaluation.zero_shot import embed_classes, make_words, measure_zero_shot, predict_zero_shot
from pipeline.runtime.errors import PipelineError
from tests.code_digests import write_code
from tests.conftest import Project
from tests.tfrecords import make_noise, write_records

pytestmark = [
    pytest.mark.usefixtures("tensorflow"),
    # KerasHub leaves the file of a tokenizer's words to the garbage collector.
    pytest.mark.filterwarnings("ignore:.*vocabulary.spm:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*vocabulary.spm:pytest.PytestUnraisableExceptionWarning"),
]

NAMES = ["red", "polar_bear", "blue"]
COUNTS = {"train": 12, "val": 15, "test": 30}


class LetterTower:
    """Texts and features as counts of letters a to c: enough to compute by hand."""

    def embed_texts(self, texts: list[str]) -> np.ndarray:
        return np.array([[text.count(letter) for letter in "abc"] for text in texts], np.float32)

    def embed_features(self, features: np.ndarray) -> np.ndarray:
        return features[:, :3]


@pytest.mark.parametrize(
    ("name", "words"), [("cat", "cat"), ("polar_bear", "polar bear"), ("_a__b_", "a b"), ("ice-cream", "ice-cream")]
)
def test_names_are_written_as_people_write_them(name, words):
    assert make_words(name) == words


def test_a_class_is_the_direction_of_the_mean_of_its_prompts_each_of_length_1():
    embedded = embed_classes(LetterTower(), ["b", "c_c"], ["aaa CLASS", "CLASS"])
    expected = np.array([3, 1, 0]) / np.sqrt(10) + np.array([0, 1, 0])
    np.testing.assert_allclose(embedded[0], expected / np.linalg.norm(expected), rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, rtol=1e-6)
    assert embedded.dtype == np.float32


def test_images_are_compared_with_classes_by_the_cosine_whatever_their_length(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.evaluation.zero_shot._ROWS", 2)
    features, labels = np.array([[0, 5, 0, 9], [0.1, 0, 0, 9], [1, 0, 1, 9]], np.float16), np.array([1, 0, 2])
    np.save(tmp_path / "test-view000-00000.npy", features)
    np.save(tmp_path / "test-labels.npy", labels)
    facts = EmbeddingFacts("siglip", "", "", 4, "float16", 0, {"test": 3})
    told, cosines = predict_zero_shot(LetterTower(), np.eye(3, dtype=np.float32), Embeddings(facts, tmp_path), "test")
    np.testing.assert_array_equal(told, labels)
    np.testing.assert_allclose(cosines, [[0, 1, 0], [1, 0, 0], [0.5**0.5, 0, 0.5**0.5]], rtol=1e-6)


@pytest.fixture(scope="module")
def folders(tensorflow, tmp_path_factory) -> dict[str, Path]:  # noqa: ARG001 - must be configured before Keras is imported
    """A preset of each kind. Not to be changed."""
    pytest.importorskip("keras_hub")
    from tests.text_presets import save_text_preset

    root = tmp_path_factory.mktemp("presets")
    for kind in ("clip", "siglip"):
        save_text_preset(kind, root / kind)
    return {kind: root / kind for kind in ("clip", "siglip")}


def prepare(project: Project, preset: Path, names: list[str] = NAMES, **values) -> None:
    """A project whose families stand on a preset."""
    place = {"recipes__siglip__backbone__preset": str(preset), "recipes__siglip__input_size": 32}
    project.set(preprocess__image_size=32, train__epochs=1, **place, **values)
    splits = {name: (make_noise(n, 32, seed=n), np.arange(n) % 3) for name, n in COUNTS.items()}
    write_records(Path("data/tfrecords"), class_names=names, **splits)


def embed(monkeypatch, *families: str) -> None:
    from stages import embed

    monkeypatch.setattr(embed, "configure_tensorflow", lambda **_: None)
    write_code("embed", *families)
    for family in families:
        embed.embed(family)


def build(preset: Path):
    """The part of a family's model that says which preset it stands on."""
    from pipeline.models.backbones.loader import build_backbone

    return build_backbone("siglip", 32, "imagenet", preset=str(preset))


@pytest.fixture
def embedded(folders, project, monkeypatch):
    """The family siglip, with features of the small preset of SigLIP."""
    prepare(project, folders["siglip"], families=["siglip"])
    embed(monkeypatch, "siglip")
    return project, build(folders["siglip"])


@pytest.mark.ci
class TestWithAPreset:
    def test_other_prompts_give_other_answers_and_the_same_ones_the_same(self, embedded):
        from pipeline.models.backbones.text_tower import load_text_tower

        project, network = embedded
        first, again = (measure_zero_shot("siglip", network, load_params()) for _ in range(2))
        assert first == again
        assert first["zero_shot_prompts"] == ["a photo of a CLASS."]
        assert first["zero_shot_test_accuracy_low"] < first["zero_shot_test_accuracy"]
        project.set(evaluate__prompts=["CLASS", "green CLASS"])
        other = measure_zero_shot("siglip", network, params := load_params())
        assert other["zero_shot_prompts"] == ["CLASS", "green CLASS"]
        tower = load_text_tower(params.recipes["siglip"].backbone.preset, parameter="")
        one, two = (
            embed_classes(tower, NAMES, prompts) for prompts in (["a photo of a CLASS."], ["CLASS", "green CLASS"])
        )
        assert np.abs(one - two).max() > 0.01

    def test_without_prompts_or_with_random_weights_there_is_none(self, embedded):
        project, network = embedded
        project.set(evaluate__prompts=[])
        assert measure_zero_shot("siglip", network, load_params()) == {}
        project.set(evaluate__prompts=["CLASS"], recipes__siglip__backbone__weights="none")
        assert measure_zero_shot("siglip", network, load_params()) == {}

    def test_a_backbone_without_a_tower_for_text_is_not_even_looked_for(self, embedded):
        import keras

        project, _ = embedded
        project.set(recipes__siglip__backbone__preset="/nowhere/at/all")
        other = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
        assert measure_zero_shot("siglip", other, load_params()) == {}

    def test_a_preset_that_has_changed_since_is_refused(self, embedded, tmp_path):
        from tests.text_presets import make_network, make_preprocessor

        project, network = embedded
        changed = make_network("siglip")
        changed.set_weights([array + (array.dtype.kind == "f") for array in changed.get_weights()])
        changed.save_to_preset(str(tmp_path / "changed"))
        make_preprocessor("siglip").save_to_preset(str(tmp_path / "changed"))
        project.set(recipes__siglip__backbone__preset=str(tmp_path / "changed"))
        with pytest.raises(PipelineError) as caught:
            measure_zero_shot("siglip", network, load_params())
        assert str(caught.value) == (
            f"recipes.siglip.backbone.preset: {tmp_path / 'changed'} has other weights than when the features in "
            "data/embeddings/siglip were computed: expected the same; run `dvc repro -f embed@siglip`"
        )

    def test_a_class_whose_name_means_nothing_to_it_is_said_and_there_is_none(
        self, folders, project, monkeypatch, caplog
    ):
        prepare(project, folders["siglip"], ["red", "дом", "blue"], families=["siglip"])
        embed(monkeypatch, "siglip")
        with caplog.at_level(logging.WARNING, "pipeline"):
            caplog.clear()
            assert measure_zero_shot("siglip", build(folders["siglip"]), load_params()) == {}
        assert [record.getMessage().partition(": expected")[0] for record in caplog.records] == [
            "siglip: no zero-shot row, as its preset knows no word of the class дом"
        ]


@pytest.mark.ci
@pytest.mark.parametrize(
    ("kind", "families"), [("clip", ["siglip_svm"]), ("siglip", ["siglip", "siglip_svm", "siglip_fine_tuned"])]
)
def test_all_families_on_a_preset_tell_what_its_own_network_does(folders, project, monkeypatch, kind, families):
    """On the same images, with both towers at once; and nothing else of their metrics depends on it."""
    from pipeline.data.batches import load_split
    from stages import evaluate, train
    from tests.text_presets import OFFSET, SCALE, make_network, make_preprocessor

    tuned = {"epochs": 1, "learning_rate": 0.01, "unfreeze": 3}
    prepare(project, folders[kind], families=families, recipes__siglip_fine_tuned__fine_tune=tuned)
    monkeypatch.setattr("pipeline.evaluation.latency._LEAST_SECONDS", 0.0)
    for verb in (train, evaluate):
        monkeypatch.setattr(verb, "configure_tensorflow", lambda **_: None)
    embed(monkeypatch, *families)
    write_code("train", *families)
    hits = {}
    for split in ("val", "test"):
        images, labels = load_split(split)
        prompts = [f"a photo of a {name}." for name in ("red", "polar bear", "blue")]
        tokens = np.asarray(make_preprocessor(kind)({"images": images, "prompts": prompts})["token_ids"])
        scaled = np.asarray(images, np.float32) * np.float32(SCALE) + np.float32(OFFSET)
        logits = make_network(kind)({"images": scaled, "token_ids": tokens})["vision_logits"]
        hits[split] = float((np.asarray(logits).argmax(axis=1) == np.asarray(labels)).mean())
    for family in families:
        train.train(family)
        evaluate.evaluate(family)
        told = json.loads(Path(f"metrics/{family}/metrics.json").read_text())
        assert told["zero_shot_preset"] == kind
        assert told["zero_shot_val_accuracy"] == pytest.approx(hits["val"], abs=1e-6)
        assert told["zero_shot_test_accuracy"] == pytest.approx(hits["test"], abs=1e-6)
    last, file = families[-1], Path(f"metrics/{families[-1]}/metrics.json")
    first = file.read_bytes()
    evaluate.evaluate(last)
    assert file.read_bytes() == first
    project.set(evaluate__prompts=[])
    evaluate.evaluate(last)
    assert json.loads(file.read_bytes()) == {
        name: value for name, value in json.loads(first).items() if not name.startswith("zero_shot")
    }
