"""Which classes are taken for which."""

import altair as alt
import pandas as pd

from pipeline.report.charts.theme import DARK_TEXT, INK, LIGHT_TEXT, SHARE_RANGE, to_svg

TEXT_CLASSES = 15  # beyond, numbers in the cells are too small to read
_NAMED_CLASSES = 60  # beyond, class names beside the axes too


def draw_confusion(confusion: pd.DataFrame, class_names: list[str]) -> str:
    """A confusion matrix, SVG: rows are true classes; colour and text are the share of the row's images.

    confusion: label, predicted, images, share (0 to 1).
    """
    has_text = len(class_names) <= TEXT_CLASSES
    # Nearly all of the ten thousand cells of a hundred classes are empty, and would be most of the page.
    cells = confusion if has_text else confusion[confusion["images"] > 0]
    base = _make_grid(cells, class_names)
    rects = base.mark_rect(stroke=INK, strokeWidth=0.3).encode(
        color=alt.Color("share:Q", scale=alt.Scale(domain=[0, 1], range=SHARE_RANGE), legend=None)
    )
    if not has_text:
        step = alt.Step(max(5, 480 // len(class_names)))
        return to_svg(rects.properties(width=step, height=step))
    ink = alt.condition("datum.share > 0.5", alt.value(LIGHT_TEXT), alt.value(DARK_TEXT))
    filled = base.transform_filter("datum.images > 0")
    share = filled.mark_text(fontSize=11, dy=-5).encode(text=alt.Text("share:Q", format=".0%"), color=ink)
    count = filled.mark_text(fontSize=9, dy=8).encode(text=alt.Text("images:Q", format=","), color=ink)
    return to_svg((rects + share + count).properties(width=alt.Step(42), height=alt.Step(34)))


def _make_grid(cells: pd.DataFrame, class_names: list[str]) -> alt.Chart:
    """True classes down, predicted ones across, each in the order of the classes, also one without a cell."""
    every_class, is_named = alt.Scale(domain=class_names), len(class_names) <= _NAMED_CLASSES
    across = alt.Axis(labelAngle=-40 if len(class_names) <= TEXT_CLASSES else -90, labels=is_named, labelLimit=110)
    down = alt.Axis(labels=is_named, labelLimit=110, titlePadding=12)
    return alt.Chart(cells).encode(
        x=alt.X("predicted:N", sort=class_names, scale=every_class, title="predicted", axis=across),
        y=alt.Y("label:N", sort=class_names, scale=every_class, title="true", axis=down),
    )
