"""How far a probability means what it says, and how many images that is known from."""

from typing import Any

import altair as alt
import pandas as pd

from pipeline.report.charts.theme import BLUE, INK, ORANGE, choice_colour, to_svg, unit_scale

FEW = 10  # images; the accuracy of a bin with fewer says next to nothing: 5 of 9 is anything from 27 to 81 %
_STATES = {"before": ORANGE, "after": BLUE}
_WIDTH = 300  # pixels


def draw_reliability(reliability: pd.DataFrame) -> str:
    """Accuracy by confidence before and after calibration, SVG; on the diagonal a probability means what it says. Below it,
    how many images are in each bin; one with few is a hollow dot, and no line goes through it.

    reliability: state (before or after), low, high, confidence and accuracy (0 to 1), images: one row per state and bin.
    """
    curves = _draw_curves(reliability.assign(is_few=reliability["images"] < FEW))
    counts = [_draw_counts(reliability[reliability["state"] == state], state) for state in _STATES]
    return to_svg(alt.vconcat(curves, *counts, spacing=6))


def _draw_curves(reliability: pd.DataFrame) -> Any:
    scale, ticks = unit_scale(), alt.Axis(tickCount=5)
    diagonal = (
        alt.Chart(pd.DataFrame({"confidence": [0, 1], "accuracy": [0, 1]}))
        .mark_line(strokeDash=[4, 4], color=INK, opacity=0.7)
        .encode(x="confidence:Q", y="accuracy:Q")
    )
    layers = [diagonal]
    most = max(float(reliability["images"].max()), FEW)
    size = alt.Size("images:Q", scale=alt.Scale(domain=[0, most], range=[15, 320]), legend=None)
    for is_few, part in reliability.groupby("is_few"):
        base = alt.Chart(part).encode(
            x=alt.X("confidence:Q", scale=scale, title=None, axis=ticks),
            y=alt.Y("accuracy:Q", scale=scale, title="accuracy", axis=ticks),
            color=choice_colour("state", _STATES),
        )
        if not is_few:
            layers.append(base.mark_line(strokeWidth=1.5))
        layers.append(base.mark_point(filled=not is_few, opacity=0.5 if is_few else 0.85).encode(size=size))
    return alt.layer(*layers).properties(width=_WIDTH, height=240)


def _draw_counts(bins: pd.DataFrame, state: str) -> Any:
    """Images per bin as bars, each with its number; heights by square root, so that small ones can be seen."""
    is_last = state == list(_STATES)[-1]
    base = alt.Chart(bins.assign(middle=(bins["low"] + bins["high"]) / 2, floor=0)).encode(
        y=alt.Y(
            "images:Q",
            scale=alt.Scale(type="sqrt", nice=False),
            title=state,
            axis=alt.Axis(labels=False, ticks=False, grid=False),
        )
    )
    axis = alt.Axis(tickCount=5, grid=False, labels=is_last, ticks=is_last)
    title = "confidence; images in each bin" if is_last else None
    low = alt.X("low:Q", scale=unit_scale(), title=title, axis=axis)
    bars = base.mark_bar(color=_STATES[state], opacity=0.75, binSpacing=1).encode(x=low, x2="high:Q", y2="floor:Q")
    number = alt.X("middle:Q", scale=unit_scale(), title=title, axis=axis)
    text = base.mark_text(fontSize=8, dy=-5, color=INK).encode(x=number, text=alt.Text("label:N"))
    text = text.transform_calculate(
        label="datum.images < 10000 ? format(datum.images, 'd') : format(datum.images, '.2~s')"
    )
    return (bars + text).properties(width=_WIDTH, height=34)
