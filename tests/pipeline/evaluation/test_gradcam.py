from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.config.families import FAMILIES, PRESETS
from pipeline.models.build import build_model
from tests.tfrecords import write_records

pytestmark = pytest.mark.usefixtures("tensorflow")

SIZE, NUM_CLASSES, COUNT = 64, 3, 2
CLASSES = np.array([2, 0])
COLOURS = ["red", "green", "blue"]
FLAT = ("linear_svm", "dense_ann")  # no convolutions
# Of those on a backbone, each of which takes a second or more to build and to trace, one with each kind of head.
LIGHT = {"mobilenet_svm", "efficientnet_lite0", *(name for name, family in FAMILIES.items() if family.backbone is None)}
EVERY_FAMILY = pytest.mark.parametrize(
    "family",
    [
        name if name in LIGHT else pytest.param(name, marks=pytest.mark.slow)
        for name, family in FAMILIES.items()
        if family.backbone not in PRESETS
    ],
)
RESIZED = {"input_size": 32, "augment": {"flip": "horizontal", "rotation": 0.1}}  # by layers in front of the network


@cache
def build(family: str, **settings: Any) -> Any:
    return build_model(family, image_size=size_of(family), num_classes=NUM_CLASSES, **settings)


def size_of(family: str) -> int:
    return max(SIZE, FAMILIES[family].min_image_size)


def noise(size: int = SIZE, count: int = COUNT) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def explain(model: Any, images: np.ndarray, classes: Any) -> Any:
    from pipeline.evaluation.gradcam import compute_heat_maps

    return compute_heat_maps(model, images, np.asarray(classes))


def tabulate(model: Any) -> Any:
    from pipeline.evaluation.layer_table import make_layer_table

    return make_layer_table(model)


@pytest.fixture
def make_colour_network(tensorflow) -> Callable[..., Any]:  # noqa: ARG001 - must be configured before Keras is imported
    """A network that measures red, green and blue: the more of one, the more probable is class 0, 1 or 2. corner: pixels from
    the top left, beyond which it sees nothing. strength: weight of each colour."""
    import keras
    from keras import layers

    def make(corner: int = 8, strength: float = 4.0) -> keras.Model:
        inputs = keras.Input((8, 8, 3))
        x = layers.Rescaling(1 / 255)(inputs)
        if corner < 8:
            rest = ((0, 8 - corner), (0, 8 - corner))
            x = layers.ZeroPadding2D(rest)(layers.Cropping2D(rest)(x))
        x = layers.GlobalAveragePooling2D()(layers.Conv2D(3, 1, name="colours")(x))
        model = keras.Model(inputs, layers.Dense(3, activation="softmax", name="probabilities")(x))
        model.get_layer("colours").set_weights([np.eye(3, dtype=np.float32)[None, None], np.zeros(3, np.float32)])
        weights = strength * np.eye(3, dtype=np.float32)
        model.get_layer("probabilities").set_weights([weights, np.zeros(3, np.float32)])
        return model

    return make


def paint(*patches: tuple[int, int, int]) -> np.ndarray:
    """A black image, 8 × 8 pixels. patches: row and column of a 2 × 2 patch, and its colour: red, green or blue."""
    image = np.zeros((8, 8, 3), np.uint8)
    for row, column, colour in patches:
        image[row : row + 2, column : column + 2, colour] = 255
    return image


def lit(heat: np.ndarray) -> set[tuple[int, int]]:
    """Rows and columns, by patches of 2 × 2."""
    return {(int(row) // 2 * 2, int(column) // 2 * 2) for row, column in np.argwhere(heat > 0.5)}


class TestHeatMaps:
    @pytest.mark.ci
    @EVERY_FAMILY
    def test_every_network_with_convolutions_has_one_from_0_to_1(self, family):
        heat = explain(build(family), noise(size_of(family)), CLASSES)
        if family in FLAT:
            assert heat is None
            return
        assert heat.dtype == np.float32
        assert heat.shape[0] == COUNT
        assert heat.shape[1] == heat.shape[2] >= 1
        assert np.isfinite(heat).all()
        assert heat.min() >= 0
        assert heat.max() <= 1

    @pytest.mark.parametrize(
        ("family", "side"),
        [
            ("underfit", 6),
            ("overfit", 4),
            ("cifar_small", 12),
            ("resnet_fast", 3),
            ("mobilenet", 2),
            ("efficientnet_lite0", 2),
        ],
    )
    def test_it_has_the_size_of_the_last_convolution(self, family, side):
        assert explain(build(family), noise(), CLASSES).shape == (COUNT, side, side)

    def test_so_it_does_where_svc_votes_on_a_backbone(self):
        """In double precision, unlike the layers before."""
        model = build("efficientnet_lite0_svm", solver="svc")
        heat = explain(model, noise(), CLASSES)
        assert heat.shape == (COUNT, 2, 2)
        assert np.isfinite(heat).all()

    def test_a_network_behind_layers_that_resize_has_one(self):
        model = build_model("overfit", image_size=SIZE, num_classes=NUM_CLASSES, width=0.25, **RESIZED)
        assert explain(model, noise(), CLASSES).shape == (COUNT, 2, 2)

    def test_a_network_without_convolutions_behind_such_layers_has_none(self):
        model = build_model("dense_ann", image_size=16, num_classes=NUM_CLASSES, width=0.01, **RESIZED)
        assert explain(model, noise(16), CLASSES) is None

    def test_it_is_deterministic(self):
        """Even with layers that augment images during training."""
        model = build_model("animals_cnn", image_size=SIZE, num_classes=NUM_CLASSES, **RESIZED)
        images = noise()
        np.testing.assert_array_equal(explain(model, images, CLASSES), explain(model, images, CLASSES))

    def test_the_model_is_not_changed(self):
        model, images = build("optimized"), noise()
        before, weights = model(images, training=False).numpy(), model.get_weights()
        explain(model, images, CLASSES)
        np.testing.assert_array_equal(model(images, training=False).numpy(), before)
        assert all((a == b).all() for a, b in zip(weights, model.get_weights(), strict=True))

    def test_it_does_not_depend_on_the_other_images(self):
        model, images = build("overfit"), noise(count=3)
        alone = np.concatenate([explain(model, images[n : n + 1], [n]) for n in range(3)])
        np.testing.assert_allclose(explain(model, images, [0, 1, 2]), alone, atol=1e-3)

    def test_a_loaded_model_gives_the_same(self, tmp_path):
        from pipeline.models.artifacts import load_model, save_model

        for model in (
            build("overfit"),
            build_model("overfit", image_size=SIZE, num_classes=NUM_CLASSES, input_size=32),
        ):
            save_model(model, tmp_path / "model.keras")
            expected = explain(model, noise(), CLASSES)
            np.testing.assert_allclose(
                explain(load_model(tmp_path / "model.keras"), noise(), CLASSES), expected, atol=1e-4
            )


class TestWarmLocations:
    def test_the_location_that_speaks_for_the_class_is_warm(self, make_colour_network):
        image = paint((0, 0, 0), (6, 6, 1), (0, 6, 2))
        heat = explain(make_colour_network(), np.stack([image] * 3), [0, 1, 2])
        assert [lit(one) for one in heat] == [{(0, 0)}, {(6, 6)}, {(0, 6)}]

    def test_every_such_location_is_warm(self, make_colour_network):
        image = paint((0, 0, 0), (4, 6, 0), (6, 2, 1))
        assert lit(explain(make_colour_network(), image[None], [0])[0]) == {(0, 0), (4, 6)}

    def test_a_location_that_speaks_against_it_is_cold(self, make_colour_network):
        heat = explain(make_colour_network(), paint((0, 0, 0), (6, 6, 1))[None], [0])[0]
        assert heat[:2, :2].min() == pytest.approx(1)
        assert heat[6:, 6:].max() == 0

    def test_a_location_that_the_network_ignores_is_cold(self, make_colour_network):
        """The probabilities depend on the top left corner only; the whole image is red."""
        image = paint(*[(row, column, 0) for row in range(0, 8, 2) for column in range(0, 8, 2)])
        heat = explain(make_colour_network(corner=4), image[None], [0])[0]
        assert heat[:4, :4].min() == pytest.approx(1)
        heat[:4, :4] = 0
        assert heat.max() == 0

    def test_without_evidence_for_the_class_all_is_cold(self, make_colour_network):
        assert explain(make_colour_network(), paint((0, 0, 1))[None], [0])[0].max() == 0
        assert explain(make_colour_network(), paint()[None], [0])[0].max() == 0

    @pytest.mark.parametrize("strength", [1.0, 100.0, 500.0, 1000.0])
    def test_it_works_where_the_network_is_almost_certain(self, make_colour_network, strength):
        """The patch is a sixteenth of the image, and so its score is a sixteenth of the strength."""
        heat = explain(make_colour_network(strength=strength), paint((2, 4, 0))[None], [0])[0]
        assert lit(heat) == {(2, 4)}

    @pytest.mark.parametrize("strength", [100.0, 500.0, 1000.0])
    def test_it_works_for_an_improbable_class(self, make_colour_network, strength):
        image = paint((2, 4, 0), (4, 0, 0), (6, 6, 1))  # more red than green
        assert lit(explain(make_colour_network(strength=strength), image[None], [1])[0]) == {(6, 6)}


class TestMistakes:
    """Heat maps of mistakes, for the class that was predicted."""

    @pytest.fixture
    def explain(self, make_colour_network, tmp_path, monkeypatch) -> Callable[..., np.ndarray]:
        """Takes the predicted classes of four images: a red patch, top left, and a green one, bottom right; all are red."""
        monkeypatch.chdir(tmp_path)
        images = np.stack([paint((0, 0, 0), (6, 6, 1))] * 4)
        write_records(class_names=COLOURS, num_shards=2, test=(images, np.zeros(4, int)))

        def explain_predictions(predicted: list[int], network: Any = None) -> np.ndarray:
            from pipeline.evaluation.gradcam import explain_mistakes

            rows = [(f"{i}", "red", COLOURS[n], 0.5 + i / 10) for i, n in enumerate(predicted)]
            table = pd.DataFrame(rows, columns=["image_id", "label", "predicted", "confidence"])
            return explain_mistakes(network or make_colour_network(), table, COLOURS)

        return explain_predictions

    def test_each_mistake_has_one_for_the_predicted_class_the_most_confident_first(self, explain):
        heat = explain([0, 1, 0, 1])
        assert (heat.dtype, heat.shape) == (np.float16, (2, 8, 8))
        assert [lit(one) for one in heat] == [{(6, 6)}, {(6, 6)}]

    def test_there_are_no_more_than_a_page_shows(self, explain, monkeypatch):
        monkeypatch.setattr("pipeline.evaluation.gradcam._HEAT_MAPS", 3)
        assert len(explain([1, 1, 1, 1])) == 3

    def test_without_mistakes_there_are_none(self, explain):
        assert explain([0, 0, 0, 0]).shape == (0, 1, 1)

    def test_without_convolutions_there_are_none(self, explain):
        flat = build_model("linear_svm", image_size=8, num_classes=3)
        assert explain([1, 0, 0, 0], flat).shape == (0, 1, 1)


class TestLayerTable:
    @EVERY_FAMILY
    def test_parameters_sum_to_those_of_the_model(self, family):
        assert tabulate(build(family))["parameters"].sum() == build(family).count_params()

    def test_it_has_one_row_per_layer_in_order(self):
        table = tabulate(build("underfit"))
        assert table.columns.tolist() == ["layer", "kind", "rows", "columns", "channels", "parameters"]
        assert table["layer"].tolist() == [layer.name for layer in build("underfit").layers]
        assert table.drop(columns="layer").to_numpy().tolist() == [
            ["InputLayer", 64, 64, 3, 0],
            ["Conv2D", 13, 13, 6, (9 * 3 + 1) * 6],
            ["MaxPooling2D", 6, 6, 6, 0],
            ["Conv2D", 6, 6, 6, (9 * 6 + 1) * 6],
            ["MaxPooling2D", 3, 3, 6, 0],
            ["Flatten", 1, 1, 54, 0],
            ["Dense", 1, 1, 3, (54 + 1) * 3],
        ]

    @pytest.mark.parametrize(
        ("family", "channels"), [("mobilenet", 1024), ("efficientnet_lite0", 1280), ("mobilenet_svm", 1024)]
    )
    def test_a_backbone_is_one_row(self, family, channels):
        table = tabulate(build(family))
        (row,) = table[table["kind"] == "Backbone"].to_dict("records")
        assert (row["rows"], row["columns"], row["channels"]) == (2, 2, channels)
        assert row["parameters"] > 0.7 * build(family).count_params()
        assert table["kind"].tolist()[-1] == "Dense"
        assert len(table) < 14

    def test_layers_in_front_are_listed_first_and_each_layer_once(self):
        model = build_model("overfit", image_size=SIZE, num_classes=NUM_CLASSES, width=0.25, **RESIZED)
        table = tabulate(model)
        assert table["kind"].tolist()[:5] == ["InputLayer", "RandomFlip", "RandomRotation", "Resizing", "Conv2D"]
        assert table["rows"].tolist()[:5] == [64, 64, 64, 32, 32]
        assert not table["layer"].duplicated().any()
        assert table["parameters"].sum() == model.count_params()

    def test_it_can_be_saved_and_loaded(self, tmp_path):
        from pipeline.data.manifest import save_table
        from pipeline.evaluation.results import load_table

        table = tabulate(build("optimized"))
        save_table(table, tmp_path / "layers.csv")
        pd.testing.assert_frame_equal(load_table(tmp_path / "layers.csv"), table, check_dtype=False)
