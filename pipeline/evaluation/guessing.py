"""What guessing gives: the answer that the training images alone suggest, whatever the picture, or a family's own answers
dealt out at random; and who does better. Pure."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from pipeline.config.types import Measure
from pipeline.evaluation.dealing import count_images_above, deal_answers
from pipeline.evaluation.intervals import LEVEL
from pipeline.evaluation.measures import compute_p, count_images_needed, measure_images
from pipeline.training.scores import DIGITS


@dataclass(frozen=True)
class Versus:
    """value, guess: the measure on test images, of a family and of guessing; negative for log_loss and cost. p: two-sided, of
    their difference. images_needed: test images that would show such a difference; None if guessing is as good or better.
    is_dealt: whether the better guess is the family's own answers, dealt out at random."""

    value: float
    guess: float
    p: float
    images_needed: int | None
    is_dealt: bool = False

    @property
    def is_better(self) -> bool:
        """Whether the family is distinguishably better than guessing."""
        return self.value > self.guess and self.p < 1 - LEVEL


def guess(measure: Measure, prior: np.ndarray, costs: np.ndarray | None = None) -> np.ndarray:
    """float (classes,): the probabilities that guessing gives to every image: all to the most frequent class, or, for cost, to
    the one that costs least; the first of equals. For log_loss the prior itself, for macro_f1 answers drawn from it: no other
    guess has a higher one.

    prior: float (classes,), the classes' shares of the training images. costs: see `make_cost_matrix`.
    """
    if measure in ("log_loss", "macro_f1"):
        return prior
    best = (prior @ costs).argmin() if measure == "cost" and costs is not None else prior.argmax()
    return np.eye(len(prior))[best]


def compare_with_guessing(
    measure: Measure,
    labels: np.ndarray,
    probabilities: np.ndarray,
    prior: np.ndarray,
    costs: np.ndarray | None = None,
) -> Versus:
    """Whether a family is better than both ways to guess: the answer that the training images suggest, and, by a measure of
    answers, its own ones dealt out at random, see `deal_answers`. p is the higher of both.

    labels: int (n,). probabilities: (n, classes), of test. prior, costs: see `guess`.
    """
    mine, theirs = measure_images(measure, labels, probabilities, costs), measure_guess(measure, labels, prior, costs)
    value, other = (round(float(part.mean()), DIGITS) for part in (mine, theirs))
    dealt = deal_answers(measure, labels, probabilities, costs)
    mean = -np.inf if dealt is None else round(dealt.mean, DIGITS)
    p = [] if dealt is None else [dealt.compute_p(float(mine.mean()))]
    p += [_compare_with_constant(measure, mine, theirs)] if mean < other else []
    needed = None
    if value > max(other, mean):
        is_dealt = dealt is not None and mean >= other
        needed = dealt.count_images_needed(mine) if is_dealt and dealt else _count_images(measure, mine, theirs)
    return Versus(value, max(other, mean), round(float(max(p)), 8), needed, mean >= other)


def _compare_with_constant(measure: Measure, mine: np.ndarray, theirs: np.ndarray) -> float:
    """p of the difference from an answer that is the same for all images. Which images it hits is no matter of chance, so that
    only their share counts: else it would matter which of equally frequent classes it is."""
    if measure == "accuracy":
        return float(binomtest(int(mine.sum()), len(mine), float(theirs.mean())).pvalue)
    return compute_p(mine, theirs)


def _count_images(measure: Measure, mine: np.ndarray, theirs: np.ndarray) -> int | None:
    """How many images `_compare_with_constant` would need: for accuracy, those of a test of one share against a known one."""
    if measure != "accuracy":
        return count_images_needed(mine, theirs)
    return count_images_above(float(theirs.mean()), float(theirs.std()), mine)


def measure_guess(
    measure: Measure, labels: np.ndarray, prior: np.ndarray, costs: np.ndarray | None = None
) -> np.ndarray:
    """float64 (n,): what each image contributes to the measure of guessing; see `measure_images`. Arguments as `guess`."""
    answer = guess(measure, prior, costs)
    if measure != "macro_f1":
        return measure_images(measure, labels, np.broadcast_to(answer, (len(labels), len(prior))), costs)
    # What `measure_images` says of drawn answers on average.
    shares = np.bincount(labels, minlength=len(prior)) / len(labels)
    either = np.maximum(answer + shares, 1e-12)
    f1 = 2 * answer * shares / either
    own = (2 * answer - f1) / either
    return (f1.sum() + own[labels] - (f1 * answer / either).sum()) / len(prior)
