"""Uncertainty of metrics: confidence intervals, and whether two families differ. Pure.

All of it is due to the choice of test images. The training seed is a further source of uncertainty, which shows only after
training again.
"""

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from pipeline.evaluation.measures import compute_p, count_images_needed
from pipeline.training.scores import DIGITS

LEVEL = 0.95
_RESAMPLES = 2000
_PAIR_COLUMNS = ["family", "only_family", "only_reference", "difference", "p", "images_needed", "reference"]
_BATCH_CELLS = 4_000_000  # of resampled matrices in memory at a time


def compute_accuracy_interval(hits: int, images: int) -> tuple[float, float]:
    """95 % interval of an accuracy by Wilson's score method (1927), which holds at 0, at 1 and for few images."""
    interval = binomtest(hits, images).proportion_ci(LEVEL, method="wilson")
    return round(float(interval.low), DIGITS), round(float(interval.high), DIGITS)


def compute_bootstrap_intervals(matrix: np.ndarray, seed: int = 0) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of macro_f1 and balanced_accuracy over 2,000 bootstrap samples of the test images.

    matrix: int (classes, classes), true by predicted. Drawing images with replacement means drawing their cells of the matrix
    from a multinomial distribution, whose time does not depend on the number of images.
    """
    rng, total = np.random.default_rng(seed), int(matrix.sum())
    values: dict[str, list[np.ndarray]] = {"macro_f1": [], "balanced_accuracy": []}
    per_batch = max(1, min(_RESAMPLES, _BATCH_CELLS // matrix.size))
    for start in range(0, _RESAMPLES, per_batch):
        count = min(per_batch, _RESAMPLES - start)
        drawn = rng.multinomial(total, matrix.ravel() / total, count).reshape(count, *matrix.shape)
        true, predicted, hits = drawn.sum(axis=2), drawn.sum(axis=1), np.diagonal(drawn, axis1=1, axis2=2)
        # Like recall below, F1 is averaged over the classes in a sample; those that the test split itself lacks count as 0.
        counted = (true + predicted > 0) | (matrix.sum(axis=1) + matrix.sum(axis=0) == 0)
        values["macro_f1"].append((2 * hits / np.maximum(true + predicted, 1)).sum(axis=1) / counted.sum(axis=1))
        recall = np.where(true > 0, hits / np.maximum(true, 1), 0)
        values["balanced_accuracy"].append(recall.sum(axis=1) / np.maximum((true > 0).sum(axis=1), 1))
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    return {
        name: tuple(np.quantile(np.concatenate(parts), tails).round(DIGITS).tolist()) for name, parts in values.items()
    }


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
