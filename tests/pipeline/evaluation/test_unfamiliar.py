import numpy as np
import pytest

from pipeline.evaluation.unfamiliar import MAKERS, scramble

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 18, 18, 3), np.uint8)


@pytest.mark.parametrize("kind", MAKERS)
def test_the_same_seed_makes_the_same_pictures(kind):
    first, again, other = (MAKERS[kind](IMAGES, seed) for seed in (1, 1, 2))
    assert first.shape == IMAGES.shape
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_scrambled_picture_has_the_same_pieces_elsewhere():
    made = scramble(IMAGES, seed=1)
    assert not np.array_equal(made[0], IMAGES[0])
    assert np.array_equal(np.sort(made[0].ravel()), np.sort(IMAGES[0].ravel()))
    assert np.array_equal(made[:, 16:], IMAGES[:, 16:])
