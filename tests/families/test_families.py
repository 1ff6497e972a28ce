from itertools import pairwise

import numpy as np
import pytest

from stages.errors import PipelineError
from stages.families import FAMILIES, build_model

pytestmark = pytest.mark.usefixtures("tensorflow")

NETWORKS = [name for name, family in FAMILIES.items() if family.kind == "network"]
EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES)
EVERY_NETWORK = pytest.mark.parametrize("family", NETWORKS)
SMALLEST = {"underfit": 16, "overfit": 32, "optimized": 32}  # pixels
FILTERS = (32, 64, 128, 256, 512)


def build(family: str, *, image_size: int = 32, num_classes: int = 3, **settings):
    return build_model(family, image_size=image_size, num_classes=num_classes, **settings)


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


def count_convolutions(*filters: int) -> int:
    """Weights and biases of 3×3 convolutions from each number of channels to the next."""
    return sum((9 * channels + 1) * count for channels, count in pairwise(filters))


def count_underfit(size: int, classes: int, width: float = 1.0) -> int:
    filters, side = round(6 * width), -(-size // 5) // 4
    return count_convolutions(3, filters, filters) + (side**2 * filters + 1) * classes


def count_overfit(size: int, classes: int, width: float = 1.0) -> int:
    filters = [round(count * width) for count in FILTERS]
    dense = (size // 32) ** 2 * filters[-1] * 256 + 256
    return count_convolutions(3, *filters) + dense + 257 * classes


def count_optimized(size: int, classes: int, width: float = 2.0) -> int:
    return 4 * 3 + count_overfit(size, classes, width)  # batch normalization has four figures a channel


COUNTS = {"underfit": count_underfit, "overfit": count_overfit, "optimized": count_optimized}


class TestEveryFamily:
    @EVERY_FAMILY
    def test_a_model_is_handed_out_uncompiled(self, family):
        assert not build(family).compiled

    @EVERY_FAMILY
    @pytest.mark.parametrize("count", [1, 2, 7])
    def test_any_number_of_pictures_gives_probabilities_that_sum_to_one(self, family, count):
        probabilities = predict(build(family), noise(count))
        assert probabilities.shape == (count, 3)
        assert probabilities.dtype == np.float32
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        assert probabilities.min() >= 0

    @EVERY_FAMILY
    @pytest.mark.parametrize("value", [0, 255])
    def test_black_and_white_pictures_give_finite_probabilities(self, family, value):
        assert np.isfinite(predict(build(family), np.full((2, 32, 32, 3), value, np.uint8))).all()

    @EVERY_FAMILY
    def test_pixels_may_be_uint8_or_float(self, family):
        model = build(family)
        np.testing.assert_array_equal(predict(model, noise(3)), predict(model, noise(3).astype(np.float32)))

    @EVERY_FAMILY
    def test_prediction_in_batches_is_the_same(self, family):
        model = build(family)
        np.testing.assert_allclose(model.predict_on_batch(noise(3)), predict(model, noise(3)), atol=1e-5)

    @EVERY_FAMILY
    @pytest.mark.parametrize(("image_size", "num_classes"), [(32, 2), (50, 100)])
    def test_any_size_and_number_of_classes_goes(self, family, image_size, num_classes):
        model = build(family, image_size=image_size, num_classes=num_classes)
        assert model.input_shape == (None, image_size, image_size, 3)
        assert model.output_shape == (None, num_classes)

    @EVERY_FAMILY
    def test_a_model_bears_the_familys_name(self, family):
        assert build(family).name == family

    @EVERY_FAMILY
    @pytest.mark.parametrize("num_classes", [1, 0])
    def test_fewer_than_two_classes_are_refused_in_one_line(self, family, num_classes):
        message = refusal(family, num_classes=num_classes)
        assert message == f"{family} needs two classes or more to tell apart: received {num_classes}"


@pytest.mark.parametrize(("name", "named"), [("over_fit", ["overfit"]), ("zzz", list(FAMILIES))])
def test_an_unknown_family_is_refused_by_a_line_that_names_the_nearest(name, named):
    message = refusal(name)
    assert f"no family is called {name!r}" in message
    assert all(family in message for family in named)
    assert "\n" not in message


class TestPublishedCounts:
    @pytest.mark.parametrize(
        ("family", "parameters", "trainable"),
        [
            ("linear_svm", 337_505, 337_505),
            ("underfit", 1_973, 1_973),
            ("overfit", 3_667_269, 3_667_269),
            ("optimized", 10_466_449, 10_466_443),
        ],
    )
    def test_at_150_pixels_and_five_classes(self, family, parameters, trainable):
        model = build(family, image_size=150, num_classes=5)
        assert (model.count_params(), count_trainable(model)) == (parameters, trainable)

    @EVERY_NETWORK
    @pytest.mark.parametrize(("image_size", "num_classes"), [(32, 2), (64, 10), (101, 6)])
    def test_at_other_sizes_and_class_counts(self, family, image_size, num_classes):
        model = build(family, image_size=image_size, num_classes=num_classes)
        assert model.count_params() == COUNTS[family](image_size, num_classes)

    @pytest.mark.parametrize(("image_size", "num_classes"), [(1, 2), (32, 10), (101, 6)])
    def test_a_linear_machine_has_a_weight_for_each_value_and_class(self, image_size, num_classes):
        model = build("linear_svm", image_size=image_size, num_classes=num_classes)
        assert model.count_params() == (3 * image_size**2 + 1) * num_classes

    @pytest.mark.parametrize(("image_size", "pool", "side"), [(32, 2, 16), (32, 5, 6), (32, 32, 1)])
    def test_a_linear_machine_on_averaged_pixels_has_fewer(self, image_size, pool, side):
        assert build("linear_svm", image_size=image_size, pool=pool).count_params() == (3 * side**2 + 1) * 3


class TestPublishedLayers:
    def kinds(self, family: str) -> list[str]:
        return [type(layer).__name__ for layer in build(family).layers[1:]]

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
        convolutions = layers_of(build(family), "Conv2D")
        assert [layer.filters for layer in convolutions] == filters
        shapes = {(layer.kernel_size, layer.padding, layer.activation.__name__) for layer in convolutions}
        assert shapes == {((3, 3), "same", "relu")}

    def test_underfit_strides_by_five_at_first(self):
        assert [layer.strides for layer in layers_of(build("underfit"), "Conv2D")] == [(5, 5), (1, 1)]

    @pytest.mark.parametrize("family", ["overfit", "optimized"])
    def test_a_dense_layer_of_256_comes_before_the_last(self, family):
        dense, last = layers_of(build(family), "Dense")
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
            ("optimized", {"dropout": 0.1}, [0.1, 0.1, 0.1, 0.1, 0.2]),
            ("optimized", {"dropout": 0.9}, [0.9, 0.9, 0.9, 0.9, 0.95]),
            ("optimized", {"dropout": 0.0}, []),
        ],
    )
    def test_the_published_rates_and_others(self, family, settings, rates):
        found = [layer.rate for layer in layers_of(build(family, **settings), "Dropout")]
        assert found == pytest.approx(rates)

    @EVERY_NETWORK
    def test_every_network_can_be_given_a_rate(self, family):
        assert layers_of(build(family, dropout=0.5), "Dropout")

    @EVERY_NETWORK
    def test_it_changes_no_count(self, family):
        assert build(family, dropout=0.5).count_params() == build(family, dropout=0.0).count_params()

    @EVERY_NETWORK
    def test_nothing_is_dropped_when_predicting(self, family):
        model = build(family, dropout=0.5)
        np.testing.assert_array_equal(predict(model, noise(2)), predict(model, noise(2)))


class TestWeightPenalty:
    @pytest.mark.parametrize(
        ("family", "settings", "penalties"),
        [
            ("underfit", {}, [0, 0]),
            ("underfit", {"l2": 0.01}, [0.01, 0.01]),
            ("overfit", {}, [0] * 5),
            ("overfit", {"l2": 0.01}, [0.01] * 5),
            ("optimized", {}, [0, 1e-4, 1e-4, 1e-4, 1e-4]),
            ("optimized", {"l2": 0.01}, [0, 0.01, 0.01, 0.01, 0.01]),
            ("optimized", {"l2": 0.0}, [0] * 5),
        ],
    )
    def test_the_published_penalties_and_others(self, family, settings, penalties):
        regularizers = [layer.kernel_regularizer for layer in layers_of(build(family, **settings), "Conv2D")]
        assert [float(one.l2) if one else 0 for one in regularizers] == pytest.approx(penalties)

    @EVERY_NETWORK
    def test_every_network_can_be_given_one(self, family):
        assert not build(family, l2=0.0).losses
        assert build(family, l2=0.1).losses


class TestWidth:
    @EVERY_NETWORK
    @pytest.mark.parametrize("width", [0.5, 1.0, 3.0])
    def test_the_number_of_filters_is_multiplied(self, family, width):
        assert build(family, width=width).count_params() == COUNTS[family](32, 3, width)

    @EVERY_NETWORK
    def test_a_filter_always_remains(self, family):
        assert min(layer.filters for layer in layers_of(build(family, width=1e-6), "Conv2D")) == 1


class TestSmallImages:
    @EVERY_NETWORK
    def test_the_smallest_image_works(self, family):
        size = SMALLEST[family]
        assert predict(build(family, image_size=size), noise(1, size)).shape == (1, 3)

    @EVERY_NETWORK
    def test_a_smaller_one_is_refused_by_a_line_that_names_the_smallest(self, family):
        message = refusal(family, image_size=SMALLEST[family] - 1)
        assert f"expected images of {SMALLEST[family]} px or more, received {SMALLEST[family] - 1} px" in message
        assert "preprocess.image_size" in message
        assert "\n" not in message
