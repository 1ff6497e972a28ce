"""Uncertainty of metrics: confidence intervals, and whether two families differ. Pure.

All of it is due to the choice of test images. The training seed is a further source of uncertainty, which shows only after
training again.
"""

import numpy as np
import pandas as pd
from scipy.stats import binomtest, norm

from pipeline.evaluation.measures import compute_p, count_images_needed
from pipeline.training.scores import DIGITS

LEVEL = 0.95
_PAIR_COLUMNS = ["family", "only_family", "only_reference", "difference", "p", "images_needed", "reference"]
_NOTHING = 1e-12  # a variance, but for rounding


def compute_accuracy_interval(hits: int, images: int) -> tuple[float, float]:
    """95 % interval of an accuracy by Wilson's score method (1927), which holds at 0, at 1 and for few images."""
    interval = binomtest(hits, images).proportion_ci(LEVEL, method="wilson")
    return round(float(interval.low), DIGITS), round(float(interval.high), DIGITS)


def compute_class_intervals(matrix: np.ndarray) -> dict[str, tuple[float, float]]:
    """95 % intervals of macro_f1 and balanced_accuracy, each by Wilson's method with the effective number of images.

    matrix: int (classes, classes), true by predicted; some images. The effective number (as in surveys: Korn and Graubard 1998,
    Dean and Pagano 2015) is that of a plain share with the same variance, by the delta method; at most what the images of the
    classes are worth if each class counts alike, which for equal classes is their number. So few images that are all right give
    no interval of one point, as a bootstrap does, whose 95 % hold the true value in 26 to 90 % of cases then.
    """
    true, predicted, hits = matrix.sum(axis=1), matrix.sum(axis=0), np.diagonal(matrix)
    total, counts = int(matrix.sum()), true[true > 0]
    most = len(counts) ** 2 / (1 / counts).sum()
    recall = hits[true > 0] / counts
    balanced = _widen(recall.mean(), (recall * (1 - recall) / counts).sum() / len(counts) ** 2, most)
    either = np.maximum(true + predicted, 1)
    f1 = 2 * hits / either
    # What an image of each cell contributes, see `measure_images`.
    parts = (np.diag(2 / either) - (f1 / either)[:, None] - (f1 / either)[None, :]) * total / len(matrix)
    variance = ((parts - (parts * matrix).sum() / total) ** 2 * matrix).sum() / total**2
    return {"macro_f1": _widen(f1.mean(), variance, most), "balanced_accuracy": balanced}


def _widen(value: float, variance: float, most: float) -> tuple[float, float]:
    """Wilson's interval of a share. variance: of its estimate. most: images that it is worth."""
    images = min(most, value * (1 - value) / variance) if variance > _NOTHING else most
    z = norm.ppf((1 + LEVEL) / 2)
    middle = (value + z**2 / (2 * images)) / (1 + z**2 / images)
    half = z / (1 + z**2 / images) * np.sqrt(value * (1 - value) / images + z**2 / (4 * images**2))
    low, high = np.clip((min(middle - half, value), max(middle + half, value)), 0, 1)
    return round(float(low), DIGITS), round(float(high), DIGITS)


def compare_pairs(
    hits: dict[str, np.ndarray], pairs: list[tuple[str, str]], parts: dict[str, np.ndarray] | None = None
) -> pd.DataFrame:
    """family, only_family, only_reference, difference, p, p_corrected, distinguishable, images_needed, reference: one row per
    pair.

    hits: family to bool (n,), which test images it classifies correctly, the same images in the same order. pairs: of a family
    and its reference. only_*: images that only one of the two classifies correctly. difference: of accuracies. p: McNemar's
    exact test (1947), two-sided; corrected for the number of pairs by Holm's method (1979). distinguishable: p_corrected below
    0.05. parts: family to what each image contributes to another measure, see `measure_images`: then difference and p are of
    that. images_needed: see `count_images_needed`.
    """
    rows = []
    for family, reference in pairs:
        correct = hits[family]
        mine, other = int((correct & ~hits[reference]).sum()), int((hits[reference] & ~correct).sum())
        if parts is None:
            difference = (mine - other) / len(correct)
            p = float(binomtest(mine, mine + other).pvalue) if mine + other else 1.0
            needed = count_images_needed(correct.astype(float), hits[reference].astype(float))
        else:
            difference = float((parts[family] - parts[reference]).mean())
            p = compute_p(parts[family], parts[reference])
            needed = count_images_needed(parts[family], parts[reference])
        rows.append((family, mine, other, round(difference, DIGITS), p, needed, reference))
    table = pd.DataFrame(rows, columns=_PAIR_COLUMNS)
    corrected = correct_holm(table["p"].to_numpy(float))
    table.insert(5, "p_corrected", corrected)
    table.insert(6, "distinguishable", corrected < 1 - LEVEL)
    return table.round({"p": 8, "p_corrected": 8}).astype({"images_needed": "Int64"})


def correct_holm(p: np.ndarray) -> np.ndarray:
    """p-values corrected for their number by Holm's step-down method, each at most 1, in the given order."""
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(steps, 1.0)
    return corrected
