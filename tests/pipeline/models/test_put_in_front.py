import numpy as np
import pytest

from pipeline.models.build import build_model
from pipeline.runtime.errors import PipelineError

pytestmark = pytest.mark.usefixtures("tensorflow")

NOTHING = {"flip": "none", "rotation": 0.0, "zoom": 0.0, "contrast": 0.0, "brightness": 0.0, "shift": 0.0, "crop": 0.0}
NOTHING |= dict.fromkeys(("translate", "erase", "randaugment", "mixup", "cutmix"), 0.0)
EVERYTHING = {
    "flip": "both",
    "rotation": 0.1,
    "zoom": 0.2,
    "contrast": 0.3,
    "brightness": 0.2,
    "shift": 0.1,
    "crop": 0.2,
}
COUNT = 32  # pictures: of so many, some are flipped


def build(family: str = "cifar_small", *, image_size: int = 32, **options):
    return build_model(family, image_size=image_size, num_classes=3, **options)


def refusal(*arguments, **options) -> str:
    with pytest.raises(PipelineError) as caught:
        build(*arguments, **options)
    line = str(caught.value)
    assert "\n" not in line
    return line


def noise(size: int = 32) -> np.ndarray:
    return np.random.default_rng(size).integers(0, 256, (COUNT, size, size, 3)).astype(np.float32)


def predict(model, images: np.ndarray, *, training: bool = False) -> np.ndarray:
    return model(images, training=training).numpy()


def kinds_of(model) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


@pytest.mark.parametrize("name", ["erase", "randaugment", "mixup", "cutmix"])
def test_what_is_done_to_batches_is_refused_in_one_line(name):
    line = refusal(augment={name: 0.2})
    assert line == (
        f"augment.{name} is what the pipeline does to its batches: expected 0 for layers of a model, received 0.2"
    )


class TestAugmentation:
    """cifar_small itself has no dropout or normalization: what differs in training comes from in front of it."""

    def test_prediction_ignores_it(self):
        plain, augmented = build(), build(augment=EVERYTHING)
        augmented.set_weights(plain.get_weights())
        np.testing.assert_allclose(predict(augmented, noise()), predict(plain, noise()), atol=1e-6)

    def test_prediction_ignores_it_where_images_are_resized_as_well(self):
        plain = build(image_size=48, input_size=32)
        augmented = build(image_size=48, input_size=32, augment=EVERYTHING)
        augmented.set_weights(plain.get_weights())
        np.testing.assert_allclose(predict(augmented, noise(48)), predict(plain, noise(48)), atol=1e-6)

    @pytest.mark.parametrize(
        "augment", [EVERYTHING, {"flip": "horizontal"}, {"flip": "vertical"}, {"flip": "both"}, {"rotation": 0.1},
                    {"zoom": 0.2}, {"contrast": 0.3}, {"brightness": 0.3}, {"shift": 0.2}, {"crop": 0.3}]
    )  # fmt: skip
    @pytest.mark.parametrize("image_size", [32, 48])
    def test_training_changes_images_at_random(self, augment, image_size):
        model = build(image_size=image_size, input_size=32, augment=augment)
        images = noise(image_size)
        first, second = (predict(model, images, training=True) for _ in range(2))
        assert not np.allclose(first, predict(model, images), atol=1e-4)
        assert not np.allclose(first, second, atol=1e-4)

    @pytest.mark.parametrize("augment", [None, {}, NOTHING])
    def test_where_none_is_wanted_training_changes_nothing(self, augment):
        model = build(image_size=48, input_size=32, augment=augment)
        np.testing.assert_allclose(predict(model, noise(48), training=True), predict(model, noise(48)), atol=1e-6)
        assert not [kind for kind in kinds_of(model) if kind.startswith("Random")]

    @pytest.mark.parametrize(
        ("flip", "mirrored_axes", "stays"),
        [
            ("horizontal", (2,), True),
            ("horizontal", (1,), False),
            ("vertical", (1,), True),
            ("vertical", (2,), False),
            ("both", (1, 2), True),
            ("both", (1,), False),
            ("both", (2,), False),
        ],
    )
    def test_a_flip_is_around_the_axis_that_was_named(self, flip, mirrored_axes, stays):
        """Pictures that are their own mirror images do not change."""
        images = noise()
        for axis in mirrored_axes:
            images = images + np.flip(images, axis)
        images /= 2 ** len(mirrored_axes)
        model = build(augment={"flip": flip})
        same = np.allclose(predict(model, images, training=True), predict(model, images), atol=1e-5)
        assert same == stays

    def test_it_comes_before_the_resizing(self):
        kinds = kinds_of(build(image_size=48, input_size=32, augment=EVERYTHING))
        moves = ["RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomZoom", "RandomTranslation"]
        assert kinds[1:10] == [*moves, "RandomContrast", "RandomBrightness", "Resizing"]


class TestSizes:
    @pytest.mark.parametrize(("image_size", "input_size"), [(48, 32), (20, 32), (10, 32), (32, 32), (150, 18)])
    @pytest.mark.parametrize("augment", [None, EVERYTHING])
    def test_images_of_any_size_are_taken(self, image_size, input_size, augment):
        model = build(image_size=image_size, input_size=input_size, augment=augment)
        assert model.input_shape == (None, image_size, image_size, 3)
        assert model.output_shape == (None, 3)
        np.testing.assert_allclose(predict(model, noise(image_size)).sum(axis=1), 1, atol=1e-5)

    def test_the_network_is_that_for_its_own_size(self):
        assert build(image_size=48, input_size=32).count_params() == build(image_size=32).count_params()
        assert build(image_size=48, input_size=32).count_params() != build(image_size=48).count_params()

    def test_there_is_nothing_in_front_where_nothing_is_needed(self):
        assert kinds_of(build(image_size=32, input_size=32)) == kinds_of(build(image_size=32))
        assert "Conv2D" in kinds_of(build(image_size=32, input_size=32))

    @pytest.mark.parametrize("image_size", [20, 48])
    def test_one_colour_stays_that_colour_when_resized(self, image_size):
        resized, plain = build(image_size=image_size, input_size=32), build(image_size=32)
        resized.set_weights(plain.get_weights())
        colour = np.array([200, 30, 90], np.float32)
        predictions = [predict(model, np.broadcast_to(colour, (1, size, size, 3)))
                       for model, size in ((resized, image_size), (plain, 32))]  # fmt: skip
        np.testing.assert_allclose(predictions[0], predictions[1], atol=1e-5)

    def test_images_that_shrink_are_averaged(self):
        """Fine stripes of black and white turn grey; looked at only here and there, they would be black."""
        small, plain = build(image_size=128, input_size=32), build(image_size=32)
        small.set_weights(plain.get_weights())
        stripes = np.broadcast_to(np.where(np.isin(np.arange(128) % 4, (1, 2)), 0, 255)[:, None], (1, 128, 128, 3))
        grey, black = (predict(plain, np.full((1, 32, 32, 3), value, np.float32)) for value in (127.5, 0))
        predicted = predict(small, stripes.astype(np.float32))
        assert np.abs(predicted - grey).max() < np.abs(predicted - black).max() / 5

    @pytest.mark.parametrize("options", [{}, {"input_size": 32}, {"augment": EVERYTHING}])
    def test_the_model_has_the_familys_name(self, options):
        assert build(image_size=48, **options).name == "cifar_small"

    def test_it_can_be_saved_and_loaded(self, tmp_path):
        import keras

        model = build(image_size=48, input_size=32, augment=EVERYTHING)
        model.save(tmp_path / "net.keras")
        loaded = keras.models.load_model(tmp_path / "net.keras", compile=False)
        np.testing.assert_array_equal(predict(loaded, noise(48)), predict(model, noise(48)))

    def test_too_small_an_input_size_is_refused_by_its_name(self):
        line = refusal(image_size=48, input_size=17)
        assert "expected images of 18 px or more, received 17 px; raise input_size" in line

    def test_a_linear_machine_can_be_resized_for_too(self):
        model = build("linear_svm", image_size=48, input_size=8)
        assert model.input_shape == (None, 48, 48, 3)
        assert model.count_params() == (3 * 8 * 8 + 1) * 3


class TestSettings:
    @pytest.mark.parametrize(
        ("family", "setting", "known"),
        [
            ("linear_svm", "dropout", "pool, solver"),
            ("cifar_small", "drop_out", "dropout, l2, width, head_units"),
            ("cifar_small", "weights", "dropout, l2, width, head_units"),
            ("searched_cnn", "pools", "blocks, layers, filters, kernel, head_units, dropout, l2, width"),
            ("mobilenet", "pool", "head_units, dropout, l2, width, features, standardize, weights, preset, network"),
            ("mobilenet_svm", "dropout", "features, weights, preset, network, solver"),
        ],
    )
    def test_one_that_a_family_does_not_have_is_refused_by_a_line_that_names_those_it_has(self, family, setting, known):
        assert refusal(family, **{setting: 0.1}) == f"{family} has no setting {setting!r}: expected {known}"

    def test_the_backbone_of_a_family_is_no_setting(self):
        assert "mobilenet has no setting 'backbone'" in refusal("mobilenet", backbone="vgg16")
