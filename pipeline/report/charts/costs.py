"""Accuracy against time."""

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from pipeline.report.charts.labels import LINE, place_in_margin, place_near
from pipeline.report.charts.theme import BLUE, GREY, INK, to_svg

_WIDTH, _HEIGHT = 560, 300  # pixels; the height at the least
_MARGIN = 26  # pixels between the chart and labels beside it
_Domain = tuple[float, float]


def draw_tradeoff(costs: pd.DataFrame) -> str:
    """Test accuracy by time per image, SVG; the line joins the families that no other beats in both. Names are near their
    points or, where these are too close to each other, in a column beside the chart, with a line to each.

    costs: family, accuracy (0 to 1), milliseconds, on_front.
    """
    times, accuracies = _find_time_domain(costs["milliseconds"]), _find_accuracy_domain(costs["accuracy"])
    x, y = _time_axis(times), _accuracy_axis(accuracies)
    height = max(_HEIGHT, len(costs) * LINE)
    front, rest = costs[costs["on_front"]], costs[~costs["on_front"]]
    layers = [alt.Chart(front).mark_line(color=BLUE, strokeDash=[5, 4]).encode(x=x, y=y)]
    dots = [
        alt.Chart(part).mark_point(filled=True, size=110, opacity=1, color=colour).encode(x=x, y=y)
        for part, colour in ((front, BLUE), (rest, GREY))
    ]
    lines, texts = _draw_labels(costs, times, accuracies, height)
    return to_svg(alt.layer(*layers, *lines, *dots, *texts).properties(width=_WIDTH, height=height))


def _draw_labels(
    costs: pd.DataFrame, times: _Domain, accuracies: _Domain, height: float
) -> tuple[list[alt.Chart], list[alt.Chart]]:
    """Lines to the labels, and the labels."""
    (fast, slow), (low, high) = times, accuracies
    x = np.log(costs["milliseconds"].to_numpy(float) / fast) / np.log(slow / fast) * _WIDTH
    y = (high - costs["accuracy"].to_numpy(float)) / (high - low) * height
    near = place_near(costs["family"].tolist(), x, y, width=_WIDTH, height=height)
    if near is not None:
        x, y = np.array([box.middle for box in near]).reshape(-1, 2).T
    else:
        y = place_in_margin(y, height=height)
    there = costs.assign(
        label_milliseconds=fast * (slow / fast) ** (x / _WIDTH), label_accuracy=high - y / height * (high - low)
    )
    at_y, base = _accuracy_axis(accuracies, "label_accuracy"), alt.Chart(there)
    text: dict[str, Any] = {"fontSize": 11, "color": INK, "baseline": "middle"}
    if near is not None:
        at_x = _time_axis(times, "label_milliseconds")
        return [], [base.mark_text(**text).encode(x=at_x, y=at_y, text="family:N")]
    line = base.mark_rule(color=INK, opacity=0.5, strokeWidth=1).encode(
        x=_time_axis(times), y=_accuracy_axis(accuracies), x2=alt.value(_WIDTH + _MARGIN - 4), y2="label_accuracy:Q"
    )
    names = base.mark_text(**text, align="left").encode(x=alt.value(_WIDTH + _MARGIN), y=at_y, text="family:N")
    return [line], [names]


def _find_time_domain(milliseconds: pd.Series) -> _Domain:
    return float(milliseconds.min()) / 1.8, float(milliseconds.max()) * 1.8


def _find_accuracy_domain(accuracy: pd.Series) -> _Domain:
    low, high = float(accuracy.min()), float(accuracy.max())
    margin = max(0.02, 0.12 * (high - low))
    return max(0.0, low - margin), min(1.0, high + margin)


def _time_axis(domain: _Domain, field: str = "milliseconds") -> alt.X:
    return alt.X(
        f"{field}:Q",
        title="milliseconds per image, one at a time",
        scale=alt.Scale(type="log", domain=list(domain), nice=False),
        axis=alt.Axis(tickCount=5, format="~g"),
    )


def _accuracy_axis(domain: _Domain, field: str = "accuracy") -> alt.Y:
    return alt.Y(
        f"{field}:Q",
        title="test accuracy",
        scale=alt.Scale(domain=list(domain), nice=False),
        axis=alt.Axis(format=".0%", tickCount=6),
    )
