"""Charts of experiments side by side: what each parameter does, and how the runs learnt."""

import altair as alt
import pandas as pd

from pipeline.report.charts.theme import (
    INK,
    RUN_RANGE,
    category_axis,
    metric_axis,
    name_colour,
    number_axis,
    sort_values,
    to_svg,
)

_SCORE = "val_accuracy"
_TICKS = 5  # on the axis of accuracy


def draw_effects(effects: pd.DataFrame) -> str:
    """Validation accuracy by the value of each parameter, SVG: a dot for the mean of a family's runs, a line from the worst
    to the best. effects: parameter, value, family, mean, low, high (0 to 1)."""
    families = sorted(effects["family"].unique())
    charts = []
    for name, part in effects.groupby("parameter", sort=True):
        values = sort_values(part["value"].unique())
        base = alt.Chart(part).encode(
            x=category_axis("value", str(name), values),
            xOffset=alt.XOffset("family:N", sort=families),
            color=name_colour("family", families),
        )
        accuracy = alt.Y("low:Q", title="validation accuracy", scale=alt.Scale(zero=False))
        span = base.mark_rule(opacity=0.6).encode(y=accuracy, y2="high:Q")
        dots = base.mark_point(filled=True, size=60, opacity=1).encode(y="mean:Q")
        charts.append((span + dots).properties(width=max(150, 60 * len(values)), height=220))
    return to_svg(alt.concat(*charts, columns=3))


def draw_parallel(runs: pd.DataFrame, varied: list[str]) -> str:
    """Parallel coordinates, SVG: every run is a line through its values of the varied parameters to its accuracy.

    runs: family, val_accuracy (0 to 1), and a column for each name in `varied`.
    """
    names = ["family", *varied]
    levels = {name: sort_values(runs[name].astype(str).unique()) for name in names}
    scores = runs[_SCORE]
    low, span = float(scores.min()), max(float(scores.max() - scores.min()), 1e-9)
    x_axis = alt.Axis(labelAngle=0, labelLimit=150, domain=False, ticks=False)
    x = alt.X("axis:N", sort=[*names, _SCORE], title=None, axis=x_axis)
    y = alt.Y("height:Q", axis=None, scale=alt.Scale(domain=[-0.05, 1.05]))
    stems = alt.Chart(pd.DataFrame({"axis": [*names, _SCORE], "height": 0.0, "end": 1.0})).mark_rule(
        color=INK, opacity=0.5
    )
    lines = alt.Chart(_trace_runs(runs, levels, low, span)).mark_line(strokeWidth=1.8, opacity=0.75)
    labels = alt.Chart(_label_axes(levels, low, span)).mark_text(align="left", dx=6, fontSize=10, color=INK)
    colour = alt.Color("accuracy:Q", scale=alt.Scale(range=RUN_RANGE), legend=None)
    layers = (
        stems.encode(x=x, y=y, y2="end:Q")
        + lines.encode(x=x, y=y, detail="run:N", color=colour)
        + labels.encode(x=x, y=y, text="label:N")
    )
    return to_svg(layers.properties(width=max(420, 150 * (len(names) + 1)), height=260))


def _trace_runs(runs: pd.DataFrame, levels: dict[str, list[str]], low: float, span: float) -> pd.DataFrame:
    """run, axis, height (0 to 1), accuracy: where the line of each run crosses each axis."""
    rows = []
    for number, run in enumerate(runs.to_dict("records")):
        heights = {name: _get_height(values, str(run[name])) for name, values in levels.items()}
        heights[_SCORE] = (run[_SCORE] - low) / span
        rows += [(number, axis, height, run[_SCORE]) for axis, height in heights.items()]
    return pd.DataFrame(rows, columns=["run", "axis", "height", "accuracy"])


def _label_axes(levels: dict[str, list[str]], low: float, span: float) -> pd.DataFrame:
    """axis, height (0 to 1), label."""
    rows = [(name, _get_height(values, value), value) for name, values in levels.items() for value in values]
    for tick in range(_TICKS):
        height = tick / (_TICKS - 1)
        rows.append((_SCORE, height, f"{100 * (low + span * height):.1f} %"))
    return pd.DataFrame(rows, columns=["axis", "height", "label"])


def _get_height(levels: list[str], value: str) -> float:
    return 0.5 if len(levels) == 1 else levels.index(value) / (len(levels) - 1)


def draw_curves_of_runs(curves: pd.DataFrame, metric: str) -> str:
    """Validation curves of several runs, SVG. curves: run, split (train or val), epoch (from 1), accuracy, loss."""
    runs = list(dict.fromkeys(curves["run"]))
    val = curves[curves["split"] == "val"]
    chart = (
        alt.Chart(val)
        .mark_line(point=alt.OverlayMarkDef(size=18), strokeWidth=1.6)
        .encode(x=number_axis(val["epoch"]), y=metric_axis(val, metric), color=name_colour("run", runs))
        .properties(width=430, height=270)
    )
    return to_svg(chart, columns=1)
