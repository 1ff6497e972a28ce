"""Accuracy against time."""

import altair as alt
import pandas as pd

from pipeline.report.charts.theme import BLUE, GREY, INK, to_svg


def draw_tradeoff(costs: pd.DataFrame) -> str:
    """Test accuracy by time per image, SVG; the line joins the families that no other beats in both.

    costs: family, accuracy (0 to 1), milliseconds, on_front.
    """
    time, accuracy = _time_axis(costs["milliseconds"]), _accuracy_axis(costs["accuracy"])
    front, rest = costs[costs["on_front"]], costs[~costs["on_front"]]
    layers = [alt.Chart(front).mark_line(color=BLUE, strokeDash=[5, 4]).encode(x=time, y=accuracy)]
    for part, colour, offset in ((front, BLUE, -12), (rest, GREY, 16)):
        base = alt.Chart(part).encode(x=time, y=accuracy)
        layers += [
            base.mark_point(filled=True, size=110, opacity=1, color=colour),
            base.mark_text(dy=offset, fontSize=11, color=INK).encode(text="family:N"),
        ]
    return to_svg(alt.layer(*layers).properties(width=520, height=290))


def _time_axis(milliseconds: pd.Series) -> alt.X:
    low, high = float(milliseconds.min()), float(milliseconds.max())
    return alt.X(
        "milliseconds:Q",
        title="milliseconds per image, one at a time",
        scale=alt.Scale(type="log", domain=[low / 1.8, high * 1.8], nice=False),
        axis=alt.Axis(tickCount=5, format="~g"),
    )


def _accuracy_axis(accuracy: pd.Series) -> alt.Y:
    low, high = float(accuracy.min()), float(accuracy.max())
    margin = max(0.02, 0.12 * (high - low))
    return alt.Y(
        "accuracy:Q",
        title="test accuracy",
        scale=alt.Scale(domain=[max(0.0, low - margin), min(1.0, high + margin)], nice=False),
        axis=alt.Axis(format=".0%", tickCount=6),
    )
