import numpy as np
import pytest

from tests.tfrecords import make_noise

pytestmark = pytest.mark.usefixtures("tensorflow")

IMAGES = make_noise(4, 10).astype(np.float32)
LABELS = np.eye(5, dtype=np.float32)[[0, 1, 2, 2]]
BEFORE = [3, 0, 1, 2]  # the image with which each is mixed


def mix(numbers, *, mixup: float = 0.0, cutmix: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """numbers: which, share, x, y, for all images."""
    from pipeline.data.mixing import mix_batch

    rows = np.broadcast_to(np.asarray(numbers, np.float32), (4, 4))
    images, labels = mix_batch(IMAGES, LABELS, rows, mixup=mixup, cutmix=cutmix)
    return images.numpy(), labels.numpy()


def test_mixup_of_parameter_1_takes_any_share_as_likely():
    images, labels = mix([0, 0.3, 0, 0], mixup=1.0)
    np.testing.assert_allclose(images, 0.7 * IMAGES + 0.3 * IMAGES[BEFORE], atol=1e-3)
    np.testing.assert_allclose(labels, 0.7 * LABELS + 0.3 * LABELS[BEFORE], atol=1e-5)


@pytest.mark.parametrize(("number", "share"), [(0.1, 0.0001), (0.5, 0.5), (0.9, 0.9999)])
def test_of_a_small_one_mostly_next_to_nothing_or_next_to_all(number, share):
    """The quantiles of Beta(0.1, 0.1)."""
    _, labels = mix([0, number, 0, 0], mixup=0.1)
    assert labels[0, 2] == pytest.approx(share, abs=1e-3)


def test_cutmix_covers_a_square_and_labels_say_how_much_is_seen():
    images, labels = mix([0, 0.36, 0.5, 0.5], cutmix=1.0)  # a side of 0.6
    np.testing.assert_array_equal(images[:, 2:8, 2:8], IMAGES[BEFORE][:, 2:8, 2:8])
    np.testing.assert_array_equal(images[:, :2], IMAGES[:, :2])
    np.testing.assert_allclose(labels, 0.64 * LABELS + 0.36 * LABELS[BEFORE], atol=1e-5)


def test_a_square_that_is_cut_off_counts_for_what_is_left_of_it():
    _, labels = mix([0, 0.36, 0.0, 0.0], cutmix=1.0)
    np.testing.assert_allclose(labels, 0.91 * LABELS + 0.09 * LABELS[BEFORE], atol=1e-5)


def test_of_both_an_image_gets_one():
    for number, alone in ((0.2, {"mixup": 0.4}), (0.8, {"cutmix": 0.4})):
        numbers = [number, 0.4, 0.3, 0.3]
        for mixed, expected in zip(mix(numbers, mixup=0.4, cutmix=0.4), mix(numbers, **alone), strict=True):
            np.testing.assert_array_equal(mixed, expected)


@pytest.mark.parametrize("settings", [{"mixup": 0.2}, {"cutmix": 1.0}, {"mixup": 0.2, "cutmix": 1.0}])
def test_the_labels_of_an_image_sum_to_one_and_pixels_stay_in_range(settings):
    numbers = np.random.default_rng(0).random((4, 4))
    numbers[0], numbers[1] = 0.0, np.nextafter(np.float32(1), np.float32(0))  # the ends
    images, labels = mix(numbers, **settings)
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)
    assert labels.min() >= 0
    assert images.min() >= 0
    assert images.max() <= 255
