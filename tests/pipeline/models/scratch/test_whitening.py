import numpy as np
import pytest

from tests.tfrecords import make_coloured_split, make_noise

pytestmark = pytest.mark.usefixtures("tensorflow")


def build(image_size: int, **options):
    from pipeline.models.build import build_model

    return build_model("resnet_fast", image_size=image_size, num_classes=3, width=0.05, **options)


def see(model, images: np.ndarray) -> np.ndarray:
    """What the first layer makes of images, one row per patch."""
    import keras

    from pipeline.models.layers import unwrap

    layer = unwrap(model)[1].get_layer("whitening")
    seen = keras.Model(layer.input, layer.output)(images.astype(np.float32)).numpy()
    return seen.reshape(-1, seen.shape[-1])


def make_smooth(count: int, size: int) -> np.ndarray:
    """Noise whose neighbouring pixels are alike, uint8."""
    noise = make_noise(count, size + 2, seed=2).astype(int)
    return ((noise[:, :-2, :-2] + noise[:, 1:-1, 1:-1] + noise[:, :-2, 2:] + noise[:, 2:, 2:]) // 4).astype(np.uint8)


@pytest.mark.parametrize("size", [20, 32, 64])
def test_over_the_training_patches_outputs_are_uncorrelated_and_of_variance_1(size):
    from pipeline.models.scratch.whitening import set_whitening

    model, images = build(size), make_smooth(60, size)
    set_whitening(model, images)
    seen = see(model, images)
    half = seen.shape[1] // 2
    np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(seen[:, :half], rowvar=False), np.eye(half), atol=0.01)
    np.testing.assert_allclose(seen[:, half:], -seen[:, :half], atol=1e-5)


def test_the_first_direction_is_the_one_in_which_patches_vary_most():
    from pipeline.models.scratch.whitening import compute_whitening

    grey = np.repeat(make_noise(40, 4, seed=1)[:, :1, :1, :1], 4, axis=1).repeat(4, axis=2).repeat(3, axis=3)
    weights, _ = compute_whitening(grey + make_noise(40, 4) // 100, size=2, step=1, directions=3)
    assert weights[:, 0].min() > 0  # brightness, with the sign that makes its largest part positive
    np.testing.assert_allclose(weights[:, 0] / weights[0, 0], 1, atol=0.05)


def test_the_weights_do_not_depend_on_the_order_of_images():
    from pipeline.models.scratch.whitening import compute_whitening

    images = make_noise(150, 12)
    first, again = (compute_whitening(part, size=3, step=2, directions=24) for part in (images, images[::-1]))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("colour", [0, 200])
def test_images_of_one_colour_give_finite_weights(colour):
    from pipeline.models.scratch.whitening import compute_whitening

    weights, shift = compute_whitening(np.full((3, 8, 8, 3), colour, np.uint8), size=2, step=1, directions=12)
    assert np.isfinite(weights).all()
    assert np.isfinite(shift).all()


def test_images_that_the_model_resizes_are_seen_as_it_sees_them():
    from pipeline.models.layers import unwrap
    from pipeline.models.scratch.whitening import set_whitening

    model, images = build(48, input_size=32), make_smooth(40, 48)
    set_whitening(model, images)
    (resize,), _ = unwrap(model)
    seen = see(model, resize(images.astype(np.float32)).numpy())
    variance = seen.var(axis=0)
    assert variance[0] == pytest.approx(1, abs=0.01)
    assert variance.max() < 1.01


def test_only_networks_with_such_a_layer_have_one():
    from pipeline.models.build import build_model
    from pipeline.models.scratch.whitening import has_whitening

    assert has_whitening(build(32))
    assert has_whitening(build(48, input_size=32))
    assert not has_whitening(build_model("underfit", image_size=32, num_classes=3))


class TestNetwork:
    @pytest.mark.parametrize(
        ("size", "side", "places"), [(16, 2, 15), (32, 2, 31), (47, 2, 46), (48, 3, 23), (64, 3, 31), (150, 6, 29)]
    )
    def test_its_groups_see_about_as_many_places_whatever_the_size(self, size, side, places):
        layer = build(size).get_layer("whitening")
        assert layer.kernel_size == (side, side)
        assert layer.output.shape[1:3] == (places, places)

    def test_what_whitens_is_not_trained(self):
        model = build(32)
        before = model.get_layer("whitening").get_weights()
        model.compile("sgd", "sparse_categorical_crossentropy")
        images, labels = make_coloured_split(12, 32)
        model.train_on_batch(images.astype(np.float32), labels)
        for one, other in zip(before, model.get_layer("whitening").get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
