"""Charts as SVG, drawn by Vega-Lite without a browser: nothing is loaded when the page is read."""

from typing import Any

import altair as alt
import pandas as pd
import vl_convert

# Readable on white and on near-black alike, so that one picture serves both themes.
_INK = "#7a828e"
_SPLITS = {"train": "#e69f00", "val": "#8b95a5", "test": "#3b82f6"}
_FAMILY_COLOURS = [
    "#3b82f6",
    "#e69f00",
    "#10a37f",
    "#d55e8f",
    "#8b6fd6",
    "#56b4e9",
    "#b8860b",
    "#94a3b8",
    "#ef4444",
    "#14b8a6",
]
_TEXT_CLASSES = 15  # beyond, figures in the cells of a matrix are too small to read


def draw_curves(curves: pd.DataFrame, metric: str, families: list[str]) -> str:
    """Learning curves of all families, SVG. metric: accuracy or loss. Dashed: training. Whole: validation."""
    chart = (
        alt.Chart(curves)
        .mark_line(point=alt.OverlayMarkDef(size=26), strokeWidth=2)
        .encode(
            x=alt.X(
                "epoch:Q",
                title="epoch",
                axis=alt.Axis(tickMinStep=1, tickCount=8, format="d"),
                scale=alt.Scale(nice=False, padding=8),
            ),
            y=alt.Y(
                f"{metric}:Q", title=metric, scale=_loss_scale(curves) if metric == "loss" else alt.Scale(zero=False)
            ),
            color=alt.Color(
                "family:N", sort=families, scale=alt.Scale(domain=families, range=_colours(families)), title=None
            ),
            strokeDash=alt.StrokeDash(
                "split:N", scale=alt.Scale(domain=["val", "train"], range=[[1, 0], [5, 4]]), legend=None
            ),
        )
        .properties(width=430, height=270)
    )
    return _to_svg(chart)


def _loss_scale(curves: pd.DataFrame) -> alt.Scale:
    """Logarithmic where losses span more than a factor of ten: one family's first epoch must not flatten the others."""
    low, high = curves["loss"].min(), curves["loss"].max()
    return alt.Scale(type="log", nice=False) if low > 0 and high > 10 * low else alt.Scale(zero=False)


def _colours(families: list[str]) -> list[str]:
    return [_FAMILY_COLOURS[number % len(_FAMILY_COLOURS)] for number in range(len(families))]


def draw_comparison(comparison: pd.DataFrame, families: list[str]) -> str:
    """Accuracy on train, val and test of each family, SVG: one line a family, three dots."""
    base = alt.Chart(comparison).encode(y=alt.Y("family:N", sort=families, title=None))
    line = base.mark_rule(color=_INK, opacity=0.5).encode(x="min(accuracy):Q", x2="max(accuracy):Q")
    dots = base.mark_point(filled=True, size=110, opacity=1).encode(
        x=alt.X(
            "accuracy:Q", title="accuracy", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%", tickCount=6)
        ),
        color=_split_colour(),
    )
    return _to_svg((line + dots).properties(width=520, height=alt.Step(34)))


def _split_colour() -> alt.Color:
    return alt.Color("split:N", scale=alt.Scale(domain=list(_SPLITS), range=list(_SPLITS.values())), title=None)


def draw_confusion(confusion: pd.DataFrame, class_names: list[str]) -> str:
    """A confusion matrix, SVG: rows are true classes, colours and figures the share of the row's images."""
    few = len(class_names) <= _TEXT_CLASSES
    step = 42 if few else max(6, 480 // len(class_names))
    labels = alt.Axis(labelAngle=-40, labels=len(class_names) <= 60, labelLimit=110)
    base = alt.Chart(confusion).encode(
        x=alt.X("predicted:N", sort=class_names, title="predicted", axis=labels),
        y=alt.Y(
            "label:N", sort=class_names, title="true", axis=alt.Axis(labels=len(class_names) <= 60, labelLimit=110)
        ),
    )
    cells = base.mark_rect(stroke=_INK, strokeWidth=0.3).encode(
        color=alt.Color("share:Q", scale=alt.Scale(domain=[0, 1], range=["#f2f6fc", "#1d4ed8"]), legend=None)
    )
    if not few:
        return _to_svg(cells.properties(width=alt.Step(step), height=alt.Step(step)))
    text = base.mark_text(fontSize=11).encode(
        text=alt.Text("share:Q", format=".0%"),
        color=alt.condition("datum.share > 0.5", alt.value("#ffffff"), alt.value("#1e293b")),
        opacity=alt.condition("datum.images > 0", alt.value(1), alt.value(0)),
    )
    return _to_svg((cells + text).properties(width=alt.Step(step), height=alt.Step(34)))


def draw_class_scores(scores: pd.DataFrame, families: list[str], class_names: list[str]) -> str:
    """F1 of each class (rows) and family (columns), SVG. scores: family, label, f1."""
    base = alt.Chart(scores).encode(
        x=alt.X("family:N", sort=families, title=None, axis=alt.Axis(labelAngle=-30, labelLimit=160)),
        y=alt.Y("label:N", sort=class_names, title=None, axis=alt.Axis(labelLimit=160)),
    )
    cells = base.mark_rect(stroke=_INK, strokeWidth=0.3).encode(
        color=alt.Color("f1:Q", scale=alt.Scale(domain=[0, 1], range=["#f2f6fc", "#0f766e"]), legend=None)
    )
    text = base.mark_text(fontSize=11).encode(
        text=alt.Text("f1:Q", format=".2f"),
        color=alt.condition("datum.f1 > 0.55", alt.value("#ffffff"), alt.value("#1e293b")),
    )
    height = 28 if len(class_names) <= 40 else 16
    return _to_svg((cells + text).properties(width=alt.Step(64), height=alt.Step(height)))


def draw_counts(counts: pd.DataFrame, class_names: list[str]) -> str:
    """Images of each class and split, SVG. counts: label, split, images."""
    chart = (
        alt.Chart(counts)
        .mark_bar()
        .encode(
            y=alt.Y("label:N", sort=class_names, title=None, axis=alt.Axis(labelLimit=160)),
            x=alt.X("images:Q", title="images", axis=alt.Axis(tickCount=6)),
            color=_split_colour(),
            order=alt.Order("position:Q"),
        )
        .properties(width=520, height=alt.Step(22 if len(class_names) <= 40 else 10))
    )
    return _to_svg(chart)


def _to_svg(chart: Any) -> str:
    styled = (
        chart.configure(background="transparent", font="system-ui, sans-serif")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=_INK, titleColor=_INK, gridColor=_INK, gridOpacity=0.18, domainColor=_INK, tickColor=_INK,
            labelFontSize=12, titleFontSize=12, titleFontWeight="normal",
        )
        .configure_legend(
            labelColor=_INK, titleColor=_INK, labelFontSize=12, orient="top", symbolType="circle",
            columns=4, columnPadding=28,
        )
    )  # fmt: skip
    # Altair refuses tables of more than 5,000 rows, meant for notebooks: the matrix of 71 classes is one.
    with alt.data_transformers.enable("default", max_rows=None):
        return vl_convert.vegalite_to_svg(styled.to_dict(format="vega-lite"))
