"""What cross-validation has found: the folds in data/crossval/<family>/, and the metrics over them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd

from pipeline.evaluation.results import load_table

_DIGITS = 6


@dataclass(frozen=True)
class Folds:
    """metrics: fold, accuracy, loss, macro_f1, images, training_images, best_epoch; one row per fold. curves: fold to split,
    epoch, accuracy, loss."""

    metrics: pd.DataFrame
    curves: dict[int, pd.DataFrame]


class FoldSummary(TypedDict):
    """Number of folds; mean and standard deviation between folds (n - 1), of accuracy and macro F1 from 0 to 1, of loss in
    nats."""

    folds: int
    accuracy_mean: float
    accuracy_sd: float
    loss_mean: float
    loss_sd: float
    macro_f1_mean: float
    macro_f1_sd: float


class PairedTest(TypedDict):
    """difference (first - second), t, p, and the 95 % interval of the difference, low to high."""

    difference: float
    t: float
    p: float
    low: float
    high: float


def load_folds(folder: Path, folds: Iterable[int]) -> Folds:
    """What stages.crossval wrote for one family."""
    rows, curves = [], {}
    for fold in folds:
        rows.append({"fold": fold, **json.loads((folder / str(fold) / "metrics.json").read_text())})
        curves[fold] = pd.read_csv(folder / str(fold) / "curves.csv")
    metrics = pd.DataFrame(rows)
    return Folds(metrics.assign(best_epoch=metrics["best_epoch"].astype("Int64")), curves)


def load_fold_predictions(folder: Path, folds: Iterable[int]) -> pd.DataFrame:
    """A prediction table, see `make_prediction_table`: every image of train and val by the model that did not see it."""
    return pd.concat([load_table(folder / str(fold) / "predictions.csv") for fold in folds], ignore_index=True)


def describe_folds(metrics: pd.DataFrame) -> FoldSummary:
    """Mean and spread over the folds. metrics: accuracy, loss, macro_f1; one row per fold."""
    accuracy, loss, macro_f1 = (_summarize(metrics[name]) for name in ("accuracy", "loss", "macro_f1"))
    return {
        "folds": len(metrics),
        "accuracy_mean": accuracy[0],
        "accuracy_sd": accuracy[1],
        "loss_mean": loss[0],
        "loss_sd": loss[1],
        "macro_f1_mean": macro_f1[0],
        "macro_f1_sd": macro_f1[1],
    }


def _summarize(column: pd.Series) -> tuple[float, float]:
    """Mean and standard deviation; a single value has no spread."""
    values = column.to_numpy(float)
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return round(float(values.mean()), _DIGITS), round(spread, _DIGITS)


def join_fold_curves(curves: dict[int, pd.DataFrame]) -> pd.DataFrame:
    """split, epoch, accuracy, loss, fold: the curves of all folds in one table."""
    return pd.concat([table.assign(fold=fold) for fold, table in curves.items()], ignore_index=True)


def average_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """split, epoch, accuracy, loss, folds: means over the folds that reached an epoch, and how many did."""
    grouped = curves.groupby(["split", "epoch"], as_index=False)
    means = grouped.agg(accuracy=("accuracy", "mean"), loss=("loss", "mean"), folds=("fold", "count"))
    return means.round(_DIGITS)


def compare_settings(first: pd.Series, second: pd.Series, *, test_share: float) -> PairedTest:
    """Whether two settings differ, from their accuracies on the same folds.

    The corrected resampled t-test (Nadeau and Bengio 2003, Machine Learning 52): training sets of folds overlap, so the
    variance of the mean is (1/folds + test/train images) times that of the differences; the plain test, with 1/folds, finds
    differences where there are none. test_share: images of a fold divided by the images that it was trained on. t and p are
    NaN where every fold differs by the same, but p is 1 where there is no difference at all.
    """
    from scipy.stats import t as student  # slow to import, and most comparisons have no folds

    differences = first.to_numpy(float) - second.to_numpy(float)
    n, mean = len(differences), float(np.mean(differences))
    # 0.9 - 0.8 and 0.8 - 0.7 are the same difference but for the last bit, and metrics have six digits.
    if n < 2 or np.ptp(differences) < 1e-9:
        p = 1.0 if mean == 0 else float("nan")
        return {"difference": mean, "t": float("nan"), "p": p, "low": mean, "high": mean}
    spread = float(np.sqrt((1 / n + test_share) * np.var(differences, ddof=1)))
    t, reach = mean / spread, float(student.ppf(0.975, n - 1)) * spread
    p = float(2 * student.sf(abs(t), n - 1))
    return {"difference": mean, "t": t, "p": p, "low": mean - reach, "high": mean + reach}
