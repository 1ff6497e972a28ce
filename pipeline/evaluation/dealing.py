"""A family's own answers, dealt out to the images at random, so that they have nothing to do with the pictures. Pure."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, random_table

from pipeline.config.types import Measure

_DEALS, _MOST = 9_999, 1_000  # tables that are drawn; images up to which they are
_CELLS = 4_000_000  # of drawn tables in memory at a time
_LEVEL, _POWER = 0.975, 0.8  # of the test that `count_images_above` is for
_NOTHING = 1e-9  # of a measure, but for rounding


@dataclass(frozen=True)
class Dealt:
    """A measure of answers that are dealt out at random. mean, spread: its mean and standard deviation. num_images: of test.
    draws: float (n,), some of its values; None where there are so many images that it is normally distributed."""

    mean: float
    spread: float
    num_images: int
    draws: np.ndarray | None

    def compute_p(self, value: float) -> float:
        """Two-sided p of a value: twice the share of deals that are as far on its side."""
        if self.draws is None:
            return float(2 * norm.sf(abs(value - self.mean) / self.spread)) if self.spread else 1.0
        side = self.draws >= value - _NOTHING if value > self.mean else self.draws <= value + _NOTHING
        return min(1.0, 2 * (1 + np.count_nonzero(side)) / (1 + len(self.draws)))

    def count_images_needed(self, parts: np.ndarray) -> int:
        """How many test images would show such a difference at the level of 0.05 in 80 % of cases. parts: float (n,), what each
        image contributes to the family's measure, whose mean is above that of dealt answers."""
        return count_images_above(self.mean, self.spread * np.sqrt(self.num_images), parts)


def count_images_above(guess: float, spread: float, parts: np.ndarray) -> int:
    """How many images a test against guessing needs, at the level of 0.05 in 80 % of cases (Fleiss 2003, section 2.4).

    guess, spread: of one image's contribution where nothing is known, its mean and standard deviation. parts: float (n,), what
    each image contributes to the family's measure, whose mean is above."""
    spreads = norm.ppf(_LEVEL) * spread + norm.ppf(_POWER) * parts.std()
    return int(np.ceil((spreads / (parts.mean() - guess)) ** 2))


def deal_answers(
    measure: Measure, labels: np.ndarray, probabilities: np.ndarray, costs: np.ndarray | None = None
) -> Dealt | None:
    """The measure, if the answers of a family are dealt out (a permutation test); None for a measure of probabilities, and of
    one image. Arguments as `measure_images`.

    By 9,999 random tables with the same sums; for more than 1,000 images by the normal distribution (Hoeffding 1951).
    """
    classes, total = probabilities.shape[1], len(labels)
    true, named = (np.bincount(part, minlength=classes) for part in (labels, probabilities.argmax(axis=1)))
    scores = _score_answers(measure, true, named, costs)
    if scores is None or total < 2:
        return None
    rows, columns = scores @ named / total, true @ scores / total
    mean = float(true @ rows) / total
    rest = scores - rows[:, None] - columns[None, :] + mean
    spread = float(np.sqrt(true @ rest**2 @ named / (total - 1))) / total
    return Dealt(mean, spread, total, _draw(true, named, scores) if total <= _MOST else None)


def _draw(true: np.ndarray, named: np.ndarray, scores: np.ndarray) -> np.ndarray:
    tables, rng, values = random_table(true, named), np.random.default_rng(0), []
    step = max(1, _CELLS // scores.size)
    for start in range(0, _DEALS, step):
        drawn = tables.rvs(min(step, _DEALS - start), method="boyett", random_state=rng)
        values.append(np.einsum("nij,ij->n", drawn, scores) / true.sum())
    return np.concatenate(values)


def _score_answers(
    measure: Measure, true: np.ndarray, named: np.ndarray, costs: np.ndarray | None
) -> np.ndarray | None:
    """float (classes, classes), true by named: what an answer adds to the measure, times the number of images; None for a
    measure of probabilities. true, named: images of each class, and answers, whose numbers dealing does not change."""
    if measure == "accuracy":
        return np.eye(len(true))
    if measure == "balanced_accuracy":
        return np.diag(true.sum() / np.maximum(true, 1) / np.count_nonzero(true))
    if measure == "macro_f1":
        return np.diag(2 * true.sum() / np.maximum(true + named, 1) / len(true))
    return -costs if measure == "cost" and costs is not None else None
