from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from pipeline.models.backbones.loader import unfreeze
from pipeline.models.transfer import (
    build_head,
    build_transfer,
    build_transfer_svm,
    make_feature_model,
    set_statistics,
)
from tests.pipeline.models.networks import EVERY_BACKBONE, count_trainable, noise, predict, size_of

pytestmark = pytest.mark.usefixtures("tensorflow")

PLAIN = {"head_units": 0, "dropout": 0.0, "l2": 0.0, "width": 1.0, "standardize": False}


class TestTransfer:
    @pytest.fixture
    def build(self, network) -> Callable[..., Any]:
        def build(name: str = "mobilenet", *, image_size: int = 32, **settings) -> Any:
            settings = (
                {"num_classes": 3, "network": network(name), "input_size": size_of(name), "features": ()}
                | PLAIN
                | settings
            )
            return build_transfer(backbone=name, image_size=image_size, **settings)

        return build

    def units(self, model) -> list[int]:
        return [layer.units for layer in model.layers if type(layer).__name__ == "Dense"]

    @pytest.mark.parametrize("image_size", [20, 40])
    def test_images_are_resized_inside(self, build, image_size):
        model = build(image_size=image_size)
        assert model.input_shape == (None, image_size, image_size, 3)
        assert predict(model, noise(2, image_size)).shape == (2, 3)

    @pytest.mark.parametrize("image_size", [20, 40])
    def test_one_colour_stays_that_colour_when_resized(self, network, image_size):
        backbone, colour = network("mobilenet"), np.array([200, 30, 90], np.float32)
        sizes = {size: make_feature_model("mobilenet", backbone, image_size=size, input_size=32)
                 for size in (32, image_size)}  # fmt: skip
        features = [predict(model, np.broadcast_to(colour, (1, size, size, 3))) for size, model in sizes.items()]
        np.testing.assert_allclose(features[0], features[1], rtol=1e-3, atol=1e-5)

    def test_images_that_shrink_are_averaged(self, network):
        """Fine stripes of black and white turn grey; looked at only here and there, they would be black."""
        backbone = network("mobilenet")
        features = {size: make_feature_model("mobilenet", backbone, image_size=size, input_size=32)
                    for size in (128, 32)}  # fmt: skip
        stripes = np.broadcast_to(np.where(np.isin(np.arange(128) % 4, (1, 2)), 0, 255)[:, None], (1, 128, 128, 3))
        grey, black = (predict(features[32], np.full((1, 32, 32, 3), value, np.float32)) for value in (127.5, 0))
        predicted = predict(features[128], stripes.astype(np.float32))
        assert np.abs(predicted - grey).max() < np.abs(predicted - black).max() / 5

    def test_images_of_the_right_size_are_not_resized(self, build):
        assert "Resizing" not in {type(layer).__name__ for layer in build().layers}

    def test_without_an_input_size_it_is_that_of_the_images(self, build):
        assert build(input_size=None).input_shape == (None, 32, 32, 3)

    def test_it_is_features_and_then_a_head(self, network, build):
        whole = build(head_units=5)
        features = make_feature_model("mobilenet", network("mobilenet"), image_size=32, input_size=32)
        head = build_head("mobilenet", features.output_shape[1], num_classes=3, **PLAIN | {"head_units": 5})
        head.set_weights(
            [weight for name in ("hidden", "probabilities") for weight in whole.get_layer(name).get_weights()]
        )
        pooled = predict(features, noise(4))
        assert pooled.dtype == np.float32
        np.testing.assert_allclose(predict(head, pooled), predict(whole, noise(4)), atol=1e-6)

    @pytest.mark.parametrize(
        ("settings", "units"),
        [
            ({}, [3]),
            ({"width": 2.0}, [3]),
            ({"head_units": 7}, [7, 3]),
            ({"head_units": 10, "width": 2.0}, [20, 3]),
            ({"head_units": 10, "width": 1e-6}, [1, 3]),
        ],
    )
    def test_the_hidden_layer_has_its_units_times_the_width_or_is_none(self, build, settings, units):
        assert self.units(build(**settings)) == units
        assert self.units(build_head("mobilenet", 16, num_classes=3, **PLAIN | settings)) == units

    def test_the_head_can_have_dropout_and_a_weight_penalty(self, build):
        model = build(head_units=8, dropout=0.25, l2=0.01)
        (dropout,) = (layer for layer in model.layers if type(layer).__name__ == "Dropout")
        assert dropout.rate == 0.25
        assert float(model.get_layer("hidden").kernel_regularizer.l2) == pytest.approx(0.01)

    def test_without_either_there_is_neither(self, build):
        model = build(head_units=8)
        assert "Dropout" not in {type(layer).__name__ for layer in model.layers}
        assert model.get_layer("hidden").kernel_regularizer is None


class TestSeveralDepths:
    BLOCKS = (2, 5)  # of mobilenet: 64 and 256 channels beside 1,024

    def build(self, network, **settings) -> Any:
        settings = PLAIN | {"num_classes": 3, "features": self.BLOCKS, "head_units": 5, "standardize": True} | settings
        return build_transfer(backbone="mobilenet", image_size=32, network=network("mobilenet"), **settings)

    def make_features(self, network, blocks) -> Any:
        return make_feature_model("mobilenet", network("mobilenet"), image_size=32, input_size=32, features=blocks)

    def test_features_are_those_of_each_block_and_then_the_last(self, network):
        features = predict(self.make_features(network, self.BLOCKS), noise(3))
        assert features.shape == (3, 64 + 256 + 1024)
        np.testing.assert_allclose(features[:, -1024:], predict(self.make_features(network, ()), noise(3)), rtol=1e-4)
        first = predict(self.make_features(network, self.BLOCKS[:1]), noise(3))
        np.testing.assert_allclose(features[:, :64], first[:, :64], rtol=1e-4)

    def test_the_head_sees_them_with_mean_0_and_deviation_1(self, network):
        features = predict(self.make_features(network, self.BLOCKS), noise(8)).astype(np.float64)
        head = build_head("mobilenet", features.shape[1], num_classes=3, **PLAIN | {"standardize": True})
        set_statistics(head, features.mean(axis=0), np.maximum(features.std(axis=0), 1e-3))
        weights = head.get_layer("probabilities").get_weights()
        scaled = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-3)
        logits = scaled @ weights[0] + weights[1]
        expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(predict(head, features.astype(np.float32)), expected, rtol=1e-3, atol=1e-5)
        np.testing.assert_array_equal(
            predict(head, features.astype(np.float32), training=True), predict(head, features.astype(np.float32))
        )

    def test_the_statistics_are_part_of_the_model_but_not_trained(self, network, tmp_path):
        from pipeline.models.artifacts import load_model, save_model

        model = self.build(network)
        set_statistics(model, np.linspace(0, 1, 1344), np.linspace(1, 2, 1344))
        assert len(model.trainable_weights) == 4
        save_model(model, tmp_path / "model.keras")
        loaded = load_model(tmp_path / "model.keras")
        np.testing.assert_allclose(loaded.get_layer("standardize").get_weights()[1], np.linspace(1, 2, 1344) ** 2)
        np.testing.assert_allclose(predict(loaded, noise(2)), predict(model, noise(2)), atol=1e-6)

    def test_a_linear_machine_stays_one_weight_per_feature_and_class(self, network):
        model = build_transfer_svm(
            backbone="mobilenet", image_size=32, num_classes=3, network=network("mobilenet"), features=self.BLOCKS
        )
        assert count_trainable(model) == (1344 + 1) * 3
        assert "standardize" not in {layer.name for layer in model.layers}

    def test_nothing_is_standardized_unless_asked_for(self, network):
        assert "standardize" not in {layer.name for layer in self.build(network, standardize=False).layers}


class TestTraining:
    """A backbone does in training what it does in predicting, fine-tuned or not: batch normalization keeps the statistics
    of ImageNet, and nothing is dropped."""

    @pytest.fixture
    def model(self, network) -> Iterator[Any]:
        """Of which all weights are trainable."""
        backbone = network("mobilenet")
        weights = backbone.get_weights()
        unfreeze("mobilenet", backbone, "all")
        yield build_transfer(backbone="mobilenet", image_size=32, num_classes=3, network=backbone, features=(), **PLAIN)
        backbone.set_weights(weights)

    def statistics(self, model) -> list[np.ndarray]:
        moving = [weight for weight in model.non_trainable_weights if "moving" in weight.path]
        assert len(moving) == 54
        return [weight.numpy() for weight in moving]

    def count_kept(self, model, before: list[np.ndarray]) -> int:
        return sum(np.array_equal(old, new) for old, new in zip(before, self.statistics(model), strict=True))

    @pytest.mark.ci
    @EVERY_BACKBONE
    def test_a_frozen_one_gives_the_same_features_in_both(self, network, name):
        model = make_feature_model(name, network(name), image_size=size_of(name), input_size=size_of(name))
        images = noise(4, size_of(name))
        np.testing.assert_allclose(predict(model, images, training=True), predict(model, images), rtol=1e-4, atol=1e-6)

    def test_so_does_one_that_is_fine_tuned(self, model):
        np.testing.assert_allclose(predict(model, noise(8), training=True), predict(model, noise(8)), atol=1e-6)

    def test_fine_tuning_keeps_the_statistics(self, model):
        before = self.statistics(model)
        model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)  # compiling takes longer
        model.fit(noise(8), np.arange(8) % 3, verbose=0)
        assert self.count_kept(model, before) == 54

    def test_left_to_itself_the_network_would_change_them(self, model, network):  # noqa: ARG002 - unfreezes it
        before = self.statistics(network("mobilenet"))
        predict(network("mobilenet"), noise(8), training=True)
        assert self.count_kept(network("mobilenet"), before) == 0

    def test_what_batch_normalization_learns_is_trained(self, model):
        for part in ("gamma", "beta"):
            assert len([weight for weight in model.trainable_weights if weight.path.endswith(part)]) == 27
