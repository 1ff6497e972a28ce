"""What the page says of the images: how many, how large, how bright, what can't be used, what training sees of them."""

from typing import Any

import numpy as np
import pandas as pd

from pipeline.data.examination import Examination
from pipeline.data.manifest import load_manifest, load_quarantine
from pipeline.data.splits import SPLIT_NAMES, load_splits
from pipeline.data.tfrecords import DatasetFacts
from pipeline.evaluation.results import Results
from pipeline.report.charts import draw_counts, draw_found, draw_light, draw_shapes
from pipeline.report.thumbnails import draw_class_strip, encode_picture
from pipeline.runtime.paths import DUPLICATES

_STRIP = 10  # samples a class
_STRIPS = 30  # classes with samples
_QUARANTINE_ROWS = 50
_MODES = 6


def describe_data(facts: DatasetFacts, examination: Examination) -> dict[str, Any]:
    """facts: dataset.json."""
    class_names, images = facts.class_names, examination.images
    train = load_splits().query("split == 'train'")[["name"]].merge(load_manifest(), on="name")
    counts = pd.DataFrame(
        [
            {"label": label, "split": split, "images": count, "position": position}
            for position, split in enumerate(SPLIT_NAMES)
            for label, count in facts.counts[split].items()
        ]
    )
    quarantine = load_quarantine()
    duplicates = pd.read_csv(DUPLICATES, dtype="str", keep_default_na=False)
    return {
        "class_names": class_names,
        "num_images": facts.num_images,
        "image_size": facts.image_size,
        "resize": facts.resize,
        "counts": draw_counts(counts, class_names),
        "found": draw_found(examination.classes[examination.classes["stage"].isin(["found", "kept"])]),
        "homogeneity": examination.facts,
        "shapes": describe_shapes(images),
        "light": draw_light(summarise_light(images), class_names),
        "strips": {
            name: draw_class_strip(train[train["label"] == name], count=_STRIP, resize=facts.resize)
            for name in class_names[:_STRIPS]
        },
        "quarantine": quarantine.head(_QUARANTINE_ROWS).to_dict("records"),
        "num_quarantined": len(quarantine),
        "num_copies": len(duplicates) - duplicates["image_id"].nunique(),
        "num_left_out": int((duplicates["split"] == "").sum()),
    }


def describe_shapes(images: pd.DataFrame) -> dict[str, Any]:
    """Sizes and aspect ratios (width over height) in figures, a chart where they differ, and how files store colour."""
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
        edges = np.geomspace(values.min() * 0.999, values.max() * 1.001, 25)
        n, _ = np.histogram(values, edges)
        tables.append(pd.DataFrame({"kind": kind, "low": edges[:-1].round(4), "high": edges[1:].round(4), "images": n}))
    return pd.concat(tables, ignore_index=True)


def summarise_light(images: pd.DataFrame) -> pd.DataFrame:
    """label, kind (brightness or contrast), p5, p25, p50, p75, p95: what a box plot needs."""
    rows = []
    for label, part in images.groupby("label", sort=True):
        for kind in ("brightness", "contrast"):
            values = np.percentile(part[kind], (5, 25, 50, 75, 95)).round(2)
            rows.append((label, kind, *values.tolist()))
    return pd.DataFrame(rows, columns=["label", "kind", "p5", "p25", "p50", "p75", "p95"])


def describe_augmentation(results: dict[str, Results]) -> list[dict[str, Any]]:
    """families, picture, columns: rows of an image as it is and as training sees it. Families whose pictures are the same
    stand together."""
    sheets: dict[str, dict[str, Any]] = {}
    for family, result in results.items():
        if len(result.augmented):
            n, versions, size = result.augmented.shape[:3]
            sheet = result.augmented.transpose(0, 2, 1, 3, 4).reshape(n * size, versions * size, 3)
            picture = encode_picture(sheet)
            sheets.setdefault(picture, {"families": [], "picture": picture, "columns": versions})
            sheets[picture]["families"].append(family)
    return list(sheets.values())
