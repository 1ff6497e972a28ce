"""How reliable probabilities are, and the temperature that calibrates them. Pure."""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from pipeline.training.scores import DIGITS, SMALLEST

BINS = 15  # of confidence, as in Guo et al.
_RANGE = (0.05, 20.0)  # of temperatures: beyond it, a model is certain of everything or of nothing


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities at another temperature, float64 of the same shape: softmax of their logarithms divided by `temperature`.

    The order of the classes is preserved. Above 1: less confident. Guo et al. 2017, arXiv:1706.04599.
    """
    scores = np.log(np.clip(probabilities.astype(np.float64), SMALLEST, 1.0)) / temperature
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature with the lowest mean cross-entropy, 0.05 to 20, four digits. To be fitted on validation images.

    labels: int (n,), n ≥ 1. probabilities: (n, classes).
    """
    rows = np.arange(len(labels))

    def loss(logarithm: float) -> float:
        scaled = apply_temperature(probabilities, float(np.exp(logarithm)))
        return -float(np.log(np.clip(scaled[rows, labels], SMALLEST, 1.0)).mean())

    found = minimize_scalar(loss, bounds=(float(np.log(_RANGE[0])), float(np.log(_RANGE[1]))), method="bounded")
    # The minimum of a single image, predicted correctly and certainly, is at the bound; that of a flat loss anywhere.
    return round(float(np.exp(found.x)), 4) if loss(found.x) < loss(0.0) else 1.0


def compute_calibration(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """ece: expected calibration error over BINS bins of equal width (Naeini et al. 2015), 0 to 1. brier: mean squared
    distance of the probabilities from the truth, 0 to 2 (Brier 1950). Arguments as `fit_temperature`."""
    table = make_reliability_table(labels, probabilities)
    truth = np.zeros(probabilities.shape)
    truth[np.arange(len(labels)), labels] = 1
    gaps = (table["accuracy"] - table["confidence"]).abs() * table["images"]
    return {
        "ece": round(float(gaps.sum() / len(labels)), DIGITS),
        "brier": round(float(((probabilities - truth) ** 2).sum(axis=1).mean()), DIGITS),
    }


def make_reliability_table(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """low, high, images, confidence, accuracy: one row per bin of confidence with images; the last two are means over them."""
    confidence, hits = probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == labels
    number = np.minimum((confidence * BINS).astype(int), BINS - 1)
    images = np.bincount(number, minlength=BINS)
    filled = images > 0
    means = {
        name: (np.bincount(number, values, BINS)[filled] / images[filled]).round(DIGITS)
        for name, values in (("confidence", confidence), ("accuracy", hits.astype(float)))
    }
    edges = (np.arange(BINS + 1) / BINS).round(DIGITS)
    return pd.DataFrame({"low": edges[:-1][filled], "high": edges[1:][filled], "images": images[filled], **means})
