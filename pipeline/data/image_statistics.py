"""Brightness, contrast, outline and look of every image in data/tfrecords, measured on all cores."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.config.types import Encoding
from pipeline.data.faults import Look, cut_bars, describe_looks
from pipeline.data.near_duplicates import NUM_FEATURES, describe_outline
from pipeline.data.pixel_values import Histogram, count_values
from pipeline.data.splits import SPLIT_NAMES
from pipeline.data.tfrecords import DatasetFacts, Record, list_shards, read_records
from pipeline.runtime.processes import Runner, in_chunks, map_in_order
from pipeline.runtime.progress import progress_bar

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's conversion to grey
_COLUMNS = ["name", "split", "label", "brightness", "contrast"]
_BLOCK_BYTES = 1 << 19  # pixels of the images that are described at a time: what fits a core's cache

Sizes = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Measurements:
    """images: name, split, label, brightness (mean luma, 0 to 255), contrast (distance between the 2nd and 98th percentile of
    luma, 0 to 255), one row per image. outlines: float16 (n, NUM_FEATURES). looks: the fields of Look. In the same order.
    values: split to its images, and how often each pixel value is in them, see `pipeline.data.pixel_values`."""

    images: pd.DataFrame
    outlines: np.ndarray
    looks: pd.DataFrame
    values: dict[str, tuple[int, Histogram]]


def measure_images(
    facts: DatasetFacts, num_workers: int | None, sizes: Sizes | None = None, *, runner: Runner | None = None
) -> Measurements:
    """sizes: width and height of each original by name. If it is given, looks leave out the bars of a letterbox."""
    boxes = sizes if facts.resize == "letterbox" else None
    tasks = [
        (split, file, facts.image_size, facts.encoding, boxes) for split in SPLIT_NAMES for file in list_shards(split)
    ]
    total = sum(facts.num_images.values())
    tables, looks, parts = [], [], [np.zeros((0, NUM_FEATURES), np.float16)]
    values = {split: (facts.num_images.get(split, 0), np.zeros(256, np.int64)) for split in SPLIT_NAMES}
    with progress_bar(total=total, desc="examine", unit=" images") as progress:
        found = map_in_order(
            _measure_shard, iter(tasks), num_workers, runner=runner, singles=lambda task: [(task[1], task)]
        )
        shards = zip(tasks, found, strict=True)
        for (split, *_), (table, outlines, look, counted) in shards:
            values[split] = values[split][0], values[split][1] + counted
            tables.append(table)
            parts.append(outlines)
            looks.append(look)
            progress.update(len(table))
    images = pd.concat(tables, ignore_index=True)
    images["label"] = images["label"].map(dict(enumerate(facts.class_names)))
    return Measurements(images, np.concatenate(parts), pd.concat(looks, ignore_index=True), values)


def _measure_shard(
    task: tuple[str, str, int, Encoding, Sizes | None],
) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame, Histogram]:
    split, file, image_size, encoding, sizes = task
    rows, outlines, looks, values = [], [], [], np.zeros(256, np.int64)
    for records in in_chunks(read_records(file, image_size, encoding), max(1, _BLOCK_BYTES // (3 * image_size**2))):
        for record in records:
            luma = record.pixels @ _LUMA
            rows.append((record.name, split, record.label, round(float(luma.mean()), 2), _measure_contrast(luma)))
            outlines.append(describe_outline(record.pixels))
            values += count_values(Image.fromarray(record.pixels))
        looks += _describe(records, sizes)
    table, look = pd.DataFrame(rows, columns=_COLUMNS), pd.DataFrame(looks, columns=Look._fields)
    return table, np.stack(outlines) if outlines else np.zeros((0, NUM_FEATURES), np.float16), look, values


def _describe(records: list[Record], sizes: Sizes | None) -> list[Look]:
    if sizes is None:
        return describe_looks(np.stack([record.pixels for record in records]))
    return [describe_looks(cut_bars(one.pixels, *sizes[one.name])[None])[0] for one in records]


def _measure_contrast(luma: np.ndarray) -> float:
    """The distance between the 2nd and 98th percentile, as np.percentile has it, in a third of its time."""
    places = np.array([0.02, 0.98]) * (luma.size - 1)
    below = places.astype(int)
    above = np.minimum(below + 1, luma.size - 1)
    ordered = np.partition(luma, [*below, *above], axis=None)
    low, high = ordered[below] + (ordered[above] - ordered[below]) * (places - below)
    return round(float(high - low), 2)
