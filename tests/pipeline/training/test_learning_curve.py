import math

import numpy as np
import pytest

from pipeline.training.learning_curve import FEWEST_EPOCHS, estimate_highest, is_hopeless


def follow(limit: float, drop: float, exponent: float, epochs: int, noise: float = 0.0, seed: int = 0) -> list[float]:
    """The accuracies of a power law."""
    noises = np.random.default_rng(seed).normal(0, noise, epochs)
    return [limit - drop * epoch**-exponent + more for epoch, more in zip(range(1, epochs + 1), noises, strict=True)]


class TestEstimate:
    @pytest.mark.parametrize("exponent", [0.25, 0.5, 1.0, 1.5])
    @pytest.mark.parametrize("seen", [8, 15, 30])
    def test_a_law_is_continued(self, exponent, seen):
        curve = follow(0.8, 0.5, exponent, 50)
        assert estimate_highest(curve[:seen], 50) == pytest.approx(curve[-1], abs=1e-6)

    @pytest.mark.parametrize("exponent", [-1.0, -2.0])
    def test_what_rises_faster_and_faster_is_continued_to_one_at_most(self, exponent):
        curve = follow(0.1, -0.001, exponent, 20)
        assert estimate_highest(curve[:8], 20) == pytest.approx(curve[-1], abs=1e-6)
        assert estimate_highest(curve[:8], 1000) == 1.0

    def test_what_falls_is_continued_as_constant(self):
        assert 0.45 < estimate_highest([0.5, 0.48, 0.47, 0.45, 0.44, 0.43, 0.42], 50) < 0.6

    @pytest.mark.parametrize("seed", range(20))
    def test_with_noise_it_is_never_far_below_what_comes(self, seed):
        curve = follow(0.7, 0.5, 0.8, 40, noise=0.01, seed=seed)
        assert estimate_highest(curve[:12], 40) > follow(0.7, 0.5, 0.8, 40)[-1] - 0.01

    def test_more_noise_promises_more(self):
        quiet, loud = (follow(0.7, 0.5, 1.0, 12, noise=noise, seed=3) for noise in (0.001, 0.02))
        assert estimate_highest(quiet, 40) < estimate_highest(loud, 40)


class TestHopeless:
    def test_a_curve_that_has_flattened_below_the_bar(self):
        curve = follow(0.6, 0.4, 1.0, 50, noise=0.003)
        given_up = [n for n in range(50) if is_hopeless(curve[:n], 50, 0.8)]
        assert FEWEST_EPOCHS < min(given_up) < 20

    @pytest.mark.parametrize("seed", range(20))
    def test_never_where_it_gets_over_the_bar(self, seed):
        curve = follow(0.6, 0.4, 0.7, 50, noise=0.005, seed=seed)
        assert not [n for n in range(50) if is_hopeless(curve[:n], 50, max(curve) - 0.03)]

    def test_not_while_it_has_hardly_begun(self):
        late = [0.1 + 0.8 / (1 + math.exp((8 - epoch) / 2)) for epoch in range(30)]
        assert not [n for n in range(30) if is_hopeless(late[:n], 30, 0.85)]

    def test_not_before_enough_epochs(self):
        assert not is_hopeless([0.1] * FEWEST_EPOCHS, 20, 0.9)
        assert is_hopeless([0.1] * (FEWEST_EPOCHS + 1), 20, 0.9)
        assert not is_hopeless([], 20, 0.9)

    def test_not_in_the_first_quarter(self):
        assert not is_hopeless([0.1] * 25, 100, 0.9)
        assert is_hopeless([0.1] * 26, 100, 0.9)

    def test_not_once_the_bar_was_reached(self):
        assert not is_hopeless([0.5, 0.92, *[0.5] * 20], 50, 0.9)
