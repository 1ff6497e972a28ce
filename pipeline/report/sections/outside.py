"""What the page says of outside pictures: those that are in no split."""

from dataclasses import replace
from typing import Any

import pandas as pd

from pipeline.data.deep_pixels import ValueRange
from pipeline.data.image_files import Decoding, load_pictures
from pipeline.evaluation.intervals import compute_accuracy_interval
from pipeline.report.thumbnails import encode_picture
from pipeline.runtime.paths import OUTSIDE

_CARDS = 24
_ROWS = 50  # files that can't be used
_PICTURE = Decoding(image_size=120, resize="letterbox", min_side=1, max_megapixels=128.0)


def describe_outside(outside: pd.DataFrame, value_range: ValueRange) -> dict[str, Any] | None:
    """Metrics and cards; None if nobody asked for any. outside: see `pipeline.evaluation.out_of_distribution`. value_range: as
    preprocess.range."""
    if outside.empty:
        return None
    good, bad = outside[outside["reason"] == ""], outside[outside["reason"] != ""]
    labelled = good[good["label"] != ""]
    hits = int((labelled["label"] == labelled["predicted"]).sum())
    return {
        "num_images": len(good),
        "num_labelled": len(labelled),
        "accuracy": hits / len(labelled) if len(labelled) else None,
        "interval": compute_accuracy_interval(hits, len(labelled)) if len(labelled) else None,
        "num_far": int((good["is_far"].astype("str") == "True").sum()),
        "cards": make_outside_cards(good.head(_CARDS), value_range),
        "bad": bad[["name", "reason"]].head(_ROWS).to_dict("records"),
        "num_bad": len(bad),
    }


def make_outside_cards(rows: pd.DataFrame, value_range: ValueRange) -> list[dict[str, Any]]:
    """Each picture with its prediction and its distance from the training images; above 1 is far."""
    pictures = load_pictures([str(OUTSIDE / name) for name in rows["name"]], replace(_PICTURE, value_range=value_range))
    return [
        {
            "picture": encode_picture(picture.pixels),
            "name": row["name"],
            "label": row["label"],
            "predicted": row["predicted"],
            "confidence": row["confidence"],
            "distance": row["distance"],
            "far": bool(row["distance"] > 1),
            "hit": row["label"] == row["predicted"],
        }
        for (_, row), picture in zip(rows.iterrows(), pictures, strict=True)
        if picture.pixels is not None
    ]
