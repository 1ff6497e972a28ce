"""Charts of the images: how many, how large, how bright."""

import altair as alt
import pandas as pd

from pipeline.report.charts.theme import (
    BLUE,
    GREY,
    INK,
    LIGHT_TEXT,
    choice_colour,
    name_axis,
    split_colour,
    to_svg,
)

_MANY_CLASSES = 40  # beyond, rows are narrower


def draw_counts(counts: pd.DataFrame, class_names: list[str]) -> str:
    """Images per class and split, SVG. counts: label, split, images, position (of the split in its bar)."""
    chart = (
        alt.Chart(counts)
        .mark_bar()
        .encode(
            y=name_axis(class_names),
            x=alt.X("images:Q", title="images", axis=alt.Axis(tickCount=6)),
            color=split_colour(),
            order=alt.Order("position:Q"),
        )
        .properties(width=430, height=alt.Step(22 if len(class_names) <= _MANY_CLASSES else 10))
    )
    return to_svg(chart)


def draw_found(counts: pd.DataFrame) -> str:
    """Files found per class, and images kept after pruning, SVG. counts: label, stage (found or kept), images."""
    labels = sorted(counts["label"].unique())
    stages = {"found": GREY, "kept": BLUE}
    chart = (
        alt.Chart(counts)
        .mark_bar()
        .encode(
            y=name_axis(labels),
            yOffset=alt.YOffset("stage:N", sort=list(stages)),
            x=alt.X("images:Q", title="images", axis=alt.Axis(tickCount=6)),
            color=choice_colour("stage", stages),
        )
        .properties(width=430, height=alt.Step(11 if len(labels) <= _MANY_CLASSES else 5))
    )
    return to_svg(chart)


def draw_light(light: pd.DataFrame, class_names: list[str]) -> str:
    """Brightness and contrast by class as box plots, SVG: whiskers are the 5th and 95th percentile.

    light: label, kind (brightness or contrast), p5, p25, p50, p75, p95 (luma, 0 to 255).
    """
    base = alt.Chart(light).encode(y=name_axis(class_names))
    scale = alt.Scale(domain=[0, 255], nice=False)
    whisker = base.mark_rule(color=INK).encode(x=alt.X("p5:Q", scale=scale, title="luma, 0–255"), x2="p95:Q")
    box = base.mark_bar(height=10, color=BLUE, opacity=0.8).encode(x="p25:Q", x2="p75:Q")
    median = base.mark_tick(color=LIGHT_TEXT, thickness=2, height=10).encode(x="p50:Q")
    step = alt.Step(20 if len(class_names) <= _MANY_CLASSES else 12)
    layered = (whisker + box + median).properties(width=250, height=step)
    return to_svg(layered.facet(column=alt.Column("kind:N", title=None)))


def draw_shapes(shapes: pd.DataFrame) -> str:
    """Histograms of the longer side and of the aspect ratio, SVG. shapes: kind, low, high, images."""
    scale, axis = alt.Scale(type="log", nice=False), alt.Axis(tickCount=6, format="~g")
    charts = [
        alt.Chart(part)
        .mark_bar(color=BLUE, binSpacing=1)
        .encode(
            x=alt.X("low:Q", title=str(kind), scale=scale, axis=axis),
            x2="high:Q",
            y=alt.Y("images:Q", title="images", axis=alt.Axis(tickCount=5)),
        )
        .properties(width=280, height=150)
        for kind, part in shapes.groupby("kind", sort=True)
    ]
    return to_svg(alt.hconcat(*charts))
