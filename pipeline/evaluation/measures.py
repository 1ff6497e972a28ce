"""The measures by which families are chosen, image by image, and whether two answers to the same images differ. Pure.

Each measure is the mean of the images' contributions, so one test serves all. Costs and losses count negative: more is better.
"""

from collections.abc import Mapping

import numpy as np
from scipy.stats import norm, rankdata

from pipeline.config.types import Measure
from pipeline.runtime.errors import PipelineError
from pipeline.training.scores import SMALLEST

Costs = Mapping[str, float | Mapping[str, float]]  # true class to the cost of an error, or to predicted class to cost

LESS_IS_BETTER = frozenset[Measure](["log_loss", "cost"])
IMBALANCE = 3  # times as many images in the largest class as in the smallest, from which accuracy misleads
_FLIPS = 9_999
_EXACT = 1_000  # images that differ; beyond that, flipped sums are normally distributed
_POWER = norm.ppf(0.975) + norm.ppf(0.8)  # of a two-sided test at 0.05 that finds what there is in 80 % of cases


def pick_measure(choose_by: Measure | None, images: Mapping[str, int]) -> Measure:
    """choose_by; if it is None, accuracy, or balanced_accuracy where the largest class has more than three times the images of
    the smallest. images: of training, by class."""
    if choose_by is not None:
        return choose_by
    return "balanced_accuracy" if max(images.values()) > IMBALANCE * min(images.values()) else "accuracy"


def load_costs(costs: Costs, class_names: list[str]) -> np.ndarray:
    """`make_cost_matrix` of what evaluate.costs says. Raises PipelineError where that is nothing."""
    if not costs:
        raise PipelineError(
            "evaluate.costs is empty: expected what errors cost, such as {sea: 5}; set it in params.yaml, or leave out --costs"
        )
    return make_cost_matrix(costs, class_names)


def make_cost_matrix(costs: Costs, class_names: list[str]) -> np.ndarray:
    """float (classes, classes), true by predicted: 0 where the two are the same, 1 where `costs` says nothing.

    Raises PipelineError for a name that is no class.
    """
    matrix = 1.0 - np.eye(len(class_names))
    number_of = {name: number for number, name in enumerate(class_names)}
    for true, cost in costs.items():
        for predicted, value in cost.items() if isinstance(cost, Mapping) else ((name, cost) for name in class_names):
            for name in (true, predicted):
                if name not in number_of:
                    raise PipelineError(f"evaluate.costs: no class {name!r}: expected one of {', '.join(class_names)}")
            if true != predicted:
                matrix[number_of[true], number_of[predicted]] = value
    return matrix


def measure_images(
    measure: Measure, labels: np.ndarray, probabilities: np.ndarray, costs: np.ndarray | None = None
) -> np.ndarray:
    """float64 (n,): what each image contributes to the measure; their mean is the measure, the negative one for log_loss and
    cost.

    labels: int (n,), n ≥ 1. probabilities: (n, classes). costs: see `make_cost_matrix`; for cost only. Where a measure is not
    a mean over images (macro_f1, roc_auc), contributions are those of its linear part (the influence function; for the
    ROC AUC, DeLong et al. 1988), to which the measure itself is added. roc_auc: the mean over classes that have images and
    don't have all; 0.5 if there is none.
    """
    predicted = probabilities.argmax(axis=1)
    hits = predicted == labels
    if measure == "accuracy":
        return hits.astype(float)
    if measure == "balanced_accuracy":
        counts = np.bincount(labels, minlength=probabilities.shape[1])
        return hits * len(labels) / (counts[labels] * np.count_nonzero(counts))
    if measure == "macro_f1":
        return _spread_f1(labels, predicted, probabilities.shape[1])
    if measure == "log_loss":
        return np.log(np.clip(probabilities[np.arange(len(labels)), labels].astype(float), SMALLEST, 1.0))
    if measure == "roc_auc":
        return _spread_areas(labels, probabilities)
    if costs is None:
        raise ValueError("expected a matrix of costs")
    return -costs[labels, predicted]


def _spread_f1(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    hits = np.bincount(labels[labels == predicted], minlength=num_classes)
    either = np.bincount(labels, minlength=num_classes) + np.bincount(predicted, minlength=num_classes)
    scale = np.maximum(either, 1)
    f1 = 2 * hits / scale
    own = 2 * (labels == predicted) / scale[labels] - f1[labels] / scale[labels] - f1[predicted] / scale[predicted]
    return f1.mean() + own * len(labels) / num_classes


def _spread_areas(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    parts = []
    for number in range(probabilities.shape[1]):
        is_class, score = labels == number, probabilities[:, number]
        ones = int(is_class.sum())
        zeros = len(labels) - ones
        if ones and zeros:
            ranks, within = rankdata(score), np.empty(len(labels))
            within[is_class], within[~is_class] = rankdata(score[is_class]), rankdata(score[~is_class])
            # The share of the other kind that is ranked below a positive, or above a negative.
            placed = np.where(is_class, (ranks - within) / zeros, 1 - (ranks - within) / ones)
            area = placed[is_class].mean()
            parts.append(area + (placed - area) * len(labels) / np.where(is_class, ones, zeros))
    return np.mean(parts, axis=0) if parts else np.full(len(labels), 0.5)


def compute_p(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sided p of the difference between two answers to the same images, by their contributions, float (n,) each.

    Fisher's randomization test: if there is no difference, each image's may as well have the other sign. By 9,999 random
    choices of signs; by the normal distribution if more than 1,000 images differ.
    """
    differences = first - second
    differences = differences[np.abs(differences) > 1e-12]
    if not len(differences):
        return 1.0
    found, spread = abs(differences.sum()), float(np.sqrt((differences**2).sum()))
    if len(differences) > _EXACT:
        return float(2 * norm.sf(found / spread))
    signs = np.random.default_rng(0).integers(0, 2, (_FLIPS, len(differences)), np.int8) * 2 - 1
    return float((1 + np.count_nonzero(np.abs(signs @ differences) >= found - 1e-9)) / (1 + _FLIPS))


def count_images_needed(first: np.ndarray, second: np.ndarray) -> int | None:
    """How many images a test would need to find a difference such as this one with a power of 80 % at the level of 0.05; None
    if there is none. Arguments as `compute_p`."""
    differences = first - second
    total = abs(float(differences.sum()))
    if total < 1e-9:
        return None
    return int(np.ceil(len(differences) * (differences**2).sum() * (_POWER / total) ** 2))
