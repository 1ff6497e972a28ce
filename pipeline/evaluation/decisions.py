"""The answer that costs least, where some errors are dearer than others. Pure.

The expected cost of an answer is the mean of its costs over the true classes, by their probabilities; the least is the best
that can be done with these probabilities (Elkan 2001, "The foundations of cost-sensitive learning"). They have to be
calibrated.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.config.types import Measure
from pipeline.evaluation.measures import compute_p
from pipeline.evaluation.temperature import apply_temperature
from pipeline.training.scores import DIGITS


def decide(probabilities: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """int (n,): the answer with the least expected cost; of equals the most probable.

    probabilities: calibrated, (n, classes). costs: (classes, classes), true by predicted; see `make_cost_matrix`.
    """
    expected = probabilities.astype(np.float64) @ costs
    least = expected <= expected.min(axis=1, keepdims=True) * (1 + 1e-9)
    return np.where(least, probabilities, -1.0).argmax(axis=1)


def use_probabilities(
    measure: Measure, probabilities: np.ndarray, temperature: float, costs: np.ndarray | None = None
) -> np.ndarray:
    """The probabilities by which a measure judges a family, (n, classes), as `predict` would use them: calibrated for log_loss;
    for cost, 1 for the answer that costs least; for others as they are.

    probabilities: before calibration. costs: see `decide`; for cost only.
    """
    if measure not in ("log_loss", "cost"):
        return probabilities
    calibrated = apply_temperature(probabilities, temperature)
    return (
        np.eye(calibrated.shape[1])[decide(calibrated, costs)]
        if measure == "cost" and costs is not None
        else calibrated
    )


@dataclass(frozen=True)
class Decisions:
    """Two ways to answer, on the same images. probable, least: the mean cost of naming the most probable class, and of
    `decide`. changed: images that they answer differently. p: of the difference, two-sided; see `compute_p`. answers: int (n,),
    those of `decide`."""

    probable: float
    least: float
    changed: int
    p: float
    answers: np.ndarray


def compare_decisions(labels: np.ndarray, probabilities: np.ndarray, costs: np.ndarray) -> Decisions:
    """labels: int (n,), n ≥ 1. probabilities, costs: see `decide`."""
    usual, answers = probabilities.argmax(axis=1), decide(probabilities, costs)
    before, after = costs[labels, usual], costs[labels, answers]
    return Decisions(
        probable=round(float(before.mean()), DIGITS),
        least=round(float(after.mean()), DIGITS),
        changed=int((usual != answers).sum()),
        p=round(compute_p(before, after), DIGITS),
        answers=answers,
    )
