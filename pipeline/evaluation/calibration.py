"""How reliable probabilities are. Pure."""

import numpy as np
import pandas as pd

from pipeline.evaluation.metric_types import Calibration
from pipeline.training.scores import DIGITS

BINS = 15  # of confidence, as in Guo et al.


def compute_calibration(labels: np.ndarray, probabilities: np.ndarray) -> Calibration:
    """ece: expected calibration error over BINS bins of equal width (Naeini et al. 2015), 0 to 1. brier: mean squared
    distance of the probabilities from the truth, 0 to 2 (Brier 1950). labels: int (n,), n ≥ 1. probabilities: (n, classes)."""
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
