"""Accuracy against time."""

import altair as alt
import numpy as np
import pandas as pd

from pipeline.report.charts.labels import place_labels
from pipeline.report.charts.theme import BLUE, GREY, INK, to_svg

_WIDTH, _HEIGHT = 640, 320  # pixels
_Domain = tuple[float, float]


def draw_tradeoff(costs: pd.DataFrame) -> str:
    """Test accuracy by time per image, SVG; the line joins the families that no other beats in both.

    costs: family, accuracy (0 to 1), milliseconds, on_front.
    """
    times, accuracies = _find_time_domain(costs["milliseconds"]), _find_accuracy_domain(costs["accuracy"])
    x, y = _time_axis(times), _accuracy_axis(accuracies)
    labels = _place(costs, times, accuracies)
    front, rest = costs[costs["on_front"]], costs[~costs["on_front"]]
    layers = [alt.Chart(front).mark_line(color=BLUE, strokeDash=[5, 4]).encode(x=x, y=y)]
    leaders = alt.Chart(labels[labels["is_far"]]).mark_rule(color=INK, opacity=0.6, strokeWidth=1)
    layers.append(leaders.encode(x=x, y=y, x2="end_milliseconds:Q", y2="end_accuracy:Q"))
    for part, colour in ((front, BLUE), (rest, GREY)):
        layers.append(alt.Chart(part).mark_point(filled=True, size=110, opacity=1, color=colour).encode(x=x, y=y))
    text = alt.Chart(labels).mark_text(fontSize=11, color=INK, baseline="middle")
    at_x, at_y = _time_axis(times, "label_milliseconds"), _accuracy_axis(accuracies, "label_accuracy")
    layers.append(text.encode(x=at_x, y=at_y, text="family:N"))
    return to_svg(alt.layer(*layers).properties(width=_WIDTH, height=_HEIGHT))


def _place(costs: pd.DataFrame, times: _Domain, accuracies: _Domain) -> pd.DataFrame:
    """costs, with where the label of each family is, and, if that is far from its point, the end of the line that leads there,
    in the units of the axes."""
    (fast, slow), (low, high) = times, accuracies
    x = np.log(costs["milliseconds"].to_numpy(float) / fast) / np.log(slow / fast) * _WIDTH
    y = (high - costs["accuracy"].to_numpy(float)) / (high - low) * _HEIGHT
    labels = place_labels(costs["family"].tolist(), x, y, width=_WIDTH, height=_HEIGHT)
    places = {"label": [label.middle for label in labels], "end": [label.line or label.middle for label in labels]}
    columns: dict[str, list[float]] = {}
    for name, pixels in places.items():
        columns[f"{name}_milliseconds"] = [fast * (slow / fast) ** (across / _WIDTH) for across, _ in pixels]
        columns[f"{name}_accuracy"] = [high - down / _HEIGHT * (high - low) for _, down in pixels]
    return costs.assign(**columns, is_far=[label.line is not None for label in labels])


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
