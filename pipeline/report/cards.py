"""Pictures with what a model made of them, as the galleries of the page show them."""

from collections.abc import Callable
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from pipeline.data.deep_pixels import ValueRange
from pipeline.data.manifest import load_manifest
from pipeline.report.thumbnails import encode_picture, load_picture

_SIDE = 120  # pixels

Album = Callable[[str], np.ndarray]  # name of an image to its pixels, uint8 (_SIDE, _SIDE, 3), RGB


class Card(TypedDict):
    """picture: data URI. confidence, true_confidence: probability of the predicted and of the true class, 0 to 1. hit: whether
    the two classes are the same."""

    picture: str
    name: str
    label: str
    predicted: str
    confidence: float
    true_confidence: float
    hit: bool


def open_album(resize: str, value_range: ValueRange = "auto") -> Album:
    """The pictures of the manifest by name. resize, value_range: as in `preprocess`: pictures are shown as the
    models see them."""
    manifest = load_manifest(columns=["name", "shard", "offset", "size"])
    row_of = {name: row for row, name in enumerate(manifest["name"])}
    return lambda name: load_picture(
        manifest.iloc[row_of[name]], image_size=_SIDE, resize=resize, value_range=value_range
    )


def make_card(row: Any, album: Album) -> Card:
    """row: of a table of predictions."""
    return {
        "picture": encode_picture(album(row["name"])),
        "name": row["name"],
        "label": row["label"],
        "predicted": row["predicted"],
        "confidence": row["confidence"],
        "true_confidence": row[f"p:{row['label']}"],
        "hit": row["label"] == row["predicted"],
    }


def make_cards(rows: pd.DataFrame, album: Album) -> list[Card]:
    """One card per row."""
    return [make_card(row, album) for _, row in rows.iterrows()]
