"""The range of pixel values, per split: of the originals, and of what they become in data/tfrecords."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.data.deep_pixels import ValueRange
from pipeline.data.image import decode_original
from pipeline.data.kept_parts import NOTHING_KEPT, Parts
from pipeline.data.manifest import hash_uniform
from pipeline.data.raw import read_many
from pipeline.data.splits import SPLIT_NAMES
from pipeline.runtime.processes import Runner, map_in_order

PIXEL_COLUMNS = ["split", "stage", "images", "least", "greatest", "black", "white"]
_VALUES = 256
_BUDGET = 400_000_000  # pixels of originals that are decoded per split: some seconds
_CHUNK = 4_000_000  # pixels per message to a worker

Histogram = np.ndarray  # int64 (256,): how many values, of all channels, are 0, 1, … 255
_Place = tuple[str, int, int]  # shard, offset, size of an original
_Task = tuple[str, list[_Place], ValueRange]


def count_values(image: Image.Image) -> Histogram:
    """image: RGB."""
    return np.array(image.histogram(), np.int64).reshape(-1, _VALUES).sum(axis=0)


def measure_originals(
    table: pd.DataFrame,
    value_range: ValueRange,
    num_workers: int | None,
    budget: int = _BUDGET,
    *,
    runner: Runner | None = None,
    parts: Parts = NOTHING_KEPT,
) -> dict[str, tuple[int, Histogram]]:
    """Split to how many of its originals were decoded, and the values in them, as RGB, before they are resized.

    table: image_id, split, shard, offset, size, width, height; one row per image. value_range: see `choose_range`. budget:
    pixels; of a split that has more, those images are taken whose content's hash comes first, one at least. parts: where what
    is found in each split is kept; originals of splits that are there are not decoded again.
    """
    kept = {split: part for split in SPLIT_NAMES if (part := parts.load(f"originals-{split}")) is not None}
    found = {split: (0, np.zeros(_VALUES, np.int64)) for split in SPLIT_NAMES}
    found |= {split: (images, arrays["values"]) for split, (arrays, images) in kept.items()}
    sought: dict[str, int] = {}

    def make_tasks() -> Iterator[_Task]:  # a split at a time
        for split in (split for split in SPLIT_NAMES if split not in kept):
            chosen = _choose(table, split, budget)
            sought[split] = len(chosen)
            yield from ((split, places, value_range) for places in _cut(chosen))

    for split, count, histogram in map_in_order(
        _measure, make_tasks(), num_workers, runner=runner, singles=_list_singles
    ):
        images, values = found[split][0] + count, found[split][1] + histogram
        found[split] = images, values
        if images == sought[split]:
            parts.save(f"originals-{split}", {"values": values}, images)
    return found


def _choose(table: pd.DataFrame, split: str, budget: int) -> pd.DataFrame:
    part = table[table["split"] == split]
    part = part.iloc[np.argsort(hash_uniform(part["image_id"], "pixels"), kind="stable")]
    part = part.assign(pixels=part["width"].astype("int64") * part["height"].astype("int64"))
    before = part["pixels"].cumsum() - part["pixels"]
    return part[(before + part["pixels"] <= budget) | (before == 0)]


def _cut(part: pd.DataFrame) -> Iterable[list[_Place]]:
    numbers = part["pixels"].cumsum() // _CHUNK
    for _, rows in part.groupby(numbers, sort=True):
        yield list(zip(rows["shard"], rows["offset"].tolist(), rows["size"].tolist(), strict=True))


def _list_singles(task: _Task) -> list[tuple[str, _Task]]:
    split, places, value_range = task
    return [
        (f"{shard} at byte {offset}", (split, [(shard, offset, size)], value_range)) for shard, offset, size in places
    ]


def _measure(task: _Task) -> tuple[str, int, Histogram]:
    split, places, value_range = task
    histogram = np.zeros(_VALUES, np.int64)
    for data in read_many(places):
        histogram += count_values(decode_original(data, value_range=value_range))
    return split, len(places), histogram


def make_pixel_table(
    before: Mapping[str, tuple[int, Histogram]], after: Mapping[str, tuple[int, Histogram]]
) -> pd.DataFrame:
    """PIXEL_COLUMNS: a row for each split that has images, before and after they are resized. least, greatest: 0 to 255. black,
    white: share of values, of all channels, that are 0 and 255. before, after: split to images and their values."""
    rows = []
    for split in SPLIT_NAMES:
        for stage, found in (("before", before), ("after", after)):
            images, values = found[split]
            if values.any():
                present = np.flatnonzero(values)
                shares = (values[[0, -1]] / values.sum()).round(6).tolist()
                rows.append((split, stage, images, int(present[0]), int(present[-1]), *shares))
    return pd.DataFrame(rows, columns=PIXEL_COLUMNS)
