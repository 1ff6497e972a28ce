"""What the page says of errors: the chosen family's, and those that may be the data's."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from pipeline.data.manifest import load_manifest
from pipeline.evaluation.results import Results, pick_mistakes
from pipeline.report.charts import draw_confusion
from pipeline.report.sections.models import get_hits, get_labels, get_probabilities
from pipeline.report.thumbnails import encode_picture, load_picture, overlay_heat

_PAIRS, _PER_PAIR = 4, 6  # most confused pairs of classes, and pictures of each
_CARDS = 8  # pictures a gallery
_PICTURE = 120  # pixels, of a picture in a gallery
_MATRICES = 12  # families with a matrix on the page
_MANY_CLASSES = 25  # beyond, only the chosen family's matrix: a hundred classes are ten thousand cells
LABEL_COLUMNS = ["name", "split", "label", "suggested", "label_probability", "suggested_probability"]

Album = Callable[[str], np.ndarray]


def open_album(resize: str) -> Album:
    """Pictures by name, uint8 (_PICTURE, _PICTURE, 3)."""
    manifest = load_manifest()
    row_of = {name: row for row, name in enumerate(manifest["name"])}
    return lambda name: load_picture(manifest.iloc[row_of[name]], image_size=_PICTURE, resize=resize)


def make_card(row: Any, album: Album, **more: Any) -> dict[str, Any]:
    """A picture with what was made of it."""
    return {
        "picture": encode_picture(album(row["name"])),
        "name": row["name"],
        "label": row["label"],
        "predicted": row["predicted"],
        "confidence": row["confidence"],
        "true_confidence": row[f"p:{row['label']}"],
        "hit": row["label"] == row["predicted"],
        **more,
    }


def make_cards(rows: pd.DataFrame, album: Album) -> list[dict[str, Any]]:
    """A card a row."""
    return [make_card(row, album) for _, row in rows.iterrows()]


def describe_mistakes(
    chosen: str, results: dict[str, Results], families: list[str], class_names: list[str], album: Album
) -> dict[str, Any]:
    """Matrices, confused pairs, galleries and heat maps."""
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
    """The pairs of classes that are confused most often: true, taken for, how many images and what share, and pictures."""
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
    """Of the chosen family, or of the best one that has any: mistakes with what spoke for the class that was named."""
    for family in [chosen, *families]:
        result = results[family]
        if len(result.heat_maps):
            rows = pick_mistakes(result.predictions, min(_CARDS, len(result.heat_maps)))
            return [
                make_card(row, album, heat=encode_picture(overlay_heat(album(row["name"]), heat)), family=family)
                for (_, row), heat in zip(rows.iterrows(), result.heat_maps, strict=False)
            ]
    return []


def find_label_issues(result: Results) -> pd.DataFrame:
    """LABEL_COLUMNS: images of test and val whose label is probably wrong, the most probable first.

    By confident learning (Northcutt et al. 2021, arXiv:1911.00068; cleanlab), over probabilities of images that the family
    has not been trained on.
    """
    from cleanlab.filter import find_label_issues as find  # slow to import

    parts = []
    for split, table in (("test", result.predictions), ("val", result.val_predictions)):
        labels, probabilities = get_labels(table), get_probabilities(table)
        probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a class has few images is said elsewhere
            rows = find(labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
        found = table.iloc[rows]
        parts.append(
            pd.DataFrame(
                {
                    "name": found["name"],
                    "split": split,
                    "label": found["label"],
                    "suggested": found["predicted"],
                    "label_probability": probabilities[rows, labels[rows]].round(6),
                    "suggested_probability": found["confidence"],
                }
            )
        )
    issues = pd.concat(parts, ignore_index=True)
    return issues.sort_values(["label_probability", "name"], kind="stable", ignore_index=True)[LABEL_COLUMNS]


def describe_doubts(
    issues: pd.DataFrame, near: pd.DataFrame, results: dict[str, Results], families: list[str], album: Album
) -> dict[str, Any]:
    """Suspected labels and near duplicates with their pictures, and every family's test accuracy with and without them."""
    suspects = set(issues.loc[issues["split"] == "test", "name"])
    twins = set(near.loc[near["split"] == "test", "name"])
    return {
        "num_issues": {split: int((issues["split"] == split).sum()) for split in ("test", "val")},
        "issues": [
            {**row, "picture": encode_picture(album(row["name"]))} for row in issues.head(_CARDS).to_dict("records")
        ],
        "num_near": {split: int((near["split"] == split).sum()) for split in ("test", "val")},
        "num_near_other_label": int((near["label"] != near["train_label"]).sum()),
        "near": [
            {**row, "picture": encode_picture(np.concatenate([album(row["name"]), album(row["train_name"])], axis=1))}
            for row in near.head(_CARDS).to_dict("records")
        ],
        "without": [
            {"family": name, **measure_without(results[name].predictions, suspects, twins)} for name in families
        ],
    }


def measure_without(predictions: pd.DataFrame, suspects: set[str], twins: set[str]) -> dict[str, float | None]:
    """Test accuracy on all images, without near duplicates, without suspected labels, without both; None of no image."""
    hits, names = get_hits(predictions), predictions["name"]
    kept = {
        "all": np.ones(len(hits), bool),
        "without_near": ~names.isin(twins).to_numpy(),
        "without_issues": ~names.isin(suspects).to_numpy(),
    }
    kept["without_both"] = kept["without_near"] & kept["without_issues"]
    return {key: float(hits[mask].mean()) if mask.any() else None for key, mask in kept.items()}
