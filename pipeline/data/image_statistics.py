"""Brightness, contrast and outline of every image in data/tfrecords, measured on all cores."""

import numpy as np
import pandas as pd

from pipeline.data.near_duplicates import NUM_FEATURES, describe_outline
from pipeline.data.splits import SPLIT_NAMES
from pipeline.data.tfrecords import DatasetFacts, list_shards, read_records
from pipeline.runtime.processes import map_in_order
from pipeline.runtime.progress import progress_bar

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's conversion to grey
_COLUMNS = ["name", "split", "label", "brightness", "contrast"]


def measure_images(facts: DatasetFacts, num_workers: int | None) -> tuple[pd.DataFrame, np.ndarray]:
    """name, split, label, brightness, contrast, one row per image; and their outlines, float16 (n, NUM_FEATURES).

    brightness: mean luma, 0 to 255. contrast: distance between the 2nd and 98th percentile of luma, 0 to 255.
    """
    tasks = [(split, file, facts.image_size) for split in SPLIT_NAMES for file in list_shards(split)]
    total = sum(facts.num_images.values())
    tables, parts = [], [np.zeros((0, NUM_FEATURES), np.float16)]
    with progress_bar(total=total, desc="examine", unit=" images") as progress:
        for table, outlines in map_in_order(_measure_shard, tasks, num_workers):
            tables.append(table)
            parts.append(outlines)
            progress.update(len(table))
    images = pd.concat(tables, ignore_index=True)
    images["label"] = images["label"].map(dict(enumerate(facts.class_names)))
    return images, np.concatenate(parts)


def _measure_shard(task: tuple[str, str, int]) -> tuple[pd.DataFrame, np.ndarray]:
    split, file, image_size = task
    rows, outlines = [], []
    for record in read_records(file, image_size):
        luma = record.pixels @ _LUMA
        low, high = np.percentile(luma, (2, 98))
        rows.append((record.name, split, record.label, round(float(luma.mean()), 2), round(float(high - low), 2)))
        outlines.append(describe_outline(record.pixels))
    table = pd.DataFrame(rows, columns=_COLUMNS)
    return table, np.stack(outlines) if outlines else np.zeros((0, NUM_FEATURES), np.float16)
