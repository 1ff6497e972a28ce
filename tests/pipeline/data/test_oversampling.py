import numpy as np
import pytest

from pipeline.data.oversampling import count_oversampled, draw_times

LABELS = np.array([2, 0, 0, 2, 0, 0, 0, 1, 0, 2])  # 6, 1 and 3


def draw(labels=LABELS, *, seed: int = 0, epoch: int = 0) -> np.ndarray:
    return draw_times(labels, seed=seed, epoch=epoch)


def test_all_classes_have_as_many_as_the_largest():
    assert [int(draw()[label == LABELS].sum()) for label in range(3)] == [6, 6, 6]
    assert draw()[LABELS == 2].tolist() == [2, 2, 2]
    assert count_oversampled([6, 1, 3]) == draw().sum() == 18


def test_every_image_comes_at_least_once_and_what_is_left_over_goes_around():
    labels = np.repeat([0, 1], [7, 4])
    drawn = [draw(labels, epoch=epoch) for epoch in range(30)]
    assert all(sorted(times[7:]) == [1, 2, 2, 2] and times[:7].tolist() == [1] * 7 for times in drawn)
    assert {int(times[7:].argmin()) for times in drawn} == {0, 1, 2, 3}


def test_it_is_a_function_of_seed_and_epoch():
    labels = np.repeat([0, 1], [50, 30])
    np.testing.assert_array_equal(draw(labels, seed=3, epoch=2), draw(labels, seed=3, epoch=2))
    kinds = {draw(labels, seed=seed, epoch=epoch).tobytes() for seed in (0, 1, 2**32 - 1) for epoch in (0, 1)}
    assert len(kinds) == 6


@pytest.mark.parametrize(("counts", "expected"), [([3, 3], 6), ([0, 4, 2], 8), ([5], 5), ([], 0), ([0, 0], 0)])
def test_classes_without_images_stay_without(counts, expected):
    assert count_oversampled(counts) == expected
