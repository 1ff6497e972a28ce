"""What cross-validation has found: data/crossval/<family>/<fold>, and figures over the folds."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

_DIGITS = 6


@dataclass(frozen=True)
class Folds:
    """figures: fold, accuracy, loss, macro_f1, images, training_images, best_epoch; a row a fold. curves: fold to split,
    epoch, accuracy, loss."""

    figures: pd.DataFrame
    curves: dict[int, pd.DataFrame]


def load_folds(folder: Path, folds: Iterable[int]) -> Folds:
    """What stages.crossval wrote for one family."""
    rows, curves = [], {}
    for fold in folds:
        rows.append({"fold": fold, **json.loads((folder / str(fold) / "metrics.json").read_text())})
        curves[fold] = pd.read_csv(folder / str(fold) / "curves.csv")
    figures = pd.DataFrame(rows)
    return Folds(figures.assign(best_epoch=figures["best_epoch"].astype("Int64")), curves)


def describe_folds(figures: pd.DataFrame) -> dict[str, Any]:
    """folds, and for accuracy, loss and macro_f1 the mean and the standard deviation between folds (n - 1)."""
    summary: dict[str, Any] = {"folds": len(figures)}
    for name in ("accuracy", "loss", "macro_f1"):
        values = figures[name].to_numpy(float)
        spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        summary |= {f"{name}_mean": round(float(values.mean()), _DIGITS), f"{name}_sd": round(spread, _DIGITS)}
    return summary


def average_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """split, epoch, accuracy, loss, folds: means over the folds that have reached an epoch, and how many have."""
    grouped = curves.groupby(["split", "epoch"], as_index=False)
    means = grouped.agg(accuracy=("accuracy", "mean"), loss=("loss", "mean"), folds=("fold", "count"))
    return means.round(_DIGITS)


def compare_settings(first: pd.Series, second: pd.Series, *, test_share: float) -> dict[str, float]:
    """Whether two settings differ, from their figures on the same folds: difference (first - second), t, p, and the 95 %
    interval low to high.

    The corrected resampled t-test (Nadeau and Bengio 2003, Machine Learning 52): training sets of folds overlap, so the
    variance of the mean is (1/folds + test/train images) times that of the differences; the plain test, with 1/folds, finds
    differences where there are none. test_share: images of a fold over the images that it was trained on.
    """
    differences = first.to_numpy(float) - second.to_numpy(float)
    n, mean = len(differences), float(np.mean(differences))
    # 0.9 - 0.8 and 0.8 - 0.7 are the same difference but for the last bit, and figures have six digits.
    if n < 2 or np.ptp(differences) < 1e-9:
        return {
            "difference": mean,
            "t": float("nan"),
            "p": 1.0 if mean == 0 else float("nan"),
            "low": mean,
            "high": mean,
        }
    spread = float(np.sqrt((1 / n + test_share) * np.var(differences, ddof=1)))
    t, reach = mean / spread, float(student.ppf(0.975, n - 1)) * spread
    return {
        "difference": mean,
        "t": t,
        "p": float(2 * student.sf(abs(t), n - 1)),
        "low": mean - reach,
        "high": mean + reach,
    }
