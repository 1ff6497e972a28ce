"""What a family thinks of training images that it was not trained on, by folds of its cached features: for suspected labels.

A model that has seen an image in training agrees with its label, right or wrong. On features, a second opinion is cheap: a
linear classifier by least squares (ridge regression on the classes, as in scikit-learn's RidgeClassifier), whose sums are taken
once per fold and subtracted, so that all folds cost one pass over the features and one equation each.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from pipeline.data.embeddings import Embeddings, Rows, find_embeddings
from pipeline.data.groups import load_groups
from pipeline.data.tfrecords import DatasetFacts
from pipeline.evaluation.metrics import make_prediction_table
from pipeline.evaluation.temperature import apply_temperature, fit_temperature
from pipeline.runtime.processes import num_cores
from pipeline.training.fold_data import assign_folds

logger = logging.getLogger(__name__)

_ROWS = 4096  # features read at a time: memory does not depend on the number of images
_PENALTY = 1.0  # times the mean variance of a feature. From 0.3 to 10, about as many planted wrong labels are found


def predict_out_of_fold(
    family: str, facts: DatasetFacts, read: Callable[[], tuple[list[str], list[str]]], *, num_folds: int, seed: int
) -> pd.DataFrame:
    """A prediction table, see `make_prediction_table`, of the training images, each predicted by a linear classifier that was
    fitted to the other folds. No rows where the family has no cached features, where there are no folds (`num_folds` 0), or
    where a class has no two images that may be divided.

    read: gives ids and names of the training images, in the order of their features; called where there are features.
    """
    embeddings = find_embeddings(family) if num_folds else None
    image_ids, names = ([], []) if embeddings is None else read()
    folds = None if embeddings is None else divide(embeddings, facts, image_ids, names, num_folds=num_folds, seed=seed)
    if embeddings is None or folds is None:
        return make_prediction_table([], [], np.zeros(0, int), np.zeros((0, facts.num_classes)), facts.class_names)
    labels = embeddings.labels("train")
    probabilities = predict_folds(embeddings.features("train"), labels, folds, num_classes=facts.num_classes)
    return make_prediction_table(image_ids, names, labels, probabilities, facts.class_names)


def divide(
    embeddings: Embeddings, facts: DatasetFacts, image_ids: list[str], names: list[str], *, num_folds: int, seed: int
) -> np.ndarray | None:
    """int (n,): the fold of each training image; copies of an image and images of a group share one. Fewer folds where a class
    has fewer groups; None, with a warning, where a class has one alone."""
    labels, group_of = embeddings.labels("train").tolist(), load_groups()
    groups = None if group_of is None else [group_of[name] for name in names]
    # A copy with another label counts for the lower label alone, as in `assign_folds`.
    of_images = pd.DataFrame({"label": labels, "group": groups or image_ids}).sort_values("label", kind="stable")
    counts = of_images.drop_duplicates("group" if groups is None else ["group", "label"])["label"].value_counts()
    smallest = min(int(counts.get(label, 0)) for label in set(labels))
    if smallest < 2:
        logger.warning(
            "suspected labels are not sought in training images: a class has fewer than two that may be divided"
        )
        return None
    chosen = min(num_folds, smallest)
    return assign_folds(
        image_ids, labels, num_folds=chosen, seed=seed, class_names=facts.class_names, groups=groups
    )  # fmt: skip


def predict_folds(features: Rows, labels: np.ndarray, folds: np.ndarray, *, num_classes: int) -> np.ndarray:
    """float64 (n, classes), rows sum to 1: each image's probabilities from the classifier of the other folds.

    labels: int (n,). folds: int (n,), 0 and up. Their temperature is the one with which the labels are most likely.
    """
    members = [np.flatnonzero(folds == fold) for fold in range(int(folds.max()) + 1)]
    scores = np.empty((len(labels), num_classes))
    # A thread for each sum, so that it is identical on any number of cores; several at once.
    with threadpool_limits(1), ThreadPoolExecutor(num_cores()) as pool:
        sums = list(pool.map(lambda rows: sum_products(features, labels, rows, num_classes), members))
        gram, target = (np.sum([pair[i] for pair in sums], axis=0) for i in (0, 1))

        def score(fold: int) -> None:
            own_gram, own_target = sums[fold]
            weights = solve(gram - own_gram, target - own_target)
            for part in _in_blocks(members[fold]):
                scores[part] = _with_one(features.take(part)) @ weights

        list(pool.map(score, range(len(members))))
    flat = scores - scores.max(axis=1, keepdims=True)
    powers = np.exp(
        flat / max(float(scores.std()), 1e-12)
    )  # in units of their spread, which the temperature's range covers
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    return apply_temperature(probabilities, fit_temperature(labels, probabilities))


def sum_products(
    features: Rows, labels: np.ndarray, rows: np.ndarray, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """xᵀx, float64 (d + 1, d + 1), and xᵀy, (d + 1, classes), over some rows; x ends in 1, and y is 1 for the label, else 0."""
    width = features.num_features + 1
    gram, target = np.zeros((width, width)), np.zeros((width, num_classes))
    for part in _in_blocks(rows):
        x = _with_one(features.take(part))
        gram += x.T @ x
        target += x.T @ np.eye(num_classes)[labels[part]]
    return gram, target


def solve(gram: np.ndarray, target: np.ndarray) -> np.ndarray:
    """float64 (d + 1, classes): the weights of ridge regression, with an intercept, last, that is not penalized."""
    count, total = gram[-1, -1], gram[-1, :-1]
    mean = total / count
    centred = gram[:-1, :-1] - np.outer(total, mean)
    penalty = _PENALTY * np.trace(centred) / len(centred) + 1e-12  # features may all be the same
    centred[np.diag_indices_from(centred)] += penalty
    weights = np.linalg.solve(centred, target[:-1] - np.outer(mean, target[-1]))
    return np.vstack([weights, target[-1] / count - mean @ weights])


def _in_blocks(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)]


def _with_one(features: np.ndarray) -> np.ndarray:
    return np.column_stack([features, np.ones(len(features))]).astype(np.float64)
