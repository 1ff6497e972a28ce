import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.exact_draw import draw_exact

FRACTIONS = {"test": 0.2, "val": 0.2}  # val: of the images that are not test


def hash_names(count: int, start: int = 0) -> list[str]:
    return [hashlib.sha256(str(i).encode()).hexdigest() for i in range(start, start + count)]


def draw(labels: list[str], groups: list[str], seed: int = 42, **fractions: float) -> pd.Series:
    return draw_exact(pd.Series(labels), pd.Series(groups), fractions or FRACTIONS, seed)


def count(split: pd.Series) -> tuple[int, int, int]:
    return tuple(int((split == name).sum()) for name in ("train", "val", "test"))


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (3, (1, 1, 1)),
        (4, (2, 1, 1)),
        (5, (3, 1, 1)),
        (10, (6, 2, 2)),
        (100, (64, 16, 20)),
        (5000, (3200, 800, 1000)),
    ],
)
def test_the_fractions_hold_exactly_and_three_images_fill_three_splits(images, expected):
    assert count(draw(["cat"] * images, hash_names(images))) == expected


def test_they_hold_in_each_class():
    labels = ["cat"] * 100 + ["dog"] * 10 + ["eel"] * 3
    split = draw(labels, hash_names(113))
    assert pd.crosstab(pd.Series(labels), split)[["train", "val", "test"]].to_numpy().tolist() == [
        [64, 16, 20],
        [6, 2, 2],
        [1, 1, 1],
    ]


def test_sixty_classes_of_ten_have_each_class_in_each_split():
    labels = [f"class {i % 60}" for i in range(600)]
    assert (pd.crosstab(pd.Series(labels), draw(labels, hash_names(600))) > 0).to_numpy().all()


def test_one_split_alone():
    assert count(draw(["cat"] * 50_000, hash_names(50_000), val=0.2)) == (40_000, 10_000, 0)


@pytest.mark.parametrize(
    ("classes", "val", "expected"),
    [
        ([2191, 2271, 2404, 2512, 2274, 2382], 0.2, (11_228, 2_806)),  # C: six classes of Intel scenes
        ([5000] * 10, 0.2, (40_000, 10_000)),  # D: CIFAR-10
        ([1795, 1418, 2633, 1586, 4134, 1229, 2230, 1547, 4098, 1583], 0.1764, (18_328, 3_925)),  # E: ten animals
        ([533, 533, 533, 533, 534], 0.2, (2_131, 535)),  # A: 2,666, each class rounded; the study has 2,133 and 533
    ],
    ids="CDEA",
)
def test_train_and_val_have_the_sizes_of_the_studies(classes, val, expected):
    labels = [str(number) for number, size in enumerate(classes) for _ in range(size)]
    assert count(draw(labels, hash_names(len(labels)), val=val))[:2] == expected


@pytest.mark.parametrize("images", [1, 2])
def test_fewer_than_three_images_leave_one_in_train(images):
    assert count(draw(["cat"] * images, hash_names(images)))[0] == 1


def test_the_order_does_not_matter_and_the_seed_does():
    labels, groups = ["cat", "dog"] * 50, hash_names(100)
    order = np.random.default_rng(0).permutation(100)
    split = draw(labels, groups)
    assert draw([labels[i] for i in order], [groups[i] for i in order]).tolist() == split[order].tolist()
    assert not draw(labels, groups, seed=1).equals(split)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    old=st.integers(1, 60),
    added=st.integers(1, 12),
    fractions=st.fixed_dictionaries({"val": st.floats(0.02, 0.7)}, optional={"test": st.floats(0.02, 0.7)}),
    seed=st.integers(0, 100),
)
def test_no_border_is_crossed_by_more_old_images_than_are_added(old, added, fractions, seed):
    """So k images more move at most k old ones where one split is drawn, as in the studies, and 2 k where two are."""
    fractions, groups = dict(sorted(fractions.items())), hash_names(old + added)
    before = draw(["cat"] * old, groups[:old], seed=seed, **fractions)
    after = draw(["cat"] * (old + added), groups, seed=seed, **fractions)[:old]
    for name in fractions:
        assert ((before == name) & (after != name)).sum() <= added
        assert ((before != name) & (after == name)).sum() <= added
    assert (before != after).sum() <= added * len(fractions)


def test_images_of_another_class_move_none():
    cats, dogs = hash_names(50), hash_names(30, start=50)
    before = draw(["cat"] * 50, cats)
    assert draw(["cat"] * 50 + ["dog"] * 30, cats + dogs)[:50].equals(before)


class TestGroups:
    @pytest.mark.parametrize("size", [2, 5, 10])
    def test_a_group_is_not_divided_and_the_sizes_are_right_to_half_of_one(self, size):
        groups = [name for name in hash_names(400 // size) for _ in range(size)]
        split = draw(["cat"] * 400, groups)
        assert (split.groupby(pd.Series(groups)).nunique() == 1).all()
        assert count(split) == pytest.approx((256, 64, 80), abs=size)

    def test_a_huge_group_stays_in_train_and_the_others_fill_the_splits(self):
        huge, rest = ["huge"] * 150, hash_names(100)
        split = draw(["cat"] * 250, huge + rest)
        assert set(split[:150]) == {"train"}
        assert count(split) == (160, 40, 50)

    def test_three_groups_fill_three_splits_whatever_their_sizes(self):
        split = draw(["cat"] * 60, ["a"] * 10 + ["b"] * 20 + ["c"] * 30)
        assert set(split) == {"train", "val", "test"}

    def test_a_group_of_two_classes_counts_for_the_one_that_has_more_of_it(self):
        labels = ["cat"] * 40 + ["dog"] * 41
        split = draw(labels, [*hash_names(40), *["shared"], *hash_names(40, start=40)])
        assert (pd.crosstab(pd.Series(labels), split) > 0).to_numpy().all()
