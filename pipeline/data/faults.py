"""Images that look wrong after decoding: cleanvision's kinds of fault, measured on the pixels that models see.

The kinds, and the thresholds of darkness, brightness and information, are those of cleanvision 0.3 (Cleanlab,
image_property_issue_manager.py), with luma for brightness. Blur is not: cleanvision's score finds 10 % of blurred scenes
at most at 64 px, none at 150. Here edges are measured against contrast. The threshold was chosen on scenes of seed 42; on 300
others (seed 7) it lists 0 % as they are, 60 % blurred by 1.5 px and 96 % by 3 px, at 64 px; 3 %, 80 % and 99.7 % at 150 px.
Sizes and aspect ratios are compared with the image's class.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.data.examination import FAULT_COLUMNS

_ENTROPY_SCALE = 0.1  # cleanvision's normalizing factor of entropy
_PERCENTILES = (0.01, 0.05, 0.99)
_VALUES = np.arange(256)
_SQUARES = _VALUES**2
_CHANNELS = math.log2(3)
_EDGE_ROWS = 64
_LABELS = 20  # classes that a line names


class Thresholds(Protocol):
    """examine.faults of params.yaml."""

    dark: float
    bright: float
    range: float
    blurry: float
    information: float
    aspect: float
    size: float


class Look(NamedTuple):
    """What one image looks like. is_constant: all pixels have one colour. is_grey: red, green and blue are equal everywhere.
    dark, bright: 99th and 5th percentile of luma, 0 to 1. range: between the 1st and 99th percentile, 0 to 255. sharpness: 0 or
    more. information: 0 to 1."""

    is_constant: bool
    is_grey: bool
    dark: float
    bright: float
    range: float
    sharpness: float
    information: float


def describe_looks(block: np.ndarray) -> list[Look]:
    """block: uint8 (n, h, w, 3), RGB; many images at a time take half the time per image.

    sharpness: the standard deviation of the edges divided by that of grey, which counts for 1 or more. information: a tenth of
    the entropy, in bits, as cleanvision has it: of three channels, log2(3) bits above that of grey.
    """
    grey = np.stack([np.asarray(Image.fromarray(pixels).convert("L")) for pixels in block])
    counts = _count_shades(grey)
    total = counts[0].sum()
    cumulated = np.cumsum(counts, axis=1)
    first, fifth, last = ((cumulated < total * part).sum(axis=1) for part in _PERCENTILES)
    shares = counts / total
    entropy = _CHANNELS - (shares * np.log2(np.where(counts > 0, shares, 1))).sum(axis=1)
    deviation = np.sqrt(np.maximum(shares @ _SQUARES - (shares @ _VALUES) ** 2, 1))
    columns = (
        _test_each((counts > 0).sum(axis=1) == 1, block, lambda pixels: pixels == pixels[0, 0]),
        _test_each(_is_grey(block[:, :: max(1, block.shape[1] // 4)]), block, lambda pixels: pixels[..., :1] == pixels),
        (last / 255).round(4),
        (fifth / 255).round(4),
        last - first,
        (_measure_edges(grey) / deviation).round(4),
        np.minimum(1, _ENTROPY_SCALE * entropy).round(4),
    )
    return [Look(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _is_grey(block: np.ndarray) -> np.ndarray:
    """bool (n,). Of a few rows, it tells colour in most images, without a look at all pixels."""
    return (block[..., :1] == block).all(axis=(1, 2, 3))


def _test_each(maybe: np.ndarray, block: np.ndarray, test: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """bool (n,): whether the test holds everywhere in an image, of those that it may hold for."""
    return np.array([bool(can) and bool(test(pixels).all()) for can, pixels in zip(maybe, block, strict=True)])


def _count_shades(grey: np.ndarray) -> np.ndarray:
    """int64 (n, 256): how many pixels of each image have each value."""
    places = grey.reshape(len(grey), -1) + (256 * np.arange(len(grey)))[:, None]
    return np.bincount(places.ravel(), minlength=256 * len(grey)).reshape(-1, 256)


def _measure_edges(grey: np.ndarray) -> np.ndarray:
    """float (n,): the standard deviation of Pillow's FIND_EDGES inside the margin, in about 64 rows. grey: uint8 (n, h, w)."""
    if min(grey.shape[1:]) < 3:
        return np.full(len(grey), 255.0)  # a line: nothing can be said
    step = max(1, grey.shape[1] // _EDGE_ROWS)
    rows = grey.astype(np.int16)
    middle = rows[:, 1:-1:step]
    sums = rows[:, :-2:step] + middle + rows[:, 2::step]
    edges = 9 * middle[..., 1:-1] - (sums[..., :-2] + sums[..., 1:-1] + sums[..., 2:])
    return np.clip(edges, 0, 255, out=edges).std(axis=(1, 2), dtype=np.float32)


def cut_bars(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """The part of a letterboxed square that shows the image, of which width and height are the original size."""
    side = len(pixels)
    rows, columns = (max(1, round(side * length / max(width, height))) for length in (height, width))
    top, left = round((side - rows) * 0.5), round((side - columns) * 0.5)  # as ImageOps.pad centres
    return pixels[top : top + rows, left : left + columns]


def find_faults(
    images: pd.DataFrame, looks: pd.DataFrame, manifest: pd.DataFrame, near: pd.DataFrame, limits: Thresholds
) -> pd.DataFrame:
    """FAULT_COLUMNS, sorted by fault and name; an image may have several.

    images: name, label, width, height (pixels). looks: the fields of Look, row by row as images. manifest: image_id, name,
    label. near: name, label, similarity, of images of test and val that are nearly the same as one of train.
    """
    table = pd.concat([images[["name", "label", "width", "height"]], looks], axis=1)
    found: list[pd.DataFrame] = [*_judge_looks(table, limits), *_judge_shapes(table, limits), _find_copies(manifest)]
    found.append(near[["name", "label"]].assign(fault="near duplicate", value=near["similarity"]))
    faults = pd.concat([part for part in found if len(part)] or [pd.DataFrame(columns=FAULT_COLUMNS)])
    return faults[FAULT_COLUMNS].sort_values(["fault", "name"], ignore_index=True)


def _judge_looks(table: pd.DataFrame, limits: Thresholds) -> Iterator[pd.DataFrame]:
    """A constant image is nothing but that; of the others, each fault on its own."""
    constant = table["is_constant"]
    yield _list(table, constant, "constant", table["dark"])
    yield _list(table, ~constant & (table["dark"] <= limits.dark), "dark", table["dark"])
    yield _list(table, ~constant & (table["bright"] >= limits.bright), "bright", table["bright"])
    yield _list(table, ~constant & (table["range"] <= limits.range), "small range", table["range"])
    yield _list(table, ~constant & (table["sharpness"] <= limits.blurry), "blurry", table["sharpness"])
    low = ~constant & (table["information"] <= limits.information)
    yield _list(table, low, "low information", table["information"])
    grey = table["is_grey"] & ~constant
    if grey.mean() < 0.5:  # among colour
        yield _list(table, grey, "grey", pd.Series(1.0, table.index))


def _judge_shapes(table: pd.DataFrame, limits: Thresholds) -> Iterator[pd.DataFrame]:
    width, height = table["width"].astype(float), table["height"].astype(float)
    yield _judge_ratio(table, width / height, "odd aspect", limits.aspect)
    yield _judge_ratio(table, (width * height) ** 0.5, "odd size", limits.size)


def _judge_ratio(table: pd.DataFrame, values: pd.Series, fault: str, most: float) -> pd.DataFrame:
    """Images whose value is `most` times the median of their class, or the other way round."""
    ratio = values / values.groupby(table["label"]).transform("median")
    return _list(table, (ratio >= most) | (ratio <= 1 / most), fault, ratio.round(4))


def _list(table: pd.DataFrame, chosen: pd.Series, fault: str, value: pd.Series) -> pd.DataFrame:
    return table.loc[chosen, ["name", "label"]].assign(fault=fault, value=value[chosen].astype(float))


def _find_copies(manifest: pd.DataFrame) -> pd.DataFrame:
    """Value: how many files have these bytes."""
    count = manifest.groupby("image_id")["name"].transform("size")
    return _list(manifest, count > 1, "exact duplicate", count)


def describe_faults(faults: pd.DataFrame) -> dict[str, str]:
    """Each fault's images per class, in words, the most frequent fault first: {"dark": "12 images (cat 10, dog 2)"}."""
    return {
        str(fault): f"{len(part):,} image{'s' * (len(part) != 1)} ({', '.join(_count_labels(part['label']))})"
        for fault, part in sorted(faults.groupby("fault"), key=lambda pair: -len(pair[1]))
    }


def _count_labels(labels: pd.Series) -> list[str]:
    counts = sorted(labels.value_counts().items(), key=lambda pair: (-pair[1], str(pair[0])))
    more = [f"and {len(counts) - _LABELS} more classes"] if len(counts) > _LABELS else []
    return [f"{label} {count:,}" for label, count in counts[:_LABELS]] + more
