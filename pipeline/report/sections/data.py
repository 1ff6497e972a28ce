"""What the page says of the images: how many, how large, how bright, which can't be used, how training sees them."""

from typing import Any

import numpy as np
import pandas as pd

from pipeline.data.deep_pixels import ValueRange
from pipeline.data.examination import Examination
from pipeline.data.faults import describe_faults
from pipeline.data.losses import find_losses
from pipeline.data.manifest import load_manifest, load_quarantine, read_table
from pipeline.data.splits import SPLIT_NAMES, load_splits
from pipeline.data.tfrecords import DatasetFacts
from pipeline.evaluation.results import Results
from pipeline.report.charts.data import draw_counts, draw_found, draw_light, draw_shapes
from pipeline.report.sections.corrections import describe_corrections
from pipeline.report.thumbnails import draw_class_strip, encode_picture
from pipeline.runtime.paths import DUPLICATES

_STRIP = 10  # samples per class
_STRIPS = 30  # classes with samples
_QUARANTINE_ROWS = 50
_MODES = 6
_BINS = 24  # of a histogram
_PERCENTILES = (5, 25, 50, 75, 95)


def describe_data(facts: DatasetFacts, examination: Examination, value_range: ValueRange) -> dict[str, Any]:
    """What the page's section on the data needs. value_range: as preprocess.range."""
    classes, images = examination.classes, examination.images
    return {
        "class_names": facts.class_names,
        "num_images": facts.num_images,
        "image_size": facts.image_size,
        "resize": facts.resize,
        "counts": draw_counts(count_images(facts), facts.class_names),
        "found": draw_found(classes[classes["stage"].isin(["found", "kept"])]),
        "homogeneity": examination.facts,
        "shapes": describe_shapes(images),
        "pixels": examination.pixels.to_dict("records"),
        "light": draw_light(summarize_light(images), facts.class_names),
        "strips": draw_strips(facts, value_range),
        "faults": describe_faults(examination.faults),
        **describe_unused(),
        **describe_corrections(),
    }


def count_images(facts: DatasetFacts) -> pd.DataFrame:
    """label, split, images, position (of the split, from 0)."""
    rows = [
        (label, split, count, position)
        for position, split in enumerate(SPLIT_NAMES)
        for label, count in facts.counts[split].items()
    ]
    return pd.DataFrame(rows, columns=["label", "split", "images", "position"])


def draw_strips(facts: DatasetFacts, value_range: ValueRange) -> dict[str, str]:
    """Class to a strip of training images, as a data URI, for the first classes."""
    splits = load_splits(columns=["name", "split"])
    train = splits[splits["split"] == "train"][["name"]].merge(load_manifest(), on="name")
    return {
        name: draw_class_strip(
            train[train["label"] == name], count=_STRIP, resize=facts.resize, value_range=value_range
        )
        for name in facts.class_names[:_STRIPS]
    }


def describe_unused() -> dict[str, Any]:
    """Files that can't be used, and copies that were left out."""
    quarantine = load_quarantine()
    duplicates = read_table(DUPLICATES, dtype="str", keep_default_na=False)
    return {
        "quarantine": quarantine.head(_QUARANTINE_ROWS).to_dict("records"),
        "num_quarantined": len(quarantine),
        "losses": find_losses(load_manifest(columns=["label"]), quarantine),
        "num_copies": len(duplicates) - duplicates["image_id"].nunique(),
        "num_left_out": int((duplicates["split"] == "").sum()),
    }


def describe_shapes(images: pd.DataFrame) -> dict[str, Any]:
    """Minimum, median and maximum of width, height (pixels) and aspect ratio (width over height), how files store colour, and
    a chart where sizes differ."""
    sizes = images[["width", "height"]]
    modes = images["mode"].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    ratio = images["width"] / images["height"]
    return {
        "widths": [int(v) for v in sizes["width"].quantile([0, 0.5, 1])],
        "heights": [int(v) for v in sizes["height"].quantile([0, 0.5, 1])],
        "ratios": [round(float(v), 2) for v in ratio.quantile([0, 0.5, 1])],
        "modes": {str(mode): int(n) for mode, n in modes.head(_MODES).items()},
        "chart": draw_shapes(count_shapes(images)) if len(sizes.drop_duplicates()) > 1 else None,
    }


def count_shapes(images: pd.DataFrame) -> pd.DataFrame:
    """kind (longer side or aspect ratio), low, high, images: two histograms, of 24 bins of equal ratio each."""
    width, height = images["width"].to_numpy(float), images["height"].to_numpy(float)
    tables = []
    for kind, values in (("longer side, pixels", np.maximum(width, height)), ("width / height", width / height)):
        edges = np.geomspace(values.min() * 0.999, values.max() * 1.001, _BINS + 1)
        n, _ = np.histogram(values, edges)
        tables.append(pd.DataFrame({"kind": kind, "low": edges[:-1].round(4), "high": edges[1:].round(4), "images": n}))
    return pd.concat(tables, ignore_index=True)


def summarize_light(images: pd.DataFrame) -> pd.DataFrame:
    """label, kind (brightness or contrast), p5, p25, p50, p75, p95 (luma, 0 to 255): what a box plot needs."""
    rows = []
    for label, part in images.groupby("label", sort=True):
        for kind in ("brightness", "contrast"):
            values = np.percentile(part[kind], _PERCENTILES).round(2)
            rows.append((label, kind, *values.tolist()))
    return pd.DataFrame(rows, columns=["label", "kind", *(f"p{percent}" for percent in _PERCENTILES)])


def describe_augmentation(results: dict[str, Results]) -> list[dict[str, Any]]:
    """families, picture (data URI), columns: each row of the picture is an image, unchanged and in augmented views. Families
    with the same views share a picture."""
    sheets: dict[str, dict[str, Any]] = {}
    for family, result in results.items():
        if len(result.augmented):
            n, views, size = result.augmented.shape[:3]
            sheet = result.augmented.transpose(0, 2, 1, 3, 4).reshape(n * size, views * size, 3)
            picture = encode_picture(sheet)
            sheets.setdefault(picture, {"families": [], "picture": picture, "columns": views})
            sheets[picture]["families"].append(family)
    return list(sheets.values())
