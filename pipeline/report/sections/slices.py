"""What the page says of groups of test images in which the chosen family is less accurate than elsewhere."""

from typing import Any, TypedDict

import pandas as pd

from pipeline.evaluation.results import pick_mistakes
from pipeline.evaluation.slices import LEAST, measure_slices
from pipeline.report.cards import Album, Card, make_cards
from pipeline.report.tables import to_records

_SHOWN, _CARDS, _LISTED = 4, 6, 40  # weak groups with pictures, pictures of each, and rows of the table


class Slices(TypedDict):
    """rows: all groups, as `measure_slices` has them, the smallest p first. weak: those that are, with cards. tested: how many
    groups there are. least: images in a group."""

    rows: list[dict[Any, Any]]
    weak: list[dict[str, Any]]
    tested: int
    least: int


def describe_slices(predictions: pd.DataFrame, images: pd.DataFrame, look_alikes: pd.DataFrame, album: Album) -> Slices:
    """predictions, look_alikes: of the chosen family, see `Results`. images: see `measure_slices`."""
    table, groups = measure_slices(predictions, images, look_alikes)
    rows = to_records(table)
    weak: list[dict[str, Any]] = []
    for row, group in zip(rows, groups, strict=True):
        if row["is_weak"] and len(weak) < _SHOWN:
            cards: list[Card] = make_cards(pick_mistakes(predictions[group.inside], _CARDS), album)
            weak.append({**row, "cards": cards})
    return {"rows": rows[:_LISTED], "weak": weak, "tested": len(rows), "least": LEAST}
