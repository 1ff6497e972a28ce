import numpy as np
import pandas as pd

from pipeline.data.leaks import LEAKS_COLUMNS, describe_leaks, find_leaks
from pipeline.data.near_copies import NearCopies
from pipeline.data.splits import assign_splits

Row = tuple[str, str, str]


def make_manifest(*rows: Row) -> pd.DataFrame:
    """rows: name, source_split, content. The class is the first letter of the name."""
    table = pd.DataFrame(rows, columns=["name", "source_split", "image_id"])
    return table.assign(label=table["name"].str[0])


# All three splits, so that none is drawn.
OTHERS: tuple[Row, ...] = (("a9", "train", "9"), ("b9", "val", "8"), ("c9", "test", "7"))


def near(*pairs: tuple[int, int, float]) -> NearCopies:
    one, other, similarity = zip(*pairs, strict=True)
    return NearCopies(np.array(one), np.array(other), np.array(similarity))


def find(*rows: Row, pairs: NearCopies | None = None, groups: list[str] | None = None) -> list[list[str]]:
    manifest = make_manifest(*rows, *OTHERS)
    names = None if groups is None else pd.Series([*groups, "x", "y", "z"])
    split = assign_splits(manifest, test_fraction=0.2, val_fraction=0.2, seed=1)
    leaks = find_leaks(manifest, split, pairs, names)
    assert list(leaks.columns) == LEAKS_COLUMNS
    return leaks[["name", "split", "kind", "train_name", "similarity"]].to_numpy().tolist()


def test_without_leaks_there_is_no_row():
    assert find(("a1", "train", "1"), ("a2", "test", "2")) == []


def test_a_copy_counts_though_it_is_left_out_of_train():
    found = find(("a1", "train", "1"), ("b1", "test", "1"), ("a2", "train", "2"), ("c2", "val", "2"))
    assert found == [["b1", "test", "copy", "a1", ""], ["c2", "val", "copy", "a2", ""]]


def test_copies_between_val_and_test_are_none_of_train():
    assert find(("a1", "val", "1"), ("b1", "test", "1")) == []


def test_the_most_similar_near_copy_is_named():
    rows = [("a1", "train", "1"), ("a2", "train", "2"), ("b3", "test", "3"), ("b4", "val", "4")]
    found = find(*rows, pairs=near((0, 2, 0.9), (1, 2, 0.95), (0, 3, 0.86), (2, 3, 0.99)))
    assert found == [["b3", "test", "near", "a2", "0.9500"], ["b4", "val", "near", "a1", "0.8600"]]


def test_copies_of_a_near_copy_are_near_copies():
    rows = [("a1", "train", "1"), ("b2", "test", "2"), ("b3", "test", "2")]
    found = find(*rows, pairs=near((0, 1, 0.9)))
    assert [row[0] for row in found] == ["b2", "b3"]


def test_near_copies_within_a_split_are_no_leak():
    rows = [("a1", "train", "1"), ("a2", "train", "2"), ("b3", "test", "3"), ("b4", "test", "4")]
    assert find(*rows, pairs=near((0, 1, 0.9), (2, 3, 0.9))) == []


def test_images_of_one_group_in_two_splits_are_a_leak():
    rows = [("a1", "train", "1"), ("b2", "test", "2"), ("b3", "val", "3"), ("c4", "test", "4")]
    assert find(*rows, groups=["ann", "ann", "bob", "carl"]) == [["b2", "test", "group", "a1", ""]]


def test_each_image_is_listed_once_as_the_worst_that_it_is():
    rows = [("a1", "train", "1"), ("b1", "test", "1"), ("a2", "train", "2")]
    found = find(*rows, pairs=near((0, 2, 0.9)), groups=["ann", "ann", "ann"])
    assert found == [["b1", "test", "copy", "a1", ""]]


def test_the_line_counts_them_by_split_and_kind():
    leaks = pd.DataFrame(
        [(f"t{i}", "test", kind) for i, kind in enumerate(["copy"] * 2 + ["near"])] + [("v", "val", "group")],
        columns=["name", "split", "kind"],
    )
    split = pd.Series(["train"] * 9 + ["test"] * 4 + ["val"] * 3)
    assert describe_leaks(leaks, split) == (
        "in train there is a copy of 2 and a near copy of 1 of 4 test images; an image of the group of 1 of 3 val images"
    )


def test_without_leaks_there_is_no_line():
    assert describe_leaks(pd.DataFrame(columns=LEAKS_COLUMNS), pd.Series(["train"])) == ""
