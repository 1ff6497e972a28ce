"""What the page says of the chosen family's mistakes."""

from collections.abc import Iterable
from typing import Any

from pipeline.evaluation.results import Results, pick_mistakes
from pipeline.report.cards import Album, make_card, make_cards
from pipeline.report.charts.mistakes import draw_confusion
from pipeline.report.prediction_table import get_hits
from pipeline.report.thumbnails import encode_picture, overlay_heat

_PAIRS, _PER_PAIR = 4, 6  # pairs of classes confused most often, and pictures of each
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
        "confusions": {name: draw_confusion(results[name].confusion, class_names) for name in shown},
        "pairs": describe_pairs(result, album),
        "confident_mistakes": make_cards(pick_mistakes(predictions, _CARDS), album),
        "unsure_hits": make_cards(hits.head(_CARDS), album),
        "num_mistakes": int((~get_hits(predictions)).sum()),
        "heat_maps": describe_heat_maps(chosen, results, families, album),
    }


def describe_pairs(result: Results, album: Album) -> list[dict[Any, Any]]:
    """The pairs of classes confused most often: label, predicted, images, share (of the images of label), cards."""
    confusion = result.confusion
    wrong = confusion[(confusion["label"] != confusion["predicted"]) & (confusion["images"] > 0)]
    pairs = wrong.sort_values(["images", "share"], ascending=False, kind="stable").head(_PAIRS)
    described = []
    for pair in pairs.to_dict("records"):
        these = (result.predictions["label"] == pair["label"]) & (result.predictions["predicted"] == pair["predicted"])
        cards = make_cards(pick_mistakes(result.predictions[these], _PER_PAIR), album)
        described.append({**pair, "cards": cards})
    return described


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
