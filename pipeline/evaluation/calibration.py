"""How far a probability can be taken at its word, and the temperature that mends it. Pure."""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

BINS = 15  # of confidence, as Guo et al. have them
_SMALLEST = 1e-7  # as in pipeline.evaluation.metrics
_RANGE = (0.05, 20.0)  # of temperatures: beyond, a model is sure of everything or of nothing
_DIGITS = 6


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities at another temperature, float64 of the same shape: softmax of their logarithms over `temperature`.

    The order of the classes stays. Above 1: less sure. Guo et al. 2017, arXiv:1706.04599.
    """
    scores = np.log(np.clip(probabilities.astype(np.float64), _SMALLEST, 1.0)) / temperature
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature at which the mean cross-entropy is least, 0.05 to 20, four digits. To be fitted on validation images.

    labels: int (n,), n ≥ 1. probabilities: (n, classes).
    """
    rows = np.arange(len(labels))

    def loss(logarithm: float) -> float:
        warmed = apply_temperature(probabilities, float(np.exp(logarithm)))
        return -float(np.log(np.clip(warmed[rows, labels], _SMALLEST, 1.0)).mean())

    found = minimize_scalar(loss, bounds=(float(np.log(_RANGE[0])), float(np.log(_RANGE[1]))), method="bounded")
    # One image that is named rightly with certainty has its minimum at the bound; a flat loss, anywhere.
    return round(float(np.exp(found.x)), 4) if loss(found.x) < loss(0.0) else 1.0


def compute_calibration(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """ece: expected calibration error over BINS bins of equal width (Naeini et al. 2015), 0 to 1. brier: mean squared
    distance of the probabilities from the truth, 0 to 2 (Brier 1950). Arguments as `fit_temperature`."""
    table = make_reliability_table(labels, probabilities)
    truth = np.zeros(probabilities.shape)
    truth[np.arange(len(labels)), labels] = 1
    gaps = (table["accuracy"] - table["confidence"]).abs() * table["images"]
    return {
        "ece": round(float(gaps.sum() / len(labels)), _DIGITS),
        "brier": round(float(((probabilities - truth) ** 2).sum(axis=1).mean()), _DIGITS),
    }


def make_reliability_table(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """low, high, images, confidence, accuracy: a row a bin of confidence that has images; the last two are means in it."""
    confidence, hits = probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == labels
    number = np.minimum((confidence * BINS).astype(int), BINS - 1)
    images = np.bincount(number, minlength=BINS)
    filled = images > 0
    means = {
        name: (np.bincount(number, values, BINS)[filled] / images[filled]).round(_DIGITS)
        for name, values in (("confidence", confidence), ("accuracy", hits.astype(float)))
    }
    edges = (np.arange(BINS + 1) / BINS).round(_DIGITS)
    return pd.DataFrame({"low": edges[:-1][filled], "high": edges[1:][filled], "images": images[filled], **means})
