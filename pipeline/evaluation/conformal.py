"""Prediction sets that hold the true class as often as asked for. Pure.

Split conformal prediction with the scores of least ambiguous set-valued classifiers (Sadinle, Lei and Wasserman 2019,
arXiv:1609.00451): a class is in the set if its calibrated probability is at least a threshold from validation images. The most
probable class always is, so that no set is empty. Among images of the same kind, sets of a coverage of 0.95 hold the true class
in 95 % of cases or more, on average over all images, not for every class. The validation images must be exchangeable with
those to come; the epoch and the temperature were chosen by the same ones, so that the promise is a little too good: what the
test images say is measured.

Adaptive prediction sets (APS, RAPS) were larger at the same coverage on the default run's five families: docs/predict.md.
"""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.evaluation.ranks import list_ranks
from pipeline.models.contract import Conformal, Contract, describe_remedy
from pipeline.runtime.errors import PipelineError
from pipeline.training.scores import DIGITS

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


def fit_conformal(labels: np.ndarray, probabilities: np.ndarray) -> Conformal:
    """The scores of validation images, 1 − the probability of the true class, from which `find_threshold` takes its quantile.
    Of more than 1,000, only as many are kept, evenly spaced; thresholds then err on the side of larger sets.

    labels: int (n,), n ≥ 1. probabilities: calibrated, (n, classes).
    """
    scores = np.sort(1 - probabilities[np.arange(len(labels)), labels].astype(np.float64))
    kept = scores[list_ranks(len(scores)) - 1]
    # Rounded up: a score that is too large by a last digit makes a set larger, never smaller.
    rounded = np.clip(np.ceil(kept * 10**DIGITS) / 10**DIGITS, 0.0, 1.0)
    return Conformal(images=len(scores), scores=rounded.tolist())


@dataclass(frozen=True)
class SetRule:
    """Which classes are in a set: those whose calibrated probability is at least `threshold`, and the most probable. coverage:
    what was asked for."""

    coverage: float
    threshold: float


def load_rule(contract: Contract, coverage: float, file: Path) -> SetRule:
    """For the model in `file`. Raises PipelineError where it has no scores."""
    if contract.conformal is None:
        raise PipelineError(
            f"{file} has no scores for prediction sets, as an older version wrote it: {describe_remedy(file)}"
        )
    return SetRule(coverage, find_threshold(contract.conformal, coverage))


def load_asked_rule(contract: Contract, coverage: float | None, file: Path) -> SetRule | None:
    """`load_rule` for somebody who waits for sets, and is told where they say nothing; None if no coverage is asked for."""
    if coverage is None:
        return None
    rule, needed = load_rule(contract, coverage, file), count_images_needed(coverage)
    images = contract.conformal.images if contract.conformal else 0
    if images < needed:
        logger.warning(
            "prediction sets hold all classes: a coverage of %g needs %d validation images or more, %s was trained with %d",
            coverage,
            needed,
            file,
            images,
        )
    return rule


def find_threshold(conformal: Conformal, coverage: float) -> float:
    """The least calibrated probability of a class in a set, 0 to 1; 0 where there are too few validation images for such a
    coverage, see `count_images_needed`. coverage: above 0 and below 1."""
    rank = math.ceil(round((conformal.images + 1) * coverage, 9))
    if rank > conformal.images:
        return 0.0
    position = int(np.searchsorted(list_ranks(conformal.images), rank))
    return max(0.0, 1 - conformal.scores[position])


def count_images_needed(coverage: float) -> int:
    """The least number of validation images from which a set of this coverage may leave a class out."""
    return math.ceil(round(coverage / (1 - coverage), 9))


def make_sets(probabilities: np.ndarray, rule: SetRule) -> np.ndarray:
    """bool (n, classes): the classes in each image's set, never none. probabilities: calibrated, (n, classes)."""
    # As close as the threshold was rounded: an image whose score is the threshold itself is in.
    sets = probabilities >= rule.threshold - 10**-DIGITS / 2
    sets[np.arange(len(sets)), probabilities.argmax(axis=1)] = True
    return sets


def measure_sets(labels: np.ndarray, sets: np.ndarray) -> dict[str, float]:
    """test_set_coverage: the share of images whose set holds the true class. test_set_size: classes in a set, on average.
    test_set_single: the share of sets of one class. labels: int (n,), n ≥ 1. sets: bool (n, classes)."""
    sizes = sets.sum(axis=1)
    values = {"coverage": _is_covered(labels, sets).mean(), "size": sizes.mean(), "single": (sizes == 1).mean()}
    return {f"test_set_{name}": round(float(value), DIGITS) for name, value in values.items()}


def measure_sets_by_class(labels: np.ndarray, sets: np.ndarray) -> "pd.DataFrame":
    """set_coverage, set_size: as `measure_sets`, one row per class, of its images; missing for a class that has none."""
    import pandas as pd  # the server does without

    numbers = np.arange(sets.shape[1])
    table = pd.DataFrame({"set_coverage": _is_covered(labels, sets).astype(float), "set_size": sets.sum(axis=1)})
    return table.groupby(labels).mean().reindex(numbers).round(DIGITS).reset_index(drop=True)


def _is_covered(labels: np.ndarray, sets: np.ndarray) -> np.ndarray:
    return sets[np.arange(len(labels)), labels]
