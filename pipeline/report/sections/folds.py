"""What the page of a cross-validation says: each fold, and how they learnt."""

from typing import Any

import pandas as pd

from pipeline.report.charts.folds import draw_fold_curves, draw_folds


def describe_cross_validation(metrics: pd.DataFrame, curves: pd.DataFrame, mean: pd.DataFrame) -> dict[str, Any]:
    """metrics: one row per fold. curves: of every fold; mean: averaged over them; see `pipeline.evaluation.cv_summary`."""
    return {
        "folds": metrics.to_dict("records"),
        "boxes": draw_folds(metrics),
        "curves": {metric: draw_fold_curves(curves, mean, metric) for metric in ("accuracy", "loss")},
    }
