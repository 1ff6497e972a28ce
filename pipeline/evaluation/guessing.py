"""What guessing gives: the answer that the training images alone suggest, whatever the picture, and who does better. Pure."""

from dataclasses import dataclass

import numpy as np

from pipeline.config.types import Measure
from pipeline.evaluation.intervals import LEVEL
from pipeline.evaluation.measures import compute_p, count_images_needed, measure_images
from pipeline.training.scores import DIGITS


@dataclass(frozen=True)
class Versus:
    """value, guess: the measure on test images, of a family and of guessing; negative for log_loss and cost. p: two-sided, of
    their difference. images_needed: test images that would show such a difference; None if guessing is as good or better."""

    value: float
    guess: float
    p: float
    images_needed: int | None

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
    """labels: int (n,). probabilities: (n, classes), of test. prior, costs: see `guess`."""
    mine, theirs = measure_images(measure, labels, probabilities, costs), measure_guess(measure, labels, prior, costs)
    value, other = (round(float(part.mean()), DIGITS) for part in (mine, theirs))
    needed = count_images_needed(mine, theirs) if value > other else None
    return Versus(value, other, round(compute_p(mine, theirs), 8), needed)


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
