"""The layers of a family as a row of boxes."""

import altair as alt
import numpy as np
import pandas as pd

from pipeline.report.charts.theme import BLUE, GREEN, INK, ORANGE, PALE_GREY, SLATE, VIOLET, choice_colour, to_svg

_KINDS = {
    "Conv2D": "convolution", "DepthwiseConv2D": "convolution", "SeparableConv2D": "convolution",
    "MaxPooling2D": "pooling", "AveragePooling2D": "pooling", "GlobalAveragePooling2D": "pooling",
    "Dense": "dense", "Backbone": "backbone", "InputLayer": "input",
}  # fmt: skip
_COLOURS = {
    "input": SLATE, "convolution": BLUE, "pooling": ORANGE, "dense": GREEN, "backbone": VIOLET, "other": PALE_GREY,
}  # fmt: skip
_LABEL_HEIGHT = 52  # pixels below the boxes


def draw_architecture(layers: pd.DataFrame) -> str:
    """Layers in order, SVG: the height of a box is the side of its output, the width grows with the channels, both on log
    scales. layers: kind (the class of Keras), rows, columns, channels."""
    boxes = _make_boxes(layers)
    end, height = float(boxes["x2"].iloc[-1]), float((boxes["y2"] - boxes["y"]).max())
    y_domain = [-height / 2 - _LABEL_HEIGHT, height / 2 + 2]
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, end + 4], nice=False))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=y_domain, nice=False))
    present = {kind: colour for kind, colour in _COLOURS.items() if kind in set(boxes["kind"])}
    rects = (
        alt.Chart(boxes)
        .mark_rect(cornerRadius=1.5)
        .encode(x=x, x2="x2", y=y, y2="y2", color=choice_colour("kind", present))
    )
    changed = boxes["size"] != boxes["size"].shift()
    labels = boxes[changed].assign(middle=lambda b: (b["x"] + b["x2"]) / 2, y=-height / 2 - 4)
    text = (
        alt.Chart(labels)
        .mark_text(angle=300, align="right", baseline="middle", fontSize=9, color=INK)
        .encode(x=alt.X("middle:Q", axis=None), y=y, text="size:N")
    )
    width = float(min(900, max(260, end + 10)))
    return to_svg((rects + text).properties(width=width, height=height + _LABEL_HEIGHT + 2), columns=6)


def _make_boxes(layers: pd.DataFrame) -> pd.DataFrame:
    """x, x2, y, y2 (pixels), kind, size (as text): one box per layer; a flat layer is a thin bar, its height its units."""
    is_flat = (layers["rows"] == 1) & (layers["columns"] == 1)
    channels = np.log2(layers["channels"].clip(lower=1))
    heights = (np.log2(layers["rows"].clip(lower=1)) * 11 + 8).where(~is_flat, channels * 8 + 8)
    widths = (channels * 3 + 4).where(~is_flat, 9)
    ends = (widths + 7).cumsum()
    kinds = layers["kind"].map(_KINDS).fillna("other")
    sizes = [
        f"{rows}×{columns}×{channels}" if max(rows, columns) > 1 else f"{channels}"
        for rows, columns, channels in layers[["rows", "columns", "channels"]].to_numpy().tolist()
    ]
    return pd.DataFrame(
        {"x": ends - widths, "x2": ends, "y": -heights / 2, "y2": heights / 2, "kind": kinds, "size": sizes}
    )
