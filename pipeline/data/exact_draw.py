"""Splits of an exact size: within each class, images are ranked by a hash of their content, and the first n are taken."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pipeline.data.manifest import hash_uniform


def draw_exact(labels: pd.Series, groups: pd.Series, fractions: Mapping[str, float], seed: int) -> pd.Series:
    """train, or one of the names in `fractions`, for each image; a group is not divided.

    fractions: name to what it takes of each class's images that are in no earlier split, rounded, and at least one group while
    every other split can have one too: a class of three fills three splits. Groups count for the class that most of their
    images have. With groups, a split's size is right to half of its last group; a group of more than twice the size that is
    wanted stays in train.

    One image more in a class moves at most one old image across the border of each split: the ranks of the others stay in
    order, and the number that is taken grows by one at most.
    """
    units = _list_units(labels, groups)
    units["split"] = "train"
    for number, (name, fraction) in enumerate(fractions.items()):
        free = units[units["split"] == "train"]
        later = len(fractions) - number  # splits that need a group too, and train
        units.loc[_take_first(free, name, fraction, seed, later), "split"] = name
    return groups.map(units["split"])


def _list_units(labels: pd.Series, groups: pd.Series) -> pd.DataFrame:
    """label and size of each group, with its name as index; the label that most of its images have, of several the first."""
    table = pd.DataFrame({"group": groups.to_numpy(), "label": labels.to_numpy()})
    sizes = table.groupby(["group", "label"], sort=False).size().reset_index(name="size")
    sizes = sizes.sort_values(["group", "size", "label"], ascending=[True, False, True])
    first = sizes.drop_duplicates("group").set_index("group")
    return pd.DataFrame({"label": first["label"], "size": sizes.groupby("group", sort=False)["size"].sum()})


def _take_first(free: pd.DataFrame, name: str, fraction: float, seed: int, later: int) -> pd.Index:
    """The groups of one split: those of each class that come first by the hash of their names, until it is full."""
    ranked = free.assign(rank=hash_uniform(free.index, f"{name}-{seed}")).sort_values(["label", "rank"])
    by_label = ranked.groupby("label")["size"]
    wanted = np.floor(by_label.transform("sum") * fraction + 0.5)
    is_enough = by_label.transform("count") > later
    wanted = wanted.where(~is_enough, np.maximum(wanted, 1))
    smallest = by_label.transform("min")
    fits = (ranked["size"] <= np.maximum(2 * wanted, smallest)) & (wanted > 0)
    before = (ranked["size"] * fits).groupby(ranked["label"]).cumsum() - ranked["size"]
    is_first = fits & ~fits.groupby(ranked["label"]).cumsum().gt(1)
    # The last group is taken if more than half of it is wanted; train keeps one.
    taken = fits & ((before + ranked["size"] / 2 <= wanted) | is_first)
    return _leave_one(ranked, taken, later)


def _leave_one(ranked: pd.DataFrame, taken: pd.Series, later: int) -> pd.Index:
    """Gives back the last groups of a class where fewer than `later` would be left, as long as it keeps one."""
    left = (~taken).groupby(ranked["label"]).transform("sum")
    order = taken.groupby(ranked["label"]).cumsum()
    most = taken.groupby(ranked["label"]).transform("sum") - np.maximum(0, later - left)
    return ranked.index[taken & (order <= np.maximum(most, 1))]
