"""What the page says of the mistakes of the chosen family, and of what the others confuse."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from pipeline.evaluation.results import Results, pick_mistakes
from pipeline.report.cards import Album, make_card, make_cards
from pipeline.report.charts.mistakes import TEXT_CLASSES, draw_confusion
from pipeline.report.prediction_table import get_hits
from pipeline.report.thumbnails import encode_picture, encode_strip, overlay_heat

_PAIRS, _PER_PAIR = 4, 6  # pairs of classes confused most often, and pictures of each
_STRIP_PAIRS, _PER_STRIP, _STRIP_SIDE = 4, 6, 64  # the same for families other than the chosen one; pixels of a picture
_CARDS = 8  # pictures per gallery
_MATRICES = 12  # families with a matrix on the page
_MANY_CLASSES = 25  # beyond, only the chosen family's matrix: a hundred classes are ten thousand cells


def describe_mistakes(
    chosen: str, results: dict[str, Results], families: list[str], class_names: list[str], album: Album
) -> dict[str, Any]:
    """Confusion matrices, confused pairs, galleries and heat maps. families: the best first."""
    result = results[chosen]
    predictions = result.predictions
    hits = predictions[get_hits(predictions)].sort_values("confidence", kind="stable")
    shown = [chosen, *(name for name in families if name != chosen)][:_MATRICES]
    if len(class_names) > _MANY_CLASSES:
        shown = [chosen]
    return {
        "has_counts": len(class_names) <= TEXT_CLASSES,
        "confusions": {name: draw_confusion(results[name].confusion, class_names) for name in shown},
        "pairs": describe_pairs(result, album),
        "other_pairs": {name: describe_strips(results[name], album) for name in families if name != chosen},
        "confident_mistakes": make_cards(pick_mistakes(predictions, _CARDS), album),
        "unsure_hits": make_cards(hits.head(_CARDS), album),
        "num_mistakes": int((~get_hits(predictions)).sum()),
        "heat_maps": describe_heat_maps(chosen, results, families, album),
    }


def describe_pairs(result: Results, album: Album) -> list[dict[Any, Any]]:
    """The pairs of classes confused most often: label, predicted, images, share (of the images of label), cards."""
    return [{**pair, "cards": make_cards(rows, album)} for pair, rows in find_pairs(result, _PAIRS, pictures=_PER_PAIR)]


def describe_strips(result: Results, album: Album) -> list[dict[Any, Any]]:
    """As `describe_pairs`, with one small picture of all in place of cards: strip (data URI), and of each image in it names and
    confidences. Twelve families are not to weigh twelve times as much as one."""
    described = []
    for pair, rows in find_pairs(result, _STRIP_PAIRS, pictures=_PER_STRIP):
        strip = encode_strip([album(name) for name in rows["name"]], side=_STRIP_SIDE)
        facts = {"names": rows["name"].tolist(), "confidences": rows["confidence"].tolist()}
        described.append({**pair, "strip": strip, "width": _STRIP_SIDE * len(rows), **facts})
    return described


def find_pairs(result: Results, count: int, *, pictures: int) -> list[tuple[dict[Any, Any], pd.DataFrame]]:
    """The `count` pairs of classes confused most often, and the rows of the predictions that are its most confident
    mistakes."""
    confusion, predictions = result.confusion, result.predictions
    wrong = confusion[(confusion["label"] != confusion["predicted"]) & (confusion["images"] > 0)]
    pairs = wrong.sort_values(["images", "share"], ascending=False, kind="stable").head(count)
    found = []
    for pair in pairs.to_dict("records"):
        these = (predictions["label"] == pair["label"]) & (predictions["predicted"] == pair["predicted"])
        found.append((pair, pick_mistakes(predictions[these], pictures)))
    return found


def describe_heat_maps(
    chosen: str, results: dict[str, Results], families: Iterable[str], album: Album
) -> list[dict[str, Any]]:
    """Mistakes with what spoke for the predicted class: of the chosen family, or of the first one that has heat maps."""
    for family in [chosen, *families]:
        result = results[family]
        if len(result.heat_maps):
            rows = pick_mistakes(result.predictions, min(_CARDS, len(result.heat_maps)))
            return [
                {
                    **make_card(row, album),
                    "heat": encode_picture(overlay_heat(album(row["name"]), heat)),
                    "family": family,
                }
                for (_, row), heat in zip(rows.iterrows(), result.heat_maps, strict=False)
            ]
    return []
