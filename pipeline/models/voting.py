"""One against one: a hyperplane for each pair of classes, and the votes of all of them. Imports Keras."""

from itertools import combinations

import keras
import numpy as np
from keras import layers, ops

from pipeline.models.layers import softmax_head


def list_pairs(num_classes: int) -> list[tuple[int, int]]:
    """Each two classes, in the order of the hyperplanes: (0, 1), (0, 2), …, (1, 2), …"""
    return list(combinations(range(num_classes), 2))


def make_votes(num_classes: int) -> np.ndarray:
    """float64 (pairs, classes): 1 for the first class of a pair, for which its hyperplane speaks above 0, -1 for the second."""
    votes = np.zeros((num_classes * (num_classes - 1) // 2, num_classes))
    for number, (first, second) in enumerate(list_pairs(num_classes)):
        votes[number, first], votes[number, second] = 1.0, -1.0
    return votes


def voting_head(x: keras.KerasTensor, num_classes: int) -> keras.KerasTensor:
    """Features (batch, features) to probabilities (batch, num_classes): the softmax of `compute_votes`, scaled.

    In double precision up to the softmax, as SVC: one rounded vote would be another class. `set_planes` sets all weights.
    """
    pairs = len(list_pairs(num_classes))
    decisions = layers.Dense(pairs, dtype="float64", name="hyperplanes")(x)
    sums = layers.Dense(num_classes, use_bias=False, trainable=False, dtype="float64", name="confidences")(decisions)
    shares = layers.Activation("softsign", dtype="float64", name="shares")(sums)
    wins = ops.cast(ops.greater_equal(decisions, 0.0), "float64")
    return softmax_head(layers.Concatenate(dtype="float64", name="votes")([wins, shares]), num_classes)


def set_planes(model: keras.Model, kernel: np.ndarray, bias: np.ndarray, scale: float) -> None:
    """Gives a model that ends in `voting_head` its hyperplanes. kernel: (features, pairs). bias: (pairs,). scale: see
    `fit_scale`."""
    num_classes = model.output_shape[1]
    votes = make_votes(num_classes)
    model.get_layer("hyperplanes").set_weights([kernel, bias])
    model.get_layer("confidences").set_weights([votes])
    # A class is the second of as many pairs as its number says, and a pair that it does not lose is 0 in `wins`.
    to_scores = np.concatenate([votes, np.eye(num_classes) / 3])
    model.get_layer("probabilities").set_weights([scale * to_scores, scale * np.arange(num_classes)])


def compute_votes(decisions: np.ndarray) -> np.ndarray:
    """Scores, float64 (n, classes): the pairs that a class wins, plus less than a third for the sum of its distances, which
    breaks ties. What scikit-learn's SVC has as decision_function_shape ovr. decisions: float64 (n, pairs), above 0 for the
    first class."""
    num_classes = round((1 + (1 + 8 * decisions.shape[1]) ** 0.5) / 2)
    votes = make_votes(num_classes)
    sums = decisions @ votes
    return (decisions >= 0) @ votes + np.arange(num_classes) + sums / (3 * (1 + np.abs(sums)))
