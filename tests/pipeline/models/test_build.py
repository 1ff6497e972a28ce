import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from pipeline.config.families import FAMILIES, PRESETS
from pipeline.models.artifacts import load_model, save_model
from pipeline.models.backbones.loader import unfreeze
from pipeline.models.build import build_model
from pipeline.models.layers import dense
from pipeline.runtime.errors import PipelineError
from tests.pipeline.models.networks import build_once
from tests.pipeline.models.published import PUBLISHED

pytestmark = pytest.mark.usefixtures("tensorflow")

NETWORKS = [name for name, family in FAMILIES.items() if family.kind == "network"]
# Presets take an extra: tests/pipeline/models/backbones/test_hub.py.
TRANSFER = [name for name, family in FAMILIES.items() if family.kind == "transfer" and family.backbone not in PRESETS]
PIXELS = [name for name, family in FAMILIES.items() if family.backbone is None]
# A machine on features has the backbone of a family that is tested: one of them is enough.
DIFFERENT = [*PIXELS, *TRANSFER, "mobilenet_svm"]
LIGHT = {*PIXELS, "efficientnet_lite0", "mobilenet_svm"}


def mark_heavy(families: list[str]) -> list[Any]:
    """Parameters of which those that take seconds to build are left to CI."""
    return [pytest.param(name, marks=[] if name in LIGHT else [pytest.mark.ci]) for name in families]


EVERY_FAMILY = pytest.mark.parametrize("family", mark_heavy(DIFFERENT))
EVERY_NETWORK = pytest.mark.parametrize("family", NETWORKS)
SMALLEST = {name: FAMILIES[name].min_image_size for name in NETWORKS}  # pixels, each side
FILTERS = (32, 64, 128, 256, 512)


def build(family: str, *, image_size: int = 32, num_classes: int = 3, **settings):
    return build_model(family, image_size=image_size, num_classes=num_classes, **settings)


def outline(family: str, **settings):
    """A model whose weights have shapes and no values: to count them and to look at layers, in half the time.

    In a thread of its own, where Keras notes weights without values; see `pipeline.training.network.count_parameters`.
    """
    import keras

    def build_outline():
        with keras.StatelessScope(initialize_variables=False):
            return build(family, **settings)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(build_outline).result()


@cache
def build_small(family: str):
    """A small model that every family has, for three classes; built once."""
    backbone = FAMILIES[family].backbone
    settings = {"network": build_once(backbone)} if backbone else {"width": 0.25} if family in NETWORKS else {}
    return build(family, image_size=size_of(family), **settings)


def size_of(family: str) -> int:
    return max(32, FAMILIES[family].min_image_size)


def refusal(family: str, **options) -> str:
    with pytest.raises(PipelineError) as caught:
        build(family, **options)
    return str(caught.value)


def noise(count: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, size, size, 3), np.uint8)


def predict(model, images: np.ndarray) -> np.ndarray:
    return model(images, training=False).numpy()


def layers_of(model, kind: str) -> list:
    return [layer for layer in model.layers if type(layer).__name__ == kind]


def count_trainable(model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def count_convolutions(*filters: int, kernel: int = 3) -> int:
    """Weights and biases of square convolutions from each number of channels to the next."""
    return sum((kernel**2 * channels + 1) * count for channels, count in pairwise(filters))


def count_dense(*units: int) -> int:
    """Weights and biases of dense layers from each number of values to the next; a layer of 0 units does not exist."""
    return sum((values + 1) * count for values, count in pairwise(count for count in units if count))


def count_underfit(size: int, classes: int, width: float = 1.0, head: int = 0) -> int:
    filters, side = round(6 * width), -(-size // 5) // 4
    return count_convolutions(3, filters, filters) + count_dense(side**2 * filters, head, classes)


def count_overfit(size: int, classes: int, width: float = 1.0, head: int = 256) -> int:
    filters = [round(count * width) for count in FILTERS]
    return count_convolutions(3, *filters) + count_dense((size // 32) ** 2 * filters[-1], head, classes)


def count_optimized(size: int, classes: int, width: float = 2.0, head: int = 256, *, last_filters: int = 512) -> int:
    filters = [round(count * width) for count in (*FILTERS[:-1], last_filters)]
    dense = count_dense((size // 32) ** 2 * filters[-1], head, classes)
    return 4 * 3 + count_convolutions(3, *filters) + dense  # batch normalization has four weights per channel


def count_deep_cnn(size: int, classes: int, width: float = 1.0, head: int = 512) -> int:
    filters = [round(count * width) for count in (32, 32, 64, 64, 128, 128, 256, 256)]
    return count_convolutions(3, *filters) + count_dense(math.ceil(size / 256) ** 2 * filters[-1], head, classes)


def count_vgg_blocks(size: int, classes: int, width: float = 1.0, head: int = 128) -> int:
    filters = [round(count * width) for count in (32, 32, 64, 64, 128, 128)]
    normalization = 2 * 3 + 1  # mean and variance per channel, and the number of images
    dense = count_dense((size // 8) ** 2 * filters[-1], 128, head, classes)
    return normalization + count_convolutions(3, *filters) + dense


def shrink(size: int, *, convolutions: int, pooled: int) -> int:
    """The side after unpadded convolutions, of which the first `pooled` are followed by a pool."""
    for number in range(convolutions):
        size = (size - 2) // 2 if number < pooled else size - 2
    return size


def count_cifar_small(size: int, classes: int, width: float = 1.0, head: int = 64) -> int:
    filters = [round(count * width) for count in (32, 64, 64)]
    values = shrink(size, convolutions=3, pooled=2) ** 2 * filters[-1]
    return count_convolutions(3, *filters) + count_dense(values, head, classes)


def count_cifar_dropout(size: int, classes: int, width: float = 1.0, head: int = 64) -> int:
    filters = [round(count * width) for count in (32, 64, 128)]
    values = shrink(size, convolutions=3, pooled=3) ** 2 * filters[-1]
    return count_convolutions(3, *filters) + count_dense(values, 128, head, classes)


def count_cifar_elu(size: int, classes: int, width: float = 1.0, head: int = 0) -> int:
    filters = [round(count * width) for count in (32, 32, 64, 64, 128, 128)]
    dense = count_dense((size // 8) ** 2 * filters[-1], head, classes)
    return count_convolutions(3, *filters) + 4 * sum(filters) + dense


def count_dense_ann(_: int, classes: int, width: float = 1.0, head: int = 1024) -> int:
    return count_dense(3 * 32**2, round(2048 * width), round(head * width), classes)


def count_animals_cnn(size: int, classes: int, width: float = 1.0, head: int = 64) -> int:
    filters = [round(count * width) for count in (16, 32, 64)]
    return count_convolutions(3, *filters) + count_dense((size // 8) ** 2 * filters[-1], head, classes)


def count_animals_cnn_wide(size: int, classes: int, width: float = 1.0, head: int = 128) -> int:
    filters = [round(count * width) for count in (16, 32, 64, 128)]
    return count_convolutions(3, *filters) + count_dense((size // 16) ** 2 * filters[-1], head, classes)


def count_searched_cnn(
    size: int,
    classes: int,
    width: float = 1.0,
    head: int = 128,
    *,
    blocks: int = 3,
    layers: int = 1,
    filters: int = 32,
    kernel: int = 3,
) -> int:
    channels = [round(filters * width)] * (blocks * layers)
    values = math.ceil(size / 2**blocks) ** 2 * channels[-1]
    return count_convolutions(3, *channels, kernel=kernel) + count_dense(values, head, classes)


def count_resnet_fast(size: int, classes: int, width: float = 1.0, head: int = 0) -> int:
    step = max(1, (size + 16) // 32)
    seen = 2 * min(3 * (step + 1) ** 2, 24)
    filters = [round(count * width) for count in (64, 64, 256, 256, 256, 256)]
    convolutions = sum(9 * channels * count for channels, count in pairwise((seen, *filters)))  # without biases
    normalization = 3 * sum(filters)  # without a scale
    return (
        count_convolutions(3, seen, kernel=step + 1)
        + convolutions
        + normalization
        + count_dense(filters[-1], head, classes)
    )


COUNTS = {
    "underfit": count_underfit,
    "overfit": count_overfit,
    "optimized": count_optimized,
    "deep_cnn": count_deep_cnn,
    "vgg_blocks": count_vgg_blocks,
    "cifar_small": count_cifar_small,
    "cifar_dropout": count_cifar_dropout,
    "cifar_elu": count_cifar_elu,
    "dense_ann": count_dense_ann,
    "animals_cnn": count_animals_cnn,
    "animals_cnn_augmented": count_animals_cnn,
    "animals_cnn_wide": count_animals_cnn_wide,
    "searched_cnn": count_searched_cnn,
    "resnet_fast": count_resnet_fast,
    "resnet_fast_distilled": count_resnet_fast,
}


class TestEveryFamily:
    """The contract of a family."""

    @EVERY_FAMILY
    def test_a_model_is_handed_out_uncompiled(self, family):
        assert not build_small(family).compiled

    @EVERY_FAMILY
    def test_any_number_of_images_gives_probabilities_that_sum_to_one(self, family):
        for count in (1, 5):
            probabilities = predict(build_small(family), noise(count, size_of(family)))
            assert probabilities.shape == (count, 3)
            assert probabilities.dtype == np.float32
            np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
            assert probabilities.min() >= 0

    @EVERY_FAMILY
    def test_black_and_white_images_give_finite_probabilities(self, family):
        side = size_of(family)
        for value in (0, 255):
            assert np.isfinite(predict(build_small(family), np.full((1, side, side, 3), value, np.uint8))).all()

    @EVERY_FAMILY
    def test_pixels_may_be_uint8_or_float(self, family):
        model, pictures = build_small(family), noise(2, size_of(family))
        np.testing.assert_array_equal(predict(model, pictures), predict(model, pictures.astype(np.float32)))

    @EVERY_FAMILY
    def test_a_model_has_the_familys_name(self, family):
        assert build_small(family).name == family

    @pytest.mark.ci
    @EVERY_FAMILY
    def test_a_saved_model_is_the_same_when_loaded(self, family, tmp_path):
        model, pictures = build_small(family), noise(2, size_of(family))
        save_model(model, tmp_path / "model.keras")
        loaded = load_model(tmp_path / "model.keras")
        np.testing.assert_allclose(predict(loaded, pictures), predict(model, pictures), atol=1e-6)
        assert count_trainable(loaded) == count_trainable(model)
        assert loaded.count_params() == model.count_params()
        assert not loaded.compiled

    @pytest.mark.parametrize("family", [*PIXELS, "mobilenet", "mobilenet_svm"])
    @pytest.mark.parametrize(("image_size", "num_classes"), [(32, 2), (50, 100)])
    def test_any_size_and_number_of_classes_works(self, family, image_size, num_classes):
        model = outline(family, image_size=image_size, num_classes=num_classes)
        assert model.input_shape == (None, image_size, image_size, 3)
        assert model.output_shape == (None, num_classes)

    @pytest.mark.parametrize("family", PIXELS)
    def test_it_can_resize_its_images(self, family):
        narrow = {"width": 0.25} if family in NETWORKS else {}
        model = build(family, image_size=48, input_size=32, **narrow)
        assert model.input_shape == (None, 48, 48, 3)
        assert model.count_params() == outline(family, image_size=32, **narrow).count_params()
        assert predict(model, noise(1, 48)).shape == (1, 3)

    @EVERY_FAMILY
    @pytest.mark.parametrize("num_classes", [1, 0])
    def test_fewer_than_two_classes_are_refused_in_one_line(self, family, num_classes):
        message = refusal(family, num_classes=num_classes, image_size=size_of(family))
        assert message == f"{family} needs two classes or more to tell apart: received {num_classes}"


@pytest.mark.parametrize(("name", "named"), [("over_fit", ["overfit"]), ("zzz", list(FAMILIES))])
def test_an_unknown_family_is_refused_by_a_line_that_names_the_nearest(name, named):
    message = refusal(name)
    assert f"no family is called {name!r}" in message
    assert all(family in message for family in named)
    assert "\n" not in message


class TestPublishedCounts:
    @pytest.mark.parametrize("family", PUBLISHED)
    def test_as_the_studies_state_them(self, family):
        expected, backbone = PUBLISHED[family], FAMILIES[family].backbone
        # A backbone has the same weights at any size, and the smallest is built the fastest.
        image_size = size_of(family) if backbone else expected.image_size
        model = outline(family, image_size=image_size, num_classes=expected.num_classes)
        assert (model.count_params(), count_trainable(model)) == (expected.parameters, expected.trainable)

    def test_fine_tuning_trains_all_of_inception_but_the_statistics(self, network):
        model = outline("inceptionv3", image_size=75, num_classes=10, network=network("inceptionv3"))
        unfreeze("inceptionv3", network("inceptionv3"), "all")
        assert count_trainable(model) == 23_876_778

    def test_lite_has_a_hidden_layer_of_512(self, network):
        model = outline("efficientnet_lite0", network=network("efficientnet_lite0"))
        assert count_trainable(model) == count_dense(112 + 192 + 320 + 1280, 512, 3)  # blocks 11, 15, 16 and the last

    @pytest.mark.parametrize("family", mark_heavy(TRANSFER))
    def test_of_a_backbone_only_the_head_is_trainable_and_grows_with_the_classes(self, family):
        network = build_once(FAMILIES[family].backbone)
        larger = outline(family, image_size=size_of(family), num_classes=7, network=network)
        few, many = count_trainable(build_small(family)), count_trainable(larger)
        per_class = (build_small(family).get_layer("probabilities").kernel.shape[0]) + 1
        assert many - few == 4 * per_class

    @EVERY_NETWORK
    @pytest.mark.parametrize(("image_size", "num_classes"), [(32, 2), (64, 10), (101, 6)])
    def test_at_other_sizes_and_class_counts(self, family, image_size, num_classes):
        model = outline(family, image_size=image_size, num_classes=num_classes)
        assert model.count_params() == COUNTS[family](image_size, num_classes)

    @pytest.mark.parametrize(("image_size", "num_classes"), [(1, 2), (32, 10), (101, 6)])
    def test_a_linear_machine_has_one_weight_per_value_and_class(self, image_size, num_classes):
        model = outline("linear_svm", image_size=image_size, num_classes=num_classes)
        assert model.count_params() == (3 * image_size**2 + 1) * num_classes

    @pytest.mark.parametrize(("image_size", "pool", "side"), [(32, 2, 16), (32, 5, 6), (32, 32, 1)])
    def test_a_linear_machine_on_averaged_pixels_has_fewer(self, image_size, pool, side):
        assert outline("linear_svm", image_size=image_size, pool=pool).count_params() == (3 * side**2 + 1) * 3


class TestPublishedLayers:
    def kinds(self, family: str) -> list[str]:
        return [type(layer).__name__ for layer in outline(family).layers[1:]]

    def test_underfit(self):
        assert self.kinds("underfit") == ["Conv2D", "MaxPooling2D", "Conv2D", "MaxPooling2D", "Flatten", "Dense"]

    def test_overfit(self):
        assert self.kinds("overfit") == ["Conv2D", "MaxPooling2D"] * 5 + ["Flatten", "Dense", "Dense"]

    def test_optimized(self):
        blocks = ["Conv2D", "MaxPooling2D", "Dropout"] * 5
        assert self.kinds("optimized") == ["BatchNormalization", *blocks, "Flatten", "Dense", "Dense"]

    @pytest.mark.parametrize(
        ("family", "filters"),
        [("underfit", [6, 6]), ("overfit", [32, 64, 128, 256, 512]), ("optimized", [64, 128, 256, 512, 1024])],
    )
    def test_convolutions_are_three_by_three_same_relu(self, family, filters):
        convolutions = layers_of(outline(family), "Conv2D")
        assert [layer.filters for layer in convolutions] == filters
        shapes = {(layer.kernel_size, layer.padding, layer.activation.__name__) for layer in convolutions}
        assert shapes == {((3, 3), "same", "relu")}

    def test_underfit_strides_by_five_at_first(self):
        assert [layer.strides for layer in layers_of(outline("underfit"), "Conv2D")] == [(5, 5), (1, 1)]

    @pytest.mark.parametrize("family", ["overfit", "optimized"])
    def test_a_dense_layer_of_256_comes_before_the_last(self, family):
        dense, last = layers_of(outline(family), "Dense")
        assert (dense.units, dense.activation.__name__) == (256, "relu")
        assert (last.units, last.activation.__name__) == (3, "softmax")


class TestDropout:
    @pytest.mark.parametrize(
        ("family", "settings", "rates"),
        [
            ("underfit", {}, []),
            ("underfit", {"dropout": 0.2}, [0.2]),
            ("overfit", {}, []),
            ("overfit", {"dropout": 0.4}, [0.4] * 5),
            ("optimized", {}, [0.3, 0.3, 0.3, 0.3, 0.4]),
            ("optimized", {"dropout": 0.1}, [0.1, 0.1, 0.1, 0.1, 0.4]),
            ("optimized", {"last_dropout": 0.2}, [0.3, 0.3, 0.3, 0.3, 0.2]),
            ("optimized", {"dropout": 0.0}, [0.4]),
            ("optimized", {"dropout": 0.0, "last_dropout": 0.0}, []),
            ("deep_cnn", {}, [0.2, 0.3, 0.4, 0.5, 0.5]),
            ("deep_cnn", {"dropout": 0.3}, [0.3, 0.4, 0.5, 0.6, 0.6]),
            ("vgg_blocks", {}, [0.15, 0.15, 0.25, 0.25]),
            ("cifar_small", {}, []),
            ("cifar_dropout", {}, [0.5]),
            ("cifar_elu", {}, [0.2, 0.3, 0.4]),
            ("cifar_elu", {"dropout": 0.05}, [0.05, 0.15, 0.25]),
            ("dense_ann", {}, [0.5, 0.5]),
            ("animals_cnn", {}, [0.2, 0.5]),
            ("animals_cnn_wide", {}, [0.2, 0.5]),
        ],
    )
    def test_the_published_rates_and_others(self, family, settings, rates):
        found = [layer.rate for layer in layers_of(outline(family, **settings), "Dropout")]
        assert found == pytest.approx(rates)

    @EVERY_NETWORK
    def test_every_network_can_have_dropout(self, family):
        assert layers_of(outline(family, dropout=0.5), "Dropout")

    @EVERY_NETWORK
    def test_it_changes_no_count(self, family):
        assert outline(family, dropout=0.5).count_params() == outline(family, dropout=0.0).count_params()

    @EVERY_NETWORK
    def test_nothing_is_dropped_when_predicting(self, family):
        model = build(family, dropout=0.5, width=0.25)
        np.testing.assert_array_equal(predict(model, noise(2)), predict(model, noise(2)))


class TestWeightPenalty:
    @pytest.mark.parametrize(
        ("family", "settings", "penalties"),
        [
            ("underfit", {}, [0, 0]),
            ("underfit", {"l2": 0.01}, [0.01, 0.01]),
            ("overfit", {}, [0] * 5),
            ("overfit", {"l2": 0.01}, [0.01] * 5),
            ("optimized", {}, [0, 1e-3, 1e-3, 1e-3, 1e-3]),
            ("optimized", {"l2": 0.01}, [0, 0.01, 0.01, 0.01, 0.01]),
            ("optimized", {"l2": 0.0}, [0] * 5),
            ("cifar_elu", {}, [1e-4] * 6),
            ("cifar_small", {}, [0] * 3),
            ("vgg_blocks", {}, [0] * 6),
        ],
    )
    def test_the_published_penalties_and_others(self, family, settings, penalties):
        regularizers = [layer.kernel_regularizer for layer in layers_of(outline(family, **settings), "Conv2D")]
        assert [float(one.l2) if one else 0 for one in regularizers] == pytest.approx(penalties)

    @EVERY_NETWORK
    def test_every_network_can_have_one(self, family):
        assert not build(family, l2=0.0, width=0.1).losses
        assert build(family, l2=0.1, width=0.1).losses


class TestWidth:
    @EVERY_NETWORK
    @pytest.mark.parametrize("width", [0.5, 3.0])
    def test_the_number_of_filters_is_multiplied(self, family, width):
        assert outline(family, width=width).count_params() == COUNTS[family](32, 3, width)

    @pytest.mark.parametrize("family", [name for name in NETWORKS if name != "dense_ann"])
    def test_a_filter_always_remains(self, family):
        assert min(layer.filters for layer in layers_of(outline(family, width=1e-6), "Conv2D")) == 1


class TestHead:
    """The dense layer before the softmax."""

    @staticmethod
    def units_of(model) -> list[int]:
        return [layer.units for layer in layers_of(model, "Dense")]

    @EVERY_NETWORK
    @pytest.mark.parametrize("head_units", [0, 10])
    def test_it_can_have_any_number_of_units_or_none(self, family, head_units):
        model = outline(family, head_units=head_units, width=1.0)
        assert model.count_params() == COUNTS[family](32, 3, 1.0, head_units)
        *others, _, classes = self.units_of(outline(family, head_units=7, width=1.0))
        assert self.units_of(model) == [*others, *([head_units] if head_units else []), classes]

    @EVERY_NETWORK
    def test_it_is_a_layer_with_relu_right_before_the_softmax(self, family):
        *_, head, last = layers_of(outline(family, head_units=10, width=1.0), "Dense")
        assert (head.units, head.activation.__name__) == (10, "relu")
        assert (last.units, last.activation.__name__) == (3, "softmax")

    @EVERY_NETWORK
    def test_without_it_a_model_still_predicts(self, family):
        probabilities = predict(build(family, head_units=0, width=0.25), noise(2))
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)

    def test_without_it_nothing_is_dropped_twice_in_a_row(self):
        kinds = [type(layer).__name__ for layer in outline("vgg_blocks", head_units=0).layers]
        assert ("Dropout", "Dropout") not in list(pairwise(kinds))

    def test_no_units_are_no_layer(self):
        import keras

        x = keras.Input((5,))
        assert dense(x, 0) is x
        assert dense(x, 7).shape == (None, 7)


class TestSearchedNetwork:
    """Its sizes are in its recipe, for a search to vary."""

    @pytest.mark.parametrize(
        "sizes",
        [
            {"blocks": 1},
            {"blocks": 5},
            {"layers": 3},
            {"filters": 7},
            {"kernel": 5},
            {"blocks": 2, "layers": 2, "filters": 6, "kernel": 5},
            {"blocks": 4, "layers": 1, "filters": 1, "kernel": 1},
        ],
    )
    @pytest.mark.parametrize("image_size", [32, 50])
    def test_they_decide_its_parameters(self, image_size, sizes):
        model = outline("searched_cnn", image_size=image_size, head_units=9, **sizes)
        assert model.count_params() == count_searched_cnn(image_size, 3, 1.0, 9, **sizes)

    def test_its_layers_are_blocks_that_end_with_a_pool(self):
        model = outline("searched_cnn", blocks=2, layers=3, filters=4, kernel=5, dropout=0.5)
        block = ["Conv2D"] * 3 + ["MaxPooling2D"]
        kinds = [type(layer).__name__ for layer in model.layers[1:]]
        assert kinds == ["Rescaling", *block * 2, "Flatten", "Dense", "Dropout", "Dense"]
        convolutions = layers_of(model, "Conv2D")
        shapes = {(layer.filters, layer.kernel_size, layer.padding) for layer in convolutions}
        assert shapes == {(4, (5, 5), "same")}
        assert {layer.activation.__name__ for layer in convolutions} == {"relu"}

    @pytest.mark.parametrize("image_size", [1, 3, 33])
    def test_as_many_blocks_as_can_be_searched_fit_any_image(self, image_size):
        model = build("searched_cnn", image_size=image_size, blocks=5, layers=1, filters=2)
        assert predict(model, noise(1, image_size)).shape == (1, 3)

    def test_no_other_family_takes_them(self):
        assert "has no setting 'blocks'" in refusal("deep_cnn", blocks=2)


class TestSmallImages:
    @EVERY_NETWORK
    def test_the_smallest_image_works(self, family):
        size = SMALLEST[family]
        assert predict(build(family, image_size=size, width=0.25), noise(1, size)).shape == (1, 3)

    @pytest.mark.parametrize("family", [name for name, size in SMALLEST.items() if size > 1])
    def test_a_smaller_one_is_refused_by_a_line_that_names_the_smallest(self, family):
        message = refusal(family, image_size=SMALLEST[family] - 1)
        assert f"expected images of {SMALLEST[family]} px or more, received {SMALLEST[family] - 1} px" in message
        assert "raise image_size" in message
        assert "\n" not in message

    @pytest.mark.parametrize("family", [name for name, size in SMALLEST.items() if size > 1])
    def test_the_smallest_is_not_larger_than_need_be(self, family, monkeypatch):
        monkeypatch.setattr("pipeline.models.build.check_image_size", lambda *_, **__: None)
        with pytest.raises((ValueError, AssertionError)):
            self.check_values_are_left(outline(family, image_size=SMALLEST[family] - 1))

    def check_values_are_left(self, model) -> None:
        assert all(size for layer in model.layers for size in layer.output.shape[1:])


class TestBuildersOfOnesOwn:
    """What whoever adds a family may forget."""

    @pytest.mark.parametrize(
        ("outputs", "activation", "words"),
        [
            (
                7,
                "softmax",
                "must give the probabilities of 3 classes: received 7 numbers an image; end it with softmax_head",
            ),
            (3, None, "received logits, as its last layer has no activation; end it with softmax_head"),
        ],
    )
    def test_other_outputs_than_probabilities_are_refused_before_training(
        self, monkeypatch, outputs, activation, words
    ):
        import keras

        def builder(*, image_size: int, num_classes: int) -> keras.Model:  # noqa: ARG001 - ignores it
            image = keras.Input((image_size, image_size, 3))
            x = keras.layers.GlobalAveragePooling2D()(image)
            return keras.Model(image, keras.layers.Dense(outputs, activation=activation)(x))

        monkeypatch.setattr("pipeline.models.build._load_builder", lambda _: builder)
        assert words in refusal("underfit")
