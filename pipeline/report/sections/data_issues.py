"""What the page says of test images that may mislead: labels that are probably wrong, near duplicates of training images."""

from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.results import Results
from pipeline.report.cards import Album
from pipeline.report.prediction_table import get_hits
from pipeline.report.thumbnails import encode_picture

_CARDS = 8  # pictures per gallery


def describe_data_issues(
    issues: pd.DataFrame, near: pd.DataFrame, results: dict[str, Results], families: list[str], album: Album
) -> dict[str, Any]:
    """Suspected labels and near duplicates with their pictures, and every family's test accuracy with and without them.

    issues: LABEL_COLUMNS of `pipeline.report.label_issues`. near: NEAR_COLUMNS of `pipeline.data.examination`.
    """
    suspects = set(issues.loc[issues["split"] == "test", "name"])
    duplicates = set(near.loc[near["split"] == "test", "name"])
    return {
        "num_issues": _count_by_split(issues),
        "issues": [
            {**row, "picture": encode_picture(album(row["name"]))} for row in issues.head(_CARDS).to_dict("records")
        ],
        "num_near": _count_by_split(near),
        "num_near_other_label": int((near["label"] != near["train_label"]).sum()),
        "near": [{**row, "picture": _show_pair(row, album)} for row in near.head(_CARDS).to_dict("records")],
        "without": [
            {"family": name, **measure_without(results[name].predictions, suspects, duplicates)} for name in families
        ],
    }


def _count_by_split(table: pd.DataFrame) -> dict[str, int]:
    return {split: int((table["split"] == split).sum()) for split in ("test", "val", "train")}


def _show_pair(row: dict[Any, Any], album: Album) -> str:
    """An image and its near duplicate in train side by side, as a data URI."""
    return encode_picture(np.concatenate([album(row["name"]), album(row["train_name"])], axis=1))


def measure_without(predictions: pd.DataFrame, suspects: set[str], duplicates: set[str]) -> dict[str, float | None]:
    """Test accuracy on all images, without near duplicates, without suspected labels, without both; None where no image is
    left."""
    hits, names = get_hits(predictions), predictions["name"]
    kept = {
        "all": np.ones(len(hits), bool),
        "without_near": ~names.isin(duplicates).to_numpy(),
        "without_issues": ~names.isin(suspects).to_numpy(),
    }
    kept["without_both"] = kept["without_near"] & kept["without_issues"]
    return {key: float(hits[mask].mean()) if mask.any() else None for key, mask in kept.items()}
