"""Charts of a search: what it tried, and which parameters matter."""

import altair as alt
import pandas as pd

from pipeline.report.charts.theme import BLUE, INK, ORANGE, category_axis, number_axis, sort_values, to_svg, value_axis

_TITLE = "validation accuracy"


def draw_history(trials: pd.DataFrame) -> str:
    """Accuracy of each trial in order, and the best so far as a line, SVG. trials: trial, state, accuracy, best."""
    x = number_axis(trials["trial"], padding=12, most=20)
    y = alt.Y("accuracy:Q", title=_TITLE, scale=alt.Scale(zero=False))
    line = (
        alt.Chart(trials.dropna(subset="best"))
        .mark_line(interpolate="step-after", strokeWidth=2, color=BLUE)
        .encode(x=x, y=alt.Y("best:Q", title=_TITLE, scale=alt.Scale(zero=False)))
    )
    return to_svg((line + _draw_dots(trials, x, y)).properties(width=880, height=250))


def draw_slices(trials: pd.DataFrame, numbers: dict[str, bool], columns: int = 3) -> str:
    """Accuracy of all trials by the value of each parameter, SVG: one chart per parameter.

    trials: trial, state, accuracy, best, and a column for each parameter. numbers: for parameters that are ranges, the name
    and whether the axis is logarithmic; all others are choices.
    """
    charts = []
    for name in trials.columns.drop(["trial", "state", "accuracy", "best"]):
        part = trials[["trial", "state", "accuracy"]].assign(value=trials[name])
        if name in numbers:
            x = value_axis(part["value"], name, is_log=numbers[name])
        else:
            x = category_axis("value", name, sort_values(part["value"].unique()))
        y = alt.Y("accuracy:Q", title=_TITLE, scale=alt.Scale(zero=False))
        charts.append(_draw_dots(part, x, y).properties(width=240, height=190))
    return to_svg(alt.concat(*charts, columns=columns))


def _draw_dots(trials: pd.DataFrame, x: alt.X, y: alt.Y) -> alt.Chart:
    """One dot per trial: filled if it completed, hollow if it was pruned."""
    states = ["finished", "pruned"]
    return (
        alt.Chart(trials.dropna(subset="accuracy"))
        .mark_point(size=55, strokeWidth=1.5, opacity=0.85)
        .encode(
            x=x,
            y=y,
            shape=alt.Shape("state:N", scale=alt.Scale(domain=states, range=["circle", "circle"]), legend=None),
            fill=alt.Fill("state:N", scale=alt.Scale(domain=states, range=[ORANGE, "transparent"]), legend=None),
            stroke=alt.value(ORANGE),
        )
    )


def draw_importance(importance: pd.DataFrame) -> str:
    """One bar per parameter, SVG. importance: parameter, share (0 to 1)."""
    base = alt.Chart(importance).encode(
        y=alt.Y("parameter:N", sort=None, title=None, axis=alt.Axis(labelLimit=330)),
        x=alt.X("share:Q", title="share of the scores' variance", axis=alt.Axis(format="%", tickCount=5)),
    )
    text = base.mark_text(align="left", dx=5, color=INK).encode(text=alt.Text("share:Q", format=".0%"))
    return to_svg((base.mark_bar(color=BLUE) + text).properties(width=430, height=alt.Step(24)))


def draw_trial_curves(curves: pd.DataFrame, best: int, step: str) -> str:
    """Validation accuracy of every trial by epoch, SVG: the best one thick, pruned ones dashed.

    curves: trial, state, step (from 1), accuracy; step: what a step is, epoch or folds so far. best: the best trial's number.
    """
    layers = []
    for is_best in (False, True):
        part = curves[(curves["trial"] == best) == is_best].rename(columns={"step": step})
        chart = alt.Chart(part).encode(
            x=number_axis(curves["step"].rename(step), most=16),
            y=_accuracy_axis(),
            detail="trial:N",
            strokeDash=_DASHES,
        )
        colour, width, opacity = (BLUE, 3, 1) if is_best else (ORANGE, 1.2, 0.55)
        dots = alt.OverlayMarkDef(size=18, color=colour)
        layers.append(chart.mark_line(strokeWidth=width, opacity=opacity, color=colour, point=dots))
    return to_svg(alt.layer(*layers).properties(width=880, height=270))


def draw_each_curve(curves: pd.DataFrame, best: int, step: str, columns: int = 6) -> str:
    """As `draw_trial_curves`, one small chart per trial, on the same axes; that of the best trial in blue, SVG."""
    table = curves.rename(columns={"step": step}).assign(is_best=curves["trial"] == best)
    base = alt.Chart(table).mark_line(strokeWidth=1.6, point=alt.OverlayMarkDef(size=12))
    colour = alt.Color("is_best:N", scale=alt.Scale(domain=[False, True], range=[ORANGE, BLUE]), legend=None)
    x = number_axis(table[step], most=4)
    chart = base.encode(x=x, y=_accuracy_axis(None), strokeDash=_DASHES, color=colour).properties(width=115, height=80)
    return to_svg(chart.facet(facet=alt.Facet("trial:O", title=None), columns=columns))


_DASHES = alt.StrokeDash(
    "state:N", scale=alt.Scale(domain=["finished", "pruned", "failed"], range=[[1, 0], [4, 3], [2, 4]]), legend=None
)


def _accuracy_axis(title: str | None = _TITLE) -> alt.Y:
    return alt.Y("accuracy:Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5))
