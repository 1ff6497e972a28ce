"""Images that belong together (copies, near copies, one patient's), and which split or fold each group goes to as a whole."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.data.manifest import hash_uniform
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import TFRECORDS
from pipeline.sources.inner_folders import find_inner_folders

GROUPS_FILE = "groups.csv"

Amounts = dict[Any, int]  # label to number of images


def group_by_pairs(image_ids: pd.Series, one: Iterable[int], other: Iterable[int]) -> pd.Series:
    """The group of each image: the smallest image_id of all that pairs connect, directly or not.

    one, other: positions of the images of each pair. Copies of an image, which have its id, are in its group.
    """
    codes, unique = pd.factorize(image_ids, sort=True)
    return pd.Series(unique[_join(len(unique), codes[list(one)], codes[list(other)])[codes]], index=image_ids.index)


def group_by_column(manifest: pd.DataFrame) -> pd.Series:
    """The group of each image: the first of the names in column `group` that images with the same bytes connect; its image_id
    if it has none. Raises PipelineError if no image has a group.

    manifest: image_id, and group, empty where an image has none.
    """
    if "group" not in manifest or not manifest["group"].any():
        raise PipelineError(
            "split.group is column, but no image has a group: expected a column of groups (of patients, cameras, videos) in "
            "the CSV file that data.labels names; received none: say which column it is by data.label_columns.group, or set "
            "split.group to exact or near"
        )
    # Names before ids, so that a copy without a group takes its twin's name.
    named = ("0" + manifest["group"]).where(manifest["group"] != "", "1" + manifest["image_id"])
    codes, unique = pd.factorize(named, sort=True)
    copies = manifest.groupby("image_id").ngroup().to_numpy()
    first = pd.Series(codes).groupby(copies).transform("first").to_numpy()
    joined = unique[_join(len(unique), codes, first)[codes]]
    return pd.Series([name[1:] for name in joined], index=manifest.index)


def name_groups(
    names: pd.Series, rule: str, pattern: str | None, labels: pd.Series, classes: Collection[str]
) -> pd.Series:
    """What the path of each image names as its group, empty where it names none. Raises PipelineError if none has one.

    rule: folder: see `find_inner_folders`; pattern: what a regular expression finds first in it: its groups, if it has some.
    labels: of the images. classes: names of folders that are classes, before these were merged.
    """
    if rule == "folder":
        found = find_inner_folders(names.tolist(), labels.tolist(), classes)
        expected = "pictures in folders inside or above those of the classes, as <class>/<patient>/1.jpg"
    else:
        expression = re.compile(str(pattern))
        found = [_read_match(expression.search(name)) for name in names]
        expected = f"split.group_pattern to find something in the paths of pictures; received {pattern!r}"
    if not any(found):
        raise PipelineError(
            f"split.group is {rule}, but no image has a group: expected {expected}; a path is {names.iloc[0]!r}"
        )
    return pd.Series(found, index=names.index, dtype="str")


def _read_match(match: re.Match[str] | None) -> str:
    return "" if match is None else "/".join(filter(None, match.groups())) if match.re.groups else match[0]


def _join(count: int, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """int (count,): for each number the smallest that pairs connect it with."""
    graph = coo_array((np.ones(len(one), bool), (one, other)), shape=(count, count))
    parts, part = connected_components(graph, directed=False)
    smallest = np.full(parts, count)
    np.minimum.at(smallest, part, np.arange(count))
    return smallest[part]


def draw_groups(labels: pd.Series, groups: pd.Series, fractions: Mapping[str, float], seed: int) -> pd.Series:
    """One of the names in `fractions`, or train, for each image: the same for a group.

    fractions: name to the share that it should have of the images of each class. Groups come in the order of a seeded hash of
    their names. Each goes to the emptiest of the splits that it brings nearer to their shares, else to train: a group that is
    too large for a split never goes there. Where a class would lack in a split, its smallest group goes there if train has
    another one.
    """
    counts = _count_labels(labels, groups)
    totals = labels.value_counts()
    wanted = {name: (totals * share).to_dict() for name, share in fractions.items()}
    filled = {name: dict.fromkeys(totals.index, 0) for name in fractions}
    order = sorted(counts, key=dict(zip(counts, hash_uniform(counts, f"group-{seed}"), strict=True)).__getitem__)
    split_of = dict.fromkeys(order, "train")
    for group in order:
        gains = {name: _gain(counts[group], wanted[name], filled[name]) for name in fractions}
        fitting = [name for name, gain in gains.items() if gain > 0]
        if fitting:
            split_of[group] = min(fitting, key=lambda name: _fullness(counts[group], wanted[name], filled[name]))
            _add(filled[split_of[group]], counts[group])
    _fill_gaps(split_of, counts, filled)
    return groups.map(split_of)


def _count_labels(labels: pd.Series, groups: pd.Series) -> dict[str, Amounts]:
    """The images of each group by label."""
    counts: dict[str, Amounts] = {}
    sizes = pd.DataFrame({"group": groups, "label": labels}).groupby(["group", "label"]).size().reset_index(name="size")
    for group, label, size in zip(sizes["group"], sizes["label"], sizes["size"], strict=True):
        counts.setdefault(group, {})[label] = int(size)
    return counts


def _gain(group: Amounts, wanted: dict[Any, float], filled: Amounts) -> float:
    """By how much a split's shares of the classes come nearer to those wanted."""
    return sum(
        (abs(wanted[label] - filled[label]) - abs(wanted[label] - filled[label] - count)) / wanted[label]
        for label, count in group.items()
    )


def _fullness(group: Amounts, wanted: Mapping[Any, float], filled: Amounts) -> float:
    """What part of its images of the group's classes a split has already."""
    return sum(filled[label] / wanted[label] * count for label, count in group.items()) / sum(group.values())


def _add(filled: Amounts, group: Amounts) -> None:
    for label, count in group.items():
        filled[label] += count


def _fill_gaps(split_of: dict[str, str], counts: dict[str, Amounts], filled: dict[str, Amounts]) -> None:
    """Moves the smallest possible groups from train to splits that lack a class, unless train would lack one then."""
    train = sorted((g for g, split in split_of.items() if split == "train"), key=lambda g: sum(counts[g].values()))
    having = Counter(label for group in train for label in counts[group])
    for name, present in filled.items():
        for label in present:
            fitting = (
                group
                for group in train
                if label in counts[group] and split_of[group] == "train" and all(having[c] > 1 for c in counts[group])
            )
            if present[label] == 0 and (chosen := next(fitting, None)) is not None:
                split_of[chosen] = name
                _add(present, counts[chosen])
                having.subtract(counts[chosen].keys())


def find_large(groups: pd.Series, limit: float) -> dict[str, int]:
    """Groups of more than `limit` images, and of more than one, with their numbers of images; the largest first."""
    sizes = groups.value_counts()
    return {str(name): int(size) for name, size in sizes.items() if size > max(1, limit)}


def balance_folds(
    labels: list[int], groups: list[str], *, num_folds: int, seed: int, class_names: list[str] | None = None
) -> np.ndarray:
    """int (n,), 0 to num_folds - 1: the fold of each image; a group is in one fold, and folds have about as many of each class.

    Large groups come first, those of about one size in the order of a seeded hash of their names; each goes to the fold that
    has least of its classes. Where a fold would lack a class then, groups of scarce classes come first, to folds that lack
    them. Raises PipelineError where a class has fewer groups than there are folds, and where a fold lacks one all the same.
    """
    counts = _count_labels(pd.Series(labels), pd.Series(groups))
    names = class_names or [f"number {label}" for label in range(max(labels) + 1)]
    totals = dict(sorted(Counter(labels).items()))
    for label in totals:
        found = sum(label in group for group in counts.values())
        if found < num_folds:
            raise PipelineError(
                f"crossval.folds: there are {num_folds}, but class {names[label]} has {found} groups of images in train and "
                "val: expected at most as many folds as the smallest class has groups (split.group)"
            )
    rank = dict(zip(counts, hash_uniform(counts, f"fold-{seed}"), strict=True))
    # Sizes by powers of two: else the sizes alone would decide, and the seed nothing.
    order = sorted(counts, key=lambda name: (-sum(counts[name].values()).bit_length(), rank[name]))
    fold_of, lacking = _place(order, counts, totals, num_folds)
    if lacking:
        num_groups = Counter(label for group in counts.values() for label in group)
        order.sort(key=lambda name: min(num_groups[label] for label in counts[name]))
        fold_of, lacking = _place(order, counts, totals, num_folds, num_groups)
    if lacking:
        raise PipelineError(
            f"crossval.folds: there are {num_folds}, and one would lack class {names[lacking[0]]}, whose groups of images hold "
            "other classes as well: expected a class in each fold; lower crossval.folds, or name smaller groups (split.group)"
        )
    return np.array([fold_of[group] for group in groups])


def _place(
    order: list[str], counts: dict[str, Amounts], totals: Amounts, num_folds: int, num_groups: Amounts | None = None
) -> tuple[dict[str, int], list[Any]]:
    """The fold of each group, and the classes that a fold lacks. num_groups: of each class; with it, a group goes to a fold
    that lacks its classes, the scarce ones above all."""
    filled = [dict.fromkeys(totals, 0) for _ in range(num_folds)]
    fold_of = {}

    def weigh(group: str, fold: int) -> tuple[float, float, int]:
        missing = (
            sum(1 / num_groups[label] for label in counts[group] if not filled[fold][label]) if num_groups else 0.0
        )
        return -missing, _fullness(counts[group], totals, filled[fold]), sum(filled[fold].values())

    for group in order:
        fold_of[group] = min(range(num_folds), key=lambda fold: weigh(group, fold))
        _add(filled[fold_of[group]], counts[group])
    return fold_of, [label for label in totals if not all(amounts[label] for amounts in filled)]


def save_groups(splits: pd.DataFrame, folder: Path) -> None:
    """Writes groups.csv (name, group) beside the TFRecords if splits.csv has groups, for the folds of cross-validation."""
    if "group" in splits:
        splits[["name", "group"]].to_csv(folder / GROUPS_FILE, index=False, lineterminator="\n")


def load_groups(folder: Path = TFRECORDS) -> dict[str, str] | None:
    """The group of each image by its name; None if images have no groups."""
    file = folder / GROUPS_FILE
    if not file.exists():
        return None
    table = pd.read_csv(file, dtype="str", keep_default_na=False)
    return dict(zip(table["name"], table["group"], strict=True))
