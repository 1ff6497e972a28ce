"""What the page says of test images that may mislead: labels that are probably wrong, near copies of training images."""

from typing import Any

import numpy as np
import pandas as pd

from pipeline.data.near_duplicates import NEAR_COPY
from pipeline.evaluation.results import Results
from pipeline.report.cards import Album
from pipeline.report.findings import Findings
from pipeline.report.prediction_table import get_hits
from pipeline.report.thumbnails import encode_picture

_CARDS = 8  # pictures per gallery


def describe_data_issues(
    findings: Findings, near: pd.DataFrame, results: dict[str, Results], album: Album
) -> dict[str, Any]:
    """Suspected labels, and images that training has nearly, with their pictures; every family's test accuracy with and without
    suspects and near copies. Images below NEAR_COPY are only similar: models have not seen the answer.

    near: NEAR_COLUMNS of `pipeline.data.examination`.
    """
    issues = findings.issues
    suspects = set(issues.loc[issues["split"] == "test", "name"])
    copies = near[near["similarity"] >= NEAR_COPY]
    duplicates = set(copies.loc[copies["split"] == "test", "name"])
    return {
        "fold_family": findings.fold_family,
        "num_issues": _count_by_split(issues),
        "issues": [
            {**row, "picture": encode_picture(album(row["name"]))} for row in issues.head(_CARDS).to_dict("records")
        ],
        "near_copy": NEAR_COPY,
        "num_near": _count_by_split(copies),
        "num_near_other_label": int((copies["label"] != copies["train_label"]).sum()),
        "num_similar": _count_by_split(near[near["similarity"] < NEAR_COPY]),
        "near": [{**row, "picture": _show_pair(row, album)} for row in near.head(_CARDS).to_dict("records")],
        "without": [
            {"family": name, **measure_without(results[name].predictions, suspects, duplicates)}
            for name in findings.ranked
        ],
    }


def _count_by_split(table: pd.DataFrame) -> dict[str, int]:
    return {split: int((table["split"] == split).sum()) for split in ("test", "val", "train")}


def _show_pair(row: dict[Any, Any], album: Album) -> str:
    """An image and its near duplicate in train side by side, as a data URI."""
    return encode_picture(np.concatenate([album(row["name"]), album(row["train_name"])], axis=1))


def measure_without(predictions: pd.DataFrame, suspects: set[str], duplicates: set[str]) -> dict[str, float | None]:
    """Test accuracy on all images, without near copies, without suspected labels, without both; None where no image is
    left."""
    hits, names = get_hits(predictions), predictions["name"]
    kept = {
        "all": np.ones(len(hits), bool),
        "without_near": ~names.isin(duplicates).to_numpy(),
        "without_issues": ~names.isin(suspects).to_numpy(),
    }
    kept["without_both"] = kept["without_near"] & kept["without_issues"]
    return {key: float(hits[mask].mean()) if mask.any() else None for key, mask in kept.items()}
