"""Charts as SVG, drawn by Vega-Lite without a browser: nothing is loaded when the page is read."""

import math
from typing import Any

import altair as alt
import numpy as np
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
            x=_number_axis(curves["epoch"]),
            y=_metric_axis(curves, metric),
            color=_name_colour("family", families),
            strokeDash=alt.StrokeDash(
                "split:N", scale=alt.Scale(domain=["val", "train"], range=[[1, 0], [5, 4]]), legend=None
            ),
        )
        .properties(width=430, height=270)
    )
    return _to_svg(chart)


def _number_axis(numbers: pd.Series, padding: int = 8, most: int = 8) -> alt.X:
    """Of epochs or trials, which count from 1. Few are all labelled: left to itself Vega puts ticks between them, and labels
    those as the next ones. most: labels, about."""
    last = int(numbers.max())
    ticks = {"values": list(range(1, last + 1))} if last <= most else {"tickCount": most}
    return alt.X(
        f"{numbers.name}:Q",
        title=str(numbers.name),
        axis=alt.Axis(**ticks, format="d"),
        scale=alt.Scale(nice=False, padding=padding),
    )


def _metric_axis(curves: pd.DataFrame, metric: str) -> alt.Y:
    """Losses that span more than a factor of ten are logarithmic: one family's first epoch must not flatten the others."""
    low, high = curves[metric].min(), curves[metric].max()
    wide = metric == "loss" and low > 0 and high > 10 * low
    return alt.Y(
        f"{metric}:Q", title=metric, scale=alt.Scale(type="log", nice=False) if wide else alt.Scale(zero=False)
    )


def _name_colour(field: str, names: list[str]) -> alt.Color:
    """A colour of its own for each of the first ten names; then they begin again."""
    colours = [_FAMILY_COLOURS[number % len(_FAMILY_COLOURS)] for number in range(len(names))]
    return alt.Color(f"{field}:N", sort=names, scale=alt.Scale(domain=names, range=colours), title=None)


def draw_comparison(comparison: pd.DataFrame, intervals: pd.DataFrame, families: list[str]) -> str:
    """Accuracy on train, val and test of each family, and the 95 % interval of the test accuracy, SVG: a row a family."""
    rows = alt.Y("family:N", sort=families, title=None, axis=alt.Axis(labelLimit=200))
    axis = alt.X(
        "accuracy:Q", title="accuracy", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%", tickCount=6)
    )
    sure = intervals.rename(columns={"test_accuracy": "accuracy"}).assign(split="test")
    bars = (
        alt.Chart(sure)
        .mark_bar(height=9, opacity=0.35, cornerRadius=4)
        .encode(
            y=rows,
            x=alt.X("test_accuracy_low:Q", title="accuracy"),
            x2="test_accuracy_high:Q",
            color=alt.value(_SPLITS["test"]),
        )
    )
    test = alt.Chart(sure).mark_point(filled=True, size=90, opacity=1).encode(y=rows, x=axis, color=_split_colour())
    rest = comparison[comparison["split"] != "test"]
    dots = alt.Chart(rest).mark_point(filled=True, size=70, opacity=1).encode(y=rows, x=axis, color=_split_colour())
    return _to_svg((bars + dots + test).properties(width=520, height=alt.Step(30)))


def draw_operating_curve(table: pd.DataFrame, x: str, y: str) -> str | None:
    """ROC or precision-recall curves, SVG: each class, and the mean over classes (empty label) thick. None without a row."""
    if table.empty:
        return None
    labels = [name for name in dict.fromkeys(table["label"]) if name]
    few = len(labels) <= len(_FAMILY_COLOURS)
    square, ticks = alt.Scale(domain=[0, 1], nice=False), alt.Axis(tickCount=5)
    base = alt.Chart(table).encode(
        x=alt.X(f"{x}:Q", title=x.replace("_", " "), scale=square, axis=ticks),
        y=alt.Y(f"{y}:Q", title=y.replace("_", " "), scale=square, axis=ticks),
        detail="label:N",
        order=alt.Order(f"{x}:Q"),
    )
    lines = base.transform_filter("datum.label != ''").mark_line(strokeWidth=1.4, interpolate="linear", order=False)
    if few:
        lines = lines.encode(color=_name_colour("label", labels))
    else:
        lines = lines.encode(color=alt.value(_INK), opacity=alt.value(0.3))
    mean = base.transform_filter("datum.label == ''").mark_line(
        strokeWidth=3, strokeDash=[6, 3], color=_INK, order=False
    )
    return _to_svg((lines + mean).properties(width=300, height=270), columns=3)


def draw_reliability(reliability: pd.DataFrame) -> str:
    """Accuracy by confidence before and after calibration, SVG; on the diagonal a probability means what it says."""
    states = ["before", "after"]
    square, ticks = alt.Scale(domain=[0, 1], nice=False), alt.Axis(tickCount=5)
    diagonal = (
        alt.Chart(pd.DataFrame({"confidence": [0, 1], "accuracy": [0, 1]}))
        .mark_line(strokeDash=[4, 4], color=_INK, opacity=0.7)
        .encode(x="confidence:Q", y="accuracy:Q")
    )
    base = alt.Chart(reliability).encode(
        x=alt.X("confidence:Q", scale=square, title="confidence", axis=ticks),
        y=alt.Y("accuracy:Q", scale=square, title="share named rightly", axis=ticks),
        color=alt.Color(
            "state:N", sort=states, scale=alt.Scale(domain=states, range=["#e69f00", "#3b82f6"]), title=None
        ),
    )
    most = float(reliability["images"].max())
    size = alt.Size("images:Q", scale=alt.Scale(domain=[0, most], range=[15, 320]), legend=None)
    dots = base.mark_point(filled=True, opacity=0.85).encode(size=size)
    return _to_svg((diagonal + base.mark_line(strokeWidth=1.5) + dots).properties(width=300, height=270))


def draw_architecture(layers: pd.DataFrame) -> str:
    """Layers in order, SVG: the height of a box is the side of its output, its width grows with the channels, on log scales."""
    kinds = {
        "Conv2D": "convolution", "DepthwiseConv2D": "convolution", "SeparableConv2D": "convolution",
        "MaxPooling2D": "pooling", "AveragePooling2D": "pooling", "GlobalAveragePooling2D": "pooling",
        "Dense": "dense", "Backbone": "backbone", "InputLayer": "input",
    }  # fmt: skip
    colours = {
        "input": "#94a3b8", "convolution": "#3b82f6", "pooling": "#e69f00", "dense": "#10a37f", "backbone": "#8b6fd6",
        "other": "#b0b8c4",
    }  # fmt: skip
    sides = np.log2(layers["rows"].clip(lower=1)) * 11 + 8
    flat = (layers["rows"] == 1) & (layers["columns"] == 1)
    sides = sides.where(~flat, np.log2(layers["channels"].clip(lower=1)) * 8 + 8)
    widths = (np.log2(layers["channels"].clip(lower=1)) * 3 + 4).where(~flat, 9)
    ends = (widths + 7).cumsum()
    boxes = pd.DataFrame(
        {
            "x": ends - widths, "x2": ends, "y": -sides / 2, "y2": sides / 2,
            "kind": layers["kind"].map(kinds).fillna("other"),
            "size": [
                f"{rows}×{columns}×{channels}" if max(rows, columns) > 1 else f"{channels}"
                for rows, columns, channels in layers[["rows", "columns", "channels"]].to_numpy().tolist()
            ],
        }
    )  # fmt: skip
    present = [kind for kind in colours if kind in set(boxes["kind"])]
    changed = boxes["size"] != boxes["size"].shift()
    width = float(min(900, max(260, ends.iloc[-1] + 10)))
    tall = float(sides.max())
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, float(ends.iloc[-1]) + 4], nice=False))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[-tall / 2 - 52, tall / 2 + 2], nice=False))
    rects = (
        alt.Chart(boxes)
        .mark_rect(cornerRadius=1.5)
        .encode(
            x=x, x2="x2", y=y, y2="y2",
            color=alt.Color(
                "kind:N", sort=present, scale=alt.Scale(domain=present, range=[colours[k] for k in present]), title=None
            ),
        )
    )  # fmt: skip
    labels = boxes[changed].assign(middle=lambda b: (b["x"] + b["x2"]) / 2, y=-tall / 2 - 4)
    text = (
        alt.Chart(labels)
        .mark_text(angle=300, align="right", baseline="middle", fontSize=9, color=_INK)
        .encode(x=alt.X("middle:Q", axis=None), y=y, text="size:N")
    )
    return _to_svg((rects + text).properties(width=width, height=(tall + 54) * 1.0), columns=6)


def draw_found(counts: pd.DataFrame) -> str:
    """Files of each class as found and images as kept after pruning, SVG. counts: label, stage, images."""
    labels = sorted(counts["label"].unique())
    stages = ["found", "kept"]
    chart = (
        alt.Chart(counts)
        .mark_bar()
        .encode(
            y=alt.Y("label:N", sort=labels, title=None, axis=alt.Axis(labelLimit=160)),
            yOffset=alt.YOffset("stage:N", sort=stages),
            x=alt.X("images:Q", title="images", axis=alt.Axis(tickCount=6)),
            color=alt.Color(
                "stage:N", sort=stages, scale=alt.Scale(domain=stages, range=["#8b95a5", "#3b82f6"]), title=None
            ),
        )
        .properties(width=430, height=alt.Step(11 if len(labels) <= 40 else 5))
    )
    return _to_svg(chart)


def draw_light(light: pd.DataFrame, class_names: list[str]) -> str:
    """Brightness and contrast by class as box plots, SVG: whiskers are the 5th and 95th percentile."""
    base = alt.Chart(light).encode(y=alt.Y("label:N", sort=class_names, title=None, axis=alt.Axis(labelLimit=160)))
    scale = alt.Scale(domain=[0, 255], nice=False)
    whisker = base.mark_rule(color=_INK).encode(x=alt.X("p5:Q", scale=scale, title="luma, 0–255"), x2="p95:Q")
    box = base.mark_bar(height=10, color="#3b82f6", opacity=0.8).encode(x="p25:Q", x2="p75:Q")
    median = base.mark_tick(color="#ffffff", thickness=2, height=10).encode(x="p50:Q")
    layered = (whisker + box + median).properties(width=250, height=alt.Step(20 if len(class_names) <= 40 else 12))
    return _to_svg(layered.facet(column=alt.Column("kind:N", title=None)))


def draw_shapes(shapes: pd.DataFrame) -> str:
    """Histograms of the longer side and of the aspect ratio, SVG. shapes: kind, low, high, images."""
    charts = [
        alt.Chart(part)
        .mark_bar(color="#3b82f6", binSpacing=1)
        .encode(
            x=alt.X(
                "low:Q",
                title=str(kind),
                scale=alt.Scale(type="log", nice=False),
                axis=alt.Axis(tickCount=6, format="~g"),
            ),
            x2="high:Q",
            y=alt.Y("images:Q", title="images", axis=alt.Axis(tickCount=5)),
        )
        .properties(width=280, height=150)
        for kind, part in shapes.groupby("kind", sort=True)
    ]
    return _to_svg(alt.hconcat(*charts))


def draw_tradeoff(costs: pd.DataFrame) -> str:
    """Test accuracy by time for one image, SVG; the line joins the families that none beats in both. costs: family, accuracy,
    milliseconds, on_front."""
    low, high = float(costs["accuracy"].min()), float(costs["accuracy"].max())
    margin = max(0.02, 0.12 * (high - low))
    fast, slow = float(costs["milliseconds"].min()), float(costs["milliseconds"].max())
    time = alt.X(
        "milliseconds:Q",
        title="milliseconds an image, one at a time",
        scale=alt.Scale(type="log", domain=[fast / 1.8, slow * 1.8], nice=False),
        axis=alt.Axis(tickCount=5, format="~g"),
    )
    accuracy = alt.Y(
        "accuracy:Q",
        title="test accuracy",
        scale=alt.Scale(domain=[max(0.0, low - margin), min(1.0, high + margin)], nice=False),
        axis=alt.Axis(format=".0%", tickCount=6),
    )
    front = costs[costs["on_front"]]
    line = alt.Chart(front).mark_line(color="#3b82f6", strokeDash=[5, 4]).encode(x=time, y=accuracy)
    layers = [line]
    for part, colour, offset in ((front, "#3b82f6", -12), (costs[~costs["on_front"]], "#8b95a5", 16)):
        base = alt.Chart(part).encode(x=time, y=accuracy)
        layers += [
            base.mark_point(filled=True, size=110, opacity=1, color=colour),
            base.mark_text(dy=offset, fontSize=11, color=_INK).encode(text="family:N"),
        ]
    return _to_svg(alt.layer(*layers).properties(width=520, height=290))


def draw_folds(figures: pd.DataFrame) -> str:
    """Accuracy and loss of each fold as dots over a box plot, SVG. figures: fold, accuracy, loss."""
    charts = []
    for metric in ("accuracy", "loss"):
        x = alt.X(f"{metric}:Q", title=metric, scale=alt.Scale(zero=False, padding=12), axis=alt.Axis(tickCount=5))
        base = alt.Chart(figures).encode(x=x)
        box = base.mark_boxplot(extent="min-max", color=_INK, opacity=0.45, size=26)
        dots = base.mark_point(filled=True, size=60, opacity=0.9, color="#3b82f6")
        charts.append((box + dots).properties(width=330, height=60))
    return _to_svg(alt.hconcat(*charts))


def draw_fold_curves(curves: pd.DataFrame, mean: pd.DataFrame, metric: str) -> str:
    """Validation curves of every fold, thin, and the mean over folds, thick; dashed the mean in training, SVG."""
    x, y = _number_axis(curves["epoch"], padding=0), _metric_axis(curves, metric)
    folds = (
        alt.Chart(curves[curves["split"] == "val"])
        .mark_line(strokeWidth=1, opacity=0.55, color="#3b82f6", point=alt.OverlayMarkDef(size=10, color="#3b82f6"))
        .encode(x=x, y=y, detail="fold:N")
    )
    base = alt.Chart(mean).encode(x=x, y=y)
    val = base.transform_filter("datum.split == 'val'").mark_line(strokeWidth=3.5, color="#1d4ed8")
    train = base.transform_filter("datum.split == 'train'").mark_line(strokeWidth=2, strokeDash=[6, 4], color="#e69f00")
    return _to_svg((folds + train + val).properties(width=430, height=270))


def draw_effects(effects: pd.DataFrame) -> str:
    """Validation accuracy by the value of each parameter, SVG: a dot for the mean of a family's runs, a line from worst to
    best. effects: parameter, value, family, mean, low, high."""
    families = sorted(effects["family"].unique())
    charts = []
    for name, part in effects.groupby("parameter", sort=True):
        values = sorted(part["value"].unique(), key=_by_number)
        base = alt.Chart(part).encode(
            x=alt.X("value:N", sort=values, title=str(name), axis=alt.Axis(labelAngle=0 if len(values) < 7 else -40)),
            xOffset=alt.XOffset("family:N", sort=families),
            color=_name_colour("family", families),
        )
        span = base.mark_rule(opacity=0.6).encode(
            y=alt.Y("low:Q", title="validation accuracy", scale=alt.Scale(zero=False)), y2="high:Q"
        )
        dots = base.mark_point(filled=True, size=60, opacity=1).encode(y="mean:Q")
        charts.append((span + dots).properties(width=max(150, 60 * len(values)), height=220))
    return _to_svg(alt.concat(*charts, columns=3))


def draw_parallel(runs: pd.DataFrame, varied: list[str]) -> str:
    """Parallel coordinates, SVG: every run a line through the values of the parameters that varied, to its accuracy."""
    axes = ["family", *varied, "val_accuracy"]
    levels = {name: sorted(runs[name].astype(str).unique(), key=_by_number) for name in axes[:-1]}
    scores = runs["val_accuracy"]
    low, span = float(scores.min()), max(float(scores.max() - scores.min()), 1e-9)
    rows, ticks = [], []
    for name in axes[:-1]:
        ticks += [{"axis": name, "place": _place(levels[name], v), "label": v} for v in levels[name]]
    ticks += [
        {"axis": "val_accuracy", "place": k / 4, "label": f"{100 * (low + span * k / 4):.1f} %"} for k in range(5)
    ]
    for number, run in enumerate(runs.to_dict("records")):
        for name in axes:
            place = (run[name] - low) / span if name == "val_accuracy" else _place(levels[name], str(run[name]))
            rows.append({"run": number, "axis": name, "place": place, "accuracy": run["val_accuracy"]})
    x = alt.X("axis:N", sort=axes, title=None, axis=alt.Axis(labelAngle=0, labelLimit=150, domain=False, ticks=False))
    y = alt.Y("place:Q", axis=None, scale=alt.Scale(domain=[-0.05, 1.05]))
    lines = (
        alt.Chart(pd.DataFrame(rows))
        .mark_line(strokeWidth=1.8, opacity=0.75)
        .encode(
            x=x,
            y=y,
            detail="run:N",
            color=alt.Color("accuracy:Q", scale=alt.Scale(range=["#b9cdf5", "#1d3fae"]), legend=None),
        )
    )
    labels = (
        alt.Chart(pd.DataFrame(ticks))
        .mark_text(align="left", dx=6, fontSize=10, color=_INK)
        .encode(x=x, y=y, text="label:N")
    )
    stems = (
        alt.Chart(pd.DataFrame({"axis": axes, "place": 0.0, "end": 1.0}))
        .mark_rule(color=_INK, opacity=0.5)
        .encode(x=x, y=y, y2="end:Q")
    )
    return _to_svg((stems + lines + labels).properties(width=max(420, 150 * len(axes)), height=260))


def _place(levels: list[str], value: str) -> float:
    return 0.5 if len(levels) == 1 else levels.index(value) / (len(levels) - 1)


def _by_number(value: str) -> tuple[int, float, str]:
    """Numbers by size, before words in alphabetical order."""
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value


def draw_curves_of_runs(curves: pd.DataFrame, metric: str) -> str:
    """Validation curves of several runs in one chart, SVG. curves: run, split, epoch, accuracy, loss."""
    runs = list(dict.fromkeys(curves["run"]))
    val = curves[curves["split"] == "val"]
    chart = (
        alt.Chart(val)
        .mark_line(point=alt.OverlayMarkDef(size=18), strokeWidth=1.6)
        .encode(x=_number_axis(val["epoch"]), y=_metric_axis(val, metric), color=_name_colour("run", runs))
        .properties(width=430, height=270)
    )
    return _to_svg(chart, columns=1)


def draw_fold_boxes(folds: pd.DataFrame, metric: str) -> str:
    """Box plots over the folds, a row a family and setting, SVG. folds: family, setting, accuracy, loss."""
    table = folds.assign(row=folds["family"] + ": " + folds["setting"])
    y = alt.Y("row:N", sort=sorted(table["row"].unique()), title=None, axis=alt.Axis(labelLimit=330))
    x = alt.X(f"{metric}:Q", title=metric, scale=alt.Scale(zero=False, padding=10), axis=alt.Axis(tickCount=5))
    base = alt.Chart(table).encode(x=x, y=y)
    box = base.mark_boxplot(extent="min-max", color=_INK, opacity=0.45, size=14)
    dots = base.mark_point(filled=True, size=40, opacity=0.9, color="#3b82f6")
    return _to_svg((box + dots).properties(width=300, height=alt.Step(26)))


def draw_history(trials: pd.DataFrame) -> str:
    """Accuracy of each trial in order, and the best so far as a line, SVG. trials: trial, state, accuracy, best."""
    x = _number_axis(trials["trial"], padding=12, most=20)
    y = alt.Y("accuracy:Q", title="validation accuracy", scale=alt.Scale(zero=False))
    line = (
        alt.Chart(trials.dropna(subset="best"))
        .mark_line(interpolate="step-after", strokeWidth=2, color="#3b82f6")
        .encode(x=x, y=alt.Y("best:Q", title="validation accuracy", scale=alt.Scale(zero=False)))
    )
    return _to_svg((line + _draw_trials(trials, x, y)).properties(width=880, height=250))


def draw_slices(trials: pd.DataFrame, numbers: dict[str, bool], columns: int = 3) -> str:
    """Accuracy of all trials by the value of each parameter, SVG. trials: trial, state, accuracy, and a column a parameter.
    numbers: name to whether its axis is logarithmic, for parameters that are ranges; others are choices."""
    charts = []
    for name in trials.columns.drop(["trial", "state", "accuracy", "best"]):
        part = trials[["trial", "state", "accuracy"]].assign(value=trials[name])
        if name in numbers:
            x = alt.X(
                "value:Q", title=name, scale=_value_scale(numbers[name]), axis=_value_axis(part["value"], numbers[name])
            )
        else:
            order = sorted(part["value"].unique(), key=_by_number)
            x = alt.X("value:N", title=name, sort=order, axis=alt.Axis(labelAngle=0 if len(order) < 7 else -40))
        y = alt.Y("accuracy:Q", title="validation accuracy", scale=alt.Scale(zero=False))
        charts.append(_draw_trials(part, x, y).properties(width=240, height=190))
    return _to_svg(alt.concat(*charts, columns=columns))


def _value_scale(is_log: bool) -> alt.Scale:
    return alt.Scale(type="log" if is_log else "linear", zero=False, nice=False, padding=10)


def _value_axis(values: pd.Series, is_log: bool) -> alt.Axis:
    """On a logarithmic axis 1 and 3 times each power of ten: left to itself Vega labels some that nobody expects."""
    if not is_log:
        return alt.Axis(tickCount=5)
    low, high = values.min(), values.max()
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [float(f"{digit}e{power}") for power in powers for digit in (1, 3)]
    ticks = [tick for tick in ticks if low <= tick <= high] or [low, high]
    return alt.Axis(values=ticks, format="~g", labelOverlap=True)


def _draw_trials(trials: pd.DataFrame, x: alt.X, y: alt.Y) -> alt.Chart:
    """A dot a trial: filled where it was finished, hollow where it was given up."""
    return (
        alt.Chart(trials.dropna(subset="accuracy"))
        .mark_point(size=55, strokeWidth=1.5, opacity=0.85)
        .encode(
            x=x,
            y=y,
            shape=alt.Shape(
                "state:N", scale=alt.Scale(domain=["finished", "pruned"], range=["circle", "circle"]), legend=None
            ),
            fill=alt.Fill(
                "state:N", scale=alt.Scale(domain=["finished", "pruned"], range=["#e69f00", "transparent"]), legend=None
            ),
            stroke=alt.value("#e69f00"),
        )
    )


def draw_importance(importance: pd.DataFrame) -> str:
    """A bar a parameter, SVG. importance: parameter, share (0 to 1)."""
    base = alt.Chart(importance).encode(
        y=alt.Y("parameter:N", sort=None, title=None, axis=alt.Axis(labelLimit=330)),
        x=alt.X("share:Q", title="share of the scores' variance", axis=alt.Axis(format="%", tickCount=5)),
    )
    text = base.mark_text(align="left", dx=5, color=_INK).encode(text=alt.Text("share:Q", format=".0%"))
    return _to_svg((base.mark_bar(color="#3b82f6") + text).properties(width=430, height=alt.Step(24)))


def _split_colour() -> alt.Color:
    return alt.Color("split:N", scale=alt.Scale(domain=list(_SPLITS), range=list(_SPLITS.values())), title=None)


def draw_confusion(confusion: pd.DataFrame, class_names: list[str]) -> str:
    """A confusion matrix, SVG: rows are true classes, colours and figures the share of the row's images."""
    few = len(class_names) <= _TEXT_CLASSES
    step = 42 if few else max(5, 480 // len(class_names))
    labels = alt.Axis(labelAngle=-40, labels=len(class_names) <= 60, labelLimit=110)
    # Of a hundred classes' ten thousand cells nearly all are empty, and would be most of the page.
    filled = confusion if few else confusion[confusion["images"] > 0]
    all_classes = alt.Scale(domain=class_names)
    base = alt.Chart(filled).encode(
        x=alt.X("predicted:N", sort=class_names, scale=all_classes, title="predicted", axis=labels),
        y=alt.Y(
            "label:N",
            sort=class_names,
            scale=all_classes,
            title="true",
            axis=alt.Axis(labels=len(class_names) <= 60, labelLimit=110),
        ),
    )
    cells = base.mark_rect(stroke=_INK, strokeWidth=0.3).encode(
        color=alt.Color("share:Q", scale=alt.Scale(domain=[0, 1], range=["#f2f6fc", "#1d4ed8"]), legend=None)
    )
    if not few:
        return _to_svg(cells.properties(width=alt.Step(step), height=alt.Step(step)))
    ink = alt.condition("datum.share > 0.5", alt.value("#ffffff"), alt.value("#1e293b"))
    shown = base.transform_filter("datum.images > 0")
    share = shown.mark_text(fontSize=11, dy=-5).encode(text=alt.Text("share:Q", format=".0%"), color=ink)
    count = shown.mark_text(fontSize=9, dy=8).encode(text=alt.Text("images:Q", format=","), color=ink)
    return _to_svg((cells + share + count).properties(width=alt.Step(step), height=alt.Step(34)))


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
        .properties(width=430, height=alt.Step(22 if len(class_names) <= 40 else 10))
    )
    return _to_svg(chart)


def _to_svg(chart: Any, columns: int = 4) -> str:
    styled = (
        chart.configure(background="transparent", font="system-ui, sans-serif")
        .configure_view(stroke=None)
        .configure_header(labelColor=_INK, titleColor=_INK, labelFontSize=12)
        .configure_axis(
            labelColor=_INK, titleColor=_INK, gridColor=_INK, gridOpacity=0.18, domainColor=_INK, tickColor=_INK,
            labelFontSize=12, titleFontSize=12, titleFontWeight="normal",
        )
        .configure_legend(
            labelColor=_INK, titleColor=_INK, labelFontSize=12, labelLimit=400, orient="top", symbolType="circle",
            columns=columns, columnPadding=28,
        )
    )  # fmt: skip
    # Altair refuses tables of more than 5,000 rows, meant for notebooks: the matrix of 71 classes is one.
    with alt.data_transformers.enable("default", max_rows=None):
        return vl_convert.vegalite_to_svg(styled.to_dict(format="vega-lite", validate=False))
