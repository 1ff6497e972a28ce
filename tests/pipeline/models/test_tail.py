import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.config.reader import load_published_recipe
from pipeline.data.embeddings import EmbeddingFacts
from pipeline.models.backbones.blocks import count_multiply_adds, cut_after, list_block_outputs
from pipeline.models.backbones.loader import load_backbone, unfreeze
from pipeline.models.tail import build_tail, count_early_features, make_extractor, prepare_cut
from pipeline.models.transfer import build_transfer
from tests.pipeline.models.networks import EVERY_BACKBONE, noise, predict, refusal, trainable_names

pytestmark = pytest.mark.usefixtures("tensorflow")

HEAD: dict[str, Any] = {
    "num_classes": 3,
    "head_units": 4,
    "dropout": 0.0,
    "l2": 0.0,
    "width": 1.0,
    "standardize": False,
}
FEATURES, CUT = [2, 5, 9], 5  # of mobilenet: 64 and 256 channels up to the cut, 512 after it, and 1,024 at last


def make_facts(**changes: Any) -> EmbeddingFacts:
    counts = {"train": 100, "val": 10, "test": 10}
    facts = EmbeddingFacts("mobilenet", "key", "weights", 0, "float32", 2, counts, FEATURES, CUT)
    return replace(facts, **changes)


def extract(network, facts: EmbeddingFacts, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, EmbeddingFacts]:
    """Features and activations."""
    model, facts = make_extractor(network("mobilenet"), facts, image_size=32, input_size=32)
    values = predict(model, images)
    return values[:, : facts.num_features], values[:, facts.num_features :], facts


class TestExtractor:
    def test_activations_are_the_blocks_output_behind_the_same_features(self, network):
        features, activations, facts = extract(network, make_facts(), noise(3))
        plain, nothing, _ = extract(network, make_facts(cut=None), noise(3))
        assert facts.cut_shape == [4, 4, 256]
        assert (facts.num_features, nothing.size) == (64 + 256 + 512 + 1024, 0)
        np.testing.assert_allclose(features, plain, rtol=1e-5, atol=1e-7)
        maps = activations.reshape(3, 4, 4, 256)
        np.testing.assert_allclose(maps.mean(axis=(1, 2)), features[:, 64 : 64 + 256], rtol=1e-4, atol=1e-6)

    def test_the_cut_need_not_be_among_the_features(self, network):
        features, activations, facts = extract(network, make_facts(features=[]), noise(2))
        assert (features.shape, activations.shape, facts.num_features) == ((2, 1024), (2, 4096), 1024)


class TestTail:
    @pytest.mark.parametrize("features", [FEATURES, [], [2], [9]])
    def test_from_activations_it_gives_what_the_whole_model_gives_from_pixels(self, network, features):
        settings = HEAD | {"features": features}
        whole = build_transfer(backbone="mobilenet", image_size=32, network=network("mobilenet"), **settings)
        tail = build_tail("mobilenet", network("mobilenet"), cut=CUT, **settings)
        for layer in ("hidden", "probabilities"):
            tail.get_layer(layer).set_weights(whole.get_layer(layer).get_weights())
        pooled, activations, _ = extract(network, make_facts(features=features), noise(3))
        early = count_early_features("mobilenet", network("mobilenet"), features, CUT)
        maps = activations.reshape(3, 4, 4, 256)
        given = [maps, pooled[:, :early]] if early else maps
        np.testing.assert_allclose(tail(given).numpy(), predict(whole, noise(3)), atol=1e-5)
        np.testing.assert_allclose(tail(given, training=True).numpy(), tail(given).numpy(), atol=1e-6)

    def test_it_trains_the_backbones_own_layers(self, network):
        unfreeze("mobilenet", network("mobilenet"), "all", cut=CUT)
        tail = build_tail("mobilenet", network("mobilenet"), features=FEATURES, cut=CUT, **HEAD)
        own = {id(variable) for variable in network("mobilenet").trainable_variables}
        assert own
        assert own < {id(variable) for variable in tail.trainable_variables}

    @EVERY_BACKBONE
    def test_every_backbone_can_be_cut_before_its_last_block(self, network, name):
        declared = load_backbone(name)
        cut = len(list_block_outputs(declared, network(name))) - 1
        stem, tail = cut_after(name, declared, network(name), cut)
        assert stem.output_shape == tail.input_shape
        whole = count_multiply_adds(network(name))
        assert count_multiply_adds(stem) + count_multiply_adds(tail) == whole
        assert 0 < count_multiply_adds(tail) < whole / 2


class TestUnfreeze:
    def test_all_is_all_after_the_cut(self, network):
        unfreeze("mobilenet", network("mobilenet"), "all", cut=12)
        names = {f"conv_{kind}_{n}{part}" for n in (12, 13) for kind in ("dw", "pw") for part in ("", "_bn")}
        assert trainable_names(network("mobilenet")) == names

    @pytest.mark.parametrize("which", ["9 blocks", 50])
    def test_layers_before_the_cut_are_refused(self, network, which):
        line = refusal(unfreeze, "mobilenet", network("mobilenet"), which, cut=6)
        expected = f"recipes.mobilenet.fine_tune.unfreeze: {which} reach before fine_tune.from, block 6, up to which"
        assert line.startswith(expected)

    def test_fewer_than_come_after_it_are_accepted(self, network):
        unfreeze("mobilenet", network("mobilenet"), "1 block", cut=6)
        assert len(trainable_names(network("mobilenet"))) == 4


class TestCost:
    def prepare(self, network, tmp_path, **changes: Any) -> None:
        recipe = load_published_recipe("mobilenet_fine_tuned")
        facts = make_facts(cut_shape=[4, 4, 256], **changes)
        prepare_cut("mobilenet_fine_tuned", recipe, network("mobilenet"), facts, tmp_path)

    def test_it_is_said_before_anything_is_computed(self, network, tmp_path, caplog):
        caplog.set_level(logging.INFO)
        self.prepare(network, tmp_path, num_images={"train": 10**4, "val": 10**3, "test": 10**6})
        assert (
            "mobilenet_fine_tuned: keeps the activations after block 5, 4 × 4 × 256 in float16, of 31000 images and views: "
            "0.25 GB; of the backbone's multiply-adds, "
        ) in caplog.text

    def test_without_a_cut_nothing_is_said(self, network, tmp_path, caplog):
        caplog.set_level(logging.INFO)
        self.prepare(network, tmp_path, cut=None)
        assert not caplog.text

    def test_what_does_not_fit_on_the_disk_is_refused_with_its_size(self, network, tmp_path):
        line = refusal(self.prepare, network, tmp_path, num_images={"train": 10**12, "val": 1, "test": 1})
        assert line.startswith("mobilenet_fine_tuned: the activations after block 5 do not fit on the disk: expected ")
        assert "24576000.00 GB free, received " in line
        assert "recipes.mobilenet_fine_tuned.fine_tune.from" in line
