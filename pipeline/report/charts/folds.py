"""Charts of cross-validation."""

import altair as alt
import pandas as pd

from pipeline.report.charts.theme import BLUE, DEEP_BLUE, INK, ORANGE, metric_axis, name_axis, number_axis, to_svg


def draw_folds(metrics: pd.DataFrame) -> str:
    """Accuracy and loss of each fold as dots over a box plot, SVG. metrics: fold, accuracy, loss."""
    charts = []
    for metric in ("accuracy", "loss"):
        x = alt.X(f"{metric}:Q", title=metric, scale=alt.Scale(zero=False, padding=12), axis=alt.Axis(tickCount=5))
        base = alt.Chart(metrics).encode(x=x)
        box = base.mark_boxplot(extent="min-max", color=INK, opacity=0.45, size=26)
        dots = base.mark_point(filled=True, size=60, opacity=0.9, color=BLUE)
        charts.append((box + dots).properties(width=330, height=60))
    return to_svg(alt.hconcat(*charts))


def draw_fold_curves(curves: pd.DataFrame, mean: pd.DataFrame, metric: str) -> str:
    """Validation curves of every fold, thin, and their mean, thick; dashed, the mean in training, SVG.

    curves: fold, split (train or val), epoch (from 1), accuracy, loss. mean: the same without fold.
    """
    x, y = number_axis(curves["epoch"], padding=0), metric_axis(curves, metric)
    folds = (
        alt.Chart(curves[curves["split"] == "val"])
        .mark_line(strokeWidth=1, opacity=0.55, color=BLUE, point=alt.OverlayMarkDef(size=10, color=BLUE))
        .encode(x=x, y=y, detail="fold:N")
    )
    base = alt.Chart(mean).encode(x=x, y=y)
    val = base.transform_filter("datum.split == 'val'").mark_line(strokeWidth=3.5, color=DEEP_BLUE)
    train = base.transform_filter("datum.split == 'train'").mark_line(strokeWidth=2, strokeDash=[6, 4], color=ORANGE)
    return to_svg((folds + train + val).properties(width=430, height=270))


def draw_fold_boxes(folds: pd.DataFrame, metric: str) -> str:
    """Box plots over the folds, one row per family and setting, SVG. folds: family, setting, accuracy, loss."""
    # Without "train." the names that vary most often fit beside the axis.
    settings = folds["setting"].str.replace(r"\btrain\.", "", regex=True)
    table = folds.assign(row=folds["family"] + ": " + settings)
    y = name_axis(sorted(table["row"].unique()), "row", limit=330)
    x = alt.X(f"{metric}:Q", title=metric, scale=alt.Scale(zero=False, padding=10), axis=alt.Axis(tickCount=5))
    base = alt.Chart(table).encode(x=x, y=y)
    box = base.mark_boxplot(extent="min-max", color=INK, opacity=0.45, size=14)
    dots = base.mark_point(filled=True, size=40, opacity=0.9, color=BLUE)
    return to_svg((box + dots).properties(width=300, height=alt.Step(26)))
