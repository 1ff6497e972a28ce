"""Looks at the data before any model does: counts, sizes, light, near duplicates across splits, and whether splits are alike.

Writes data/examination/: classes.csv (label, stage, split, images: found, kept and in each split), images.csv (a row an
image that is used), near_duplicates.csv (a row an image of test or val that has nearly the same picture in train), facts.json.
"""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency

from pipeline.config.reader import load_params
from pipeline.data.examination import NEAR_COLUMNS
from pipeline.data.manifest import load_manifest, save_table
from pipeline.data.near_duplicates import NUM_FEATURES, describe_outline, find_similar
from pipeline.data.raw import load_index
from pipeline.data.splits import SPLIT_NAMES
from pipeline.data.tfrecords import DatasetFacts, list_shards, load_dataset_facts, read_records
from pipeline.runtime.cli import run_verb
from pipeline.runtime.files import folder_aside
from pipeline.runtime.paths import EXAMINATION
from pipeline.runtime.processes import map_in_order
from pipeline.runtime.progress import progress_bar

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's conversion to grey


def examine() -> None:
    params = load_params()
    facts, manifest = load_dataset_facts(), load_manifest()
    images, outlines = read_images(facts, params.preprocess.num_workers)
    images = images.merge(manifest[["name", "width", "height", "mode"]], on="name", how="left", validate="1:1")
    near = pair_up(images, outlines, params.examine.near_duplicate)
    with folder_aside(EXAMINATION) as folder:
        save_table(count_classes(load_index(), manifest, facts), folder / "classes.csv")
        save_table(images, folder / "images.csv")
        save_table(near, folder / "near_duplicates.csv")
        content = compare_splits(facts.counts) | {"near_duplicate": params.examine.near_duplicate}
        (folder / "facts.json").write_text(json.dumps(content, indent=1) + "\n")
    print(f"{len(images):,} images; {len(near):,} of val and test have nearly the same picture in train")


def read_images(facts: DatasetFacts, num_workers: int | None) -> tuple[pd.DataFrame, np.ndarray]:
    """name, split, label, brightness, contrast, a row an image; and their outlines, float16 (n, NUM_FEATURES).

    brightness: mean luma, 0 to 255. contrast: distance between the 2nd and 98th percentile of luma, 0 to 255.
    """
    tasks = [(split, file, facts.image_size) for split in SPLIT_NAMES for file in list_shards(split)]
    total = sum(facts.num_images.values())
    tables, parts = [], [np.zeros((0, NUM_FEATURES), np.float16)]
    with progress_bar(total=total, desc="examine", unit=" images") as progress:
        for table, outlines in map_in_order(_read_shard, tasks, num_workers):
            tables.append(table)
            parts.append(outlines)
            progress.update(len(table))
    images = pd.concat(tables, ignore_index=True)
    images["label"] = images["label"].map(dict(enumerate(facts.class_names)))
    return images, np.concatenate(parts)


def _read_shard(task: tuple[str, str, int]) -> tuple[pd.DataFrame, np.ndarray]:
    split, file, image_size = task
    rows, outlines = [], []
    for record in read_records(file, image_size):
        luma = record.pixels @ _LUMA
        low, high = np.percentile(luma, (2, 98))
        rows.append((record.name, split, record.label, round(float(luma.mean()), 2), round(float(high - low), 2)))
        outlines.append(describe_outline(record.pixels))
    table = pd.DataFrame(rows, columns=["name", "split", "label", "brightness", "contrast"])
    return table, np.stack(outlines) if outlines else np.zeros((0, NUM_FEATURES), np.float16)


def pair_up(images: pd.DataFrame, outlines: np.ndarray, least: float) -> pd.DataFrame:
    """NEAR_COLUMNS: a row an image of test or val with its nearest of train, where they are nearly the same."""
    rows = list(_pairs(images, outlines, least))
    return pd.DataFrame(rows, columns=NEAR_COLUMNS).sort_values(
        ["similarity", "name"], ascending=[False, True], ignore_index=True
    )


def _pairs(images: pd.DataFrame, outlines: np.ndarray, least: float) -> Iterator[tuple[str, str, str, str, str, float]]:
    where = {split: np.flatnonzero((images["split"] == split).to_numpy()) for split in SPLIT_NAMES}
    names, labels = images["name"].to_numpy(), images["label"].to_numpy()
    for split in ("test", "val"):
        for row, other, similarity in find_similar(outlines[where[split]], outlines[where["train"]], least=least):
            a, b = where[split][row], where["train"][other]
            yield names[a], split, labels[a], names[b], labels[b], similarity


def count_classes(index: pd.DataFrame, manifest: pd.DataFrame, facts: DatasetFacts) -> pd.DataFrame:
    """label, stage, images: how many files the source has of each of its classes (found), how many images remain after
    pruning (kept), and how many are in each split. A class that is merged or dropped has no more after `found`."""
    counts = [("found", index["label"].value_counts()), ("kept", manifest["label"].value_counts())]
    counts += [(split, pd.Series(facts.counts[split])) for split in SPLIT_NAMES]
    rows = [(label, stage, int(n)) for stage, values in counts for label, n in sorted(values.items()) if label]
    return pd.DataFrame(rows, columns=["label", "stage", "images"])


def compare_splits(counts: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Whether train, val and test can share one distribution of classes: Pearson's chi-squared test of homogeneity.

    chi_squared, degrees_of_freedom, p; least_expected: the smallest expected count, below 5 the p-value is rough.
    """
    table = np.array([[counts[split][label] for label in counts["train"]] for split in SPLIT_NAMES])
    statistic, p, freedom, expected = chi2_contingency(table)
    return {
        "chi_squared": round(float(statistic), 4),
        "degrees_of_freedom": int(freedom),
        "p": round(float(p), 6),
        "least_expected": round(float(expected.min()), 2),
    }


if __name__ == "__main__":
    run_verb(examine, __doc__)
