"""Charts that compare families, and that say how far the chosen one can be trusted."""

from typing import Literal

import altair as alt
import pandas as pd

from pipeline.report.charts.theme import (
    DARK_TEXT,
    INK,
    LIGHT_TEXT,
    NAME_COLOURS,
    SCORE_RANGE,
    SPLIT_COLOURS,
    metric_axis,
    name_axis,
    name_colour,
    number_axis,
    split_colour,
    to_svg,
    unit_scale,
)


def draw_comparison(comparison: pd.DataFrame, intervals: pd.DataFrame, families: list[str]) -> str:
    """Accuracy of each family on train, val and test, and the 95 % interval of its test accuracy, SVG: one row per family.

    comparison: family, split, accuracy. intervals: family, test_accuracy, test_accuracy_low, test_accuracy_high.
    """
    rows = name_axis(families, "family", limit=200)
    axis = alt.X(
        "accuracy:Q", title="accuracy", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%", tickCount=6)
    )
    tested = alt.Chart(intervals.rename(columns={"test_accuracy": "accuracy"}).assign(split="test"))
    bars = tested.mark_bar(height=9, opacity=0.35, cornerRadius=4).encode(
        y=rows,
        x=alt.X("test_accuracy_low:Q", title="accuracy"),
        x2="test_accuracy_high:Q",
        color=alt.value(SPLIT_COLOURS["test"]),
    )
    test = tested.mark_point(filled=True, size=90, opacity=1).encode(y=rows, x=axis, color=split_colour())
    rest = alt.Chart(comparison[comparison["split"] != "test"])
    dots = rest.mark_point(filled=True, size=70, opacity=1).encode(y=rows, x=axis, color=split_colour())
    return to_svg((bars + dots + test).properties(width=520, height=alt.Step(30)))


def draw_curves(curves: pd.DataFrame, metric: str, families: list[str]) -> str:
    """Learning curves of all families, SVG: solid lines and dots are validation, dashed ones and diamonds training.

    curves: family, split (train or val), epoch (from 1), accuracy, loss. metric: accuracy or loss.
    """
    dashes = alt.Scale(domain=["val", "train"], range=[[1, 0], [5, 4]])
    shapes = alt.Scale(domain=["val", "train"], range=["circle", "diamond"])
    chart = (
        alt.Chart(curves)
        .mark_line(point=alt.OverlayMarkDef(size=26), strokeWidth=2)
        .encode(
            x=number_axis(curves["epoch"]),
            y=metric_axis(curves, metric),
            color=name_colour("family", families),
            strokeDash=alt.StrokeDash("split:N", scale=dashes, legend=None),
            shape=alt.Shape("split:N", scale=shapes, legend=None),
        )
        .properties(width=430, height=270)
    )
    return to_svg(chart)


def draw_operating_curve(table: pd.DataFrame, x: str, y: str) -> str | None:
    """ROC or precision-recall curves, SVG: one line per class, and their mean (empty label) thick and dashed. None for an
    empty table. table: label and the columns x and y, 0 to 1."""
    if table.empty:
        return None
    labels = [name for name in dict.fromkeys(table["label"]) if name]
    scale, ticks = unit_scale(), alt.Axis(tickCount=5)
    # Precision is that of the next threshold, see `make_pr_table`.
    way: Literal["step-before", "linear"] = "step-before" if y == "precision" else "linear"
    base = alt.Chart(table).encode(
        x=alt.X(f"{x}:Q", title=x.replace("_", " "), scale=scale, axis=ticks),
        y=alt.Y(f"{y}:Q", title=y.replace("_", " "), scale=scale, axis=ticks),
        detail="label:N",
        order=alt.Order(f"{x}:Q"),
    )
    lines = base.transform_filter("datum.label != ''").mark_line(strokeWidth=1.4, interpolate=way, order=False)
    if len(labels) <= len(NAME_COLOURS):
        lines = lines.encode(color=name_colour("label", labels))
    else:
        lines = lines.encode(color=alt.value(INK), opacity=alt.value(0.3))
    mean = base.transform_filter("datum.label == ''").mark_line(
        strokeWidth=3, strokeDash=[6, 3], color=INK, interpolate=way, order=False
    )
    return to_svg((lines + mean).properties(width=300, height=270), columns=3)


def draw_class_scores(scores: pd.DataFrame, families: list[str], class_names: list[str]) -> str:
    """F1 of each class (rows) and family (columns), SVG. scores: family, label, f1 (0 to 1)."""
    base = alt.Chart(scores).encode(
        x=alt.X("family:N", sort=families, title=None, axis=alt.Axis(labelAngle=-30, labelLimit=160)),
        y=name_axis(class_names),
    )
    cells = base.mark_rect(stroke=INK, strokeWidth=0.3).encode(
        color=alt.Color("f1:Q", scale=alt.Scale(domain=[0, 1], range=SCORE_RANGE), legend=None)
    )
    text = base.mark_text(fontSize=11).encode(
        text=alt.Text("f1:Q", format=".2f"),
        color=alt.condition("datum.f1 > 0.55", alt.value(LIGHT_TEXT), alt.value(DARK_TEXT)),
    )
    height = 28 if len(class_names) <= 40 else 16
    return to_svg((cells + text).properties(width=alt.Step(64), height=alt.Step(height)))
