"""The look of every chart: colours, axes, and the step from a chart to SVG.

Vega-Lite draws without a browser, and the SVG holds all it shows: a page loads nothing when somebody opens it.
"""

import math
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from pipeline.runtime.unseen import show_unseen_within

# The first block is readable on white and on near-black alike, so that one picture serves both themes.
INK = "#7a828e"  # axes, labels, reference lines
BLUE = "#3b82f6"
ORANGE = "#e69f00"
GREY = "#8b95a5"
GREEN = "#10a37f"
VIOLET = "#8b6fd6"
SLATE = "#94a3b8"
PALE_GREY = "#b0b8c4"
DEEP_BLUE = "#1d4ed8"
NAME_COLOURS = [BLUE, ORANGE, GREEN, "#d55e8f", VIOLET, "#56b4e9", "#b8860b", SLATE, "#ef4444", "#14b8a6"]
SPLIT_COLOURS = {"train": ORANGE, "val": GREY, "test": BLUE}

# From 0 to 1: of a share of images, of an F1, of an accuracy among runs.
SHARE_RANGE = ["#f2f6fc", DEEP_BLUE]
SCORE_RANGE = ["#f2f6fc", "#0f766e"]
RUN_RANGE = ["#b9cdf5", "#1d3fae"]
DARK_TEXT, LIGHT_TEXT = "#1e293b", "#ffffff"  # in a pale and in a full cell

LABEL_LIMIT = 160  # pixels, of a class name beside an axis
_FONT_SIZE = 12


def to_svg(chart: Any, columns: int = 4) -> str:
    """A chart of Altair as SVG. columns: of the legend."""
    text = {"labelColor": INK, "titleColor": INK, "labelFontSize": _FONT_SIZE}
    styled = (
        chart.configure(background="transparent", font="system-ui, sans-serif")
        .configure_view(stroke=None)
        .configure_header(**text)
        .configure_axis(
            **text, gridColor=INK, gridOpacity=0.18, domainColor=INK, tickColor=INK, titleFontSize=_FONT_SIZE,
            titleFontWeight="normal",
        )
        .configure_legend(
            **text, labelLimit=170, orient="top", symbolType="circle", columns=columns, columnPadding=28,
        )
    )  # fmt: skip
    # Altair refuses tables of more than 5,000 rows, meant for notebooks: the confusion matrix of 71 classes is one.
    with alt.data_transformers.enable("default", max_rows=None):
        # A control character in a class name is no XML: the renderer would end this process, without an error to catch.
        return vl_convert.vegalite_to_svg(show_unseen_within(styled.to_dict(format="vega-lite", validate=False)))


def number_axis(numbers: pd.Series, padding: int = 8, most: int = 8) -> alt.X:
    """An axis of epochs or trials, which count from 1. most: roughly how many labels there is room for.

    Up to that many, each number gets its label: left to itself, Vega puts ticks between them and labels those too.
    """
    last = int(numbers.max())
    ticks = {"values": list(range(1, last + 1))} if last <= most else {"tickCount": most}
    return alt.X(
        f"{numbers.name}:Q",
        title=str(numbers.name),
        axis=alt.Axis(**ticks, format="d"),
        scale=alt.Scale(nice=False, padding=padding),
    )


def metric_axis(curves: pd.DataFrame, metric: str) -> alt.Y:
    """An axis of accuracy or loss. A loss that spans more than a factor of ten is logarithmic: the first epoch of one
    family must not flatten the curves of the others."""
    low, high = curves[metric].min(), curves[metric].max()
    is_log = metric == "loss" and low > 0 and high > 10 * low
    scale = alt.Scale(type="log", nice=False) if is_log else alt.Scale(zero=False)
    return alt.Y(f"{metric}:Q", title=metric, scale=scale)


def unit_scale() -> alt.Scale:
    """Exactly 0 to 1."""
    return alt.Scale(domain=[0, 1], nice=False)


def name_axis(names: list[str] | None, field: str = "label", limit: int = LABEL_LIMIT) -> alt.Y:
    """One row per name, in this order; None: in the order of the table. limit: pixels of a label."""
    return alt.Y(f"{field}:N", sort=names, title=None, axis=alt.Axis(labelLimit=limit))


def category_axis(field: str, title: str, values: list[str]) -> alt.X:
    """One column per value, in this order; labels are tilted where there are many."""
    return alt.X(f"{field}:N", sort=values, title=title, axis=alt.Axis(labelAngle=0 if len(values) < 7 else -40))


def value_axis(values: pd.Series, title: str, *, is_log: bool) -> alt.X:
    """An axis for the column `value`, a parameter that is a range of numbers."""
    scale = alt.Scale(type="log" if is_log else "linear", zero=False, nice=False, padding=10)
    axis = alt.Axis(values=_make_log_ticks(values), format="~g", labelOverlap=True) if is_log else alt.Axis(tickCount=5)
    return alt.X("value:Q", title=title, scale=scale, axis=axis)


def _make_log_ticks(values: pd.Series) -> list[float]:
    """1 and 3 times each power of ten: left to itself, Vega labels some numbers that nobody expects."""
    low, high = values.min(), values.max()
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [float(f"{digit}e{power}") for power in powers for digit in (1, 3)]
    return [tick for tick in ticks if low <= tick <= high] or [low, high]


def name_colour(field: str, names: list[str]) -> alt.Color:
    """A different colour for each of the first ten names; then the colours repeat."""
    colours = [NAME_COLOURS[number % len(NAME_COLOURS)] for number in range(len(names))]
    return alt.Color(f"{field}:N", sort=names, scale=alt.Scale(domain=names, range=colours), title=None)


def choice_colour(field: str, colours: dict[str, str], *, sort: bool = True) -> alt.Color:
    """The colour of each value of a field. sort: the legend has them in this order."""
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    if not sort:
        return alt.Color(f"{field}:N", scale=scale, title=None)
    return alt.Color(f"{field}:N", sort=list(colours), scale=scale, title=None)


def split_colour() -> alt.Color:
    """The colours of train, val and test."""
    return choice_colour("split", SPLIT_COLOURS, sort=False)


def sort_values(values: Any) -> list[str]:
    """Numbers by size, before words in alphabetical order. values: texts, or whatever reads as such."""
    return sorted(values, key=_by_number)


def _by_number(value: str) -> tuple[int, float, str]:
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value
