import hashlib

import numpy as np
import pandas as pd
import pytest

from pipeline.data.splits import (
    DUPLICATES_COLUMNS,
    Grouping,
    assign_splits,
    check_splits,
    describe_left_out,
    find_duplicates,
)
from pipeline.runtime.errors import PipelineError


def make_manifest(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """rows: (label, source_split, content); each gets its own name."""
    table = [
        (hashlib.sha256(content.encode()).hexdigest(), f"{split}/{label}/{i:05d}.png", label, split)
        for i, (label, split, content) in enumerate(rows)
    ]
    return pd.DataFrame(table, columns=["image_id", "name", "label", "source_split"])


def make_class(label: str, count: int, split: str = "") -> list[tuple[str, str, str]]:
    return [(label, split, f"{label}-{split}-{i}") for i in range(count)]


def assign(manifest: pd.DataFrame, test: float = 0.2, val: float = 0.2, seed: int = 42) -> pd.Series:
    return assign_splits(manifest, test_fraction=test, val_fraction=val, seed=seed)


def check(manifest: pd.DataFrame, test: float = 0.2, val: float = 0.2, seed: int = 42) -> pd.Series:
    split = assign(manifest, test, val, seed)
    check_splits(manifest, split)
    return split


def by_name(manifest: pd.DataFrame, split: pd.Series) -> dict[str, str]:
    return dict(zip(manifest["name"], split, strict=True))


CATS_AND_DOGS = make_manifest(*make_class("cat", 2000), *make_class("dog", 1000))


class TestDraw:
    """A source without splits."""

    @pytest.mark.parametrize(("test", "val"), [(0.2, 0.2), (0.1, 0.5), (0.5, 0.1)])
    def test_fractions_hold_in_each_class_up_to_chance(self, test, val):
        split = assign(CATS_AND_DOGS, test, val)
        for _, part in split.groupby(CATS_AND_DOGS["label"]):
            for name, share in {"test": test, "val": (1 - test) * val, "train": (1 - test) * (1 - val)}.items():
                bound = 4 * np.sqrt(len(part) * share * (1 - share))
                assert abs((part == name).sum() - len(part) * share) < bound

    def test_the_seed_determines_the_draw(self):
        assert assign(CATS_AND_DOGS).equals(assign(CATS_AND_DOGS))
        assert not assign(CATS_AND_DOGS).equals(assign(CATS_AND_DOGS, seed=43))

    def test_adding_images_does_not_move_others(self):
        fewer = CATS_AND_DOGS.iloc[::3]
        assert by_name(fewer, assign(fewer)).items() <= by_name(CATS_AND_DOGS, assign(CATS_AND_DOGS)).items()

    def test_the_order_of_rows_does_not_matter(self):
        shuffled = CATS_AND_DOGS.sample(frac=1, random_state=0)
        assert by_name(shuffled, assign(shuffled)) == by_name(CATS_AND_DOGS, assign(CATS_AND_DOGS))

    def test_neither_name_nor_class_matters(self):
        renamed = CATS_AND_DOGS.assign(name="x" + CATS_AND_DOGS["name"], label="animal")
        assert assign(renamed).tolist() == assign(CATS_AND_DOGS).tolist()

    def test_a_larger_test_fraction_keeps_the_images_of_a_smaller_one(self):
        small, large = assign(CATS_AND_DOGS, test=0.1), assign(CATS_AND_DOGS, test=0.3)
        assert set(CATS_AND_DOGS.index[small == "test"]) < set(CATS_AND_DOGS.index[large == "test"])

    def test_identical_bytes_are_never_in_two_splits(self):
        rows = [(label, "", f"picture {i % 100}") for label in ("cat", "dog") for i in range(400)]
        manifest = make_manifest(*rows)
        split = assign(manifest)
        assert (split.groupby(manifest["image_id"]).nunique() == 1).all()
        assert set(split) == {"train", "val", "test"}


class TestSourceSplits:
    def test_are_kept_if_the_source_has_all_three(self):
        rows = [row for name in ("train", "val", "test") for row in make_class("cat", 50, name)]
        manifest = make_manifest(*rows)
        assert assign(manifest).tolist() == manifest["source_split"].tolist()

    def test_a_test_split_is_kept_and_val_is_drawn_from_train(self):
        manifest = make_manifest(*make_class("cat", 1000, "train"), *make_class("cat", 300, "test"))
        split = assign(manifest)
        assert ((split == "test") == (manifest["source_split"] == "test")).all()
        assert 140 < (split == "val").sum() < 260

    def test_a_val_split_is_kept_and_test_is_drawn_from_train(self):
        manifest = make_manifest(*make_class("cat", 1000, "train"), *make_class("cat", 300, "val"))
        split = assign(manifest)
        assert ((split == "val") == (manifest["source_split"] == "val")).all()
        assert 140 < (split == "test").sum() < 260

    def test_val_and_test_are_drawn_from_train_alone(self):
        assert set(assign(make_manifest(*make_class("cat", 1000, "train")))) == {"train", "val", "test"}

    @pytest.mark.parametrize(
        ("splits", "kept"),
        [
            (("train", "test"), "test"),
            (("train", "val"), "val"),
            (("val", "test"), "test"),
            (("train", "val", "test"), "test"),
        ],
    )
    def test_of_copies_those_in_test_stay_or_else_those_in_val(self, splits, kept):
        others = [row for name in ("train", "val", "test") for row in make_class("cat", 5, name)]
        manifest = make_manifest(*others, *(("cat", name, "twin") for name in splits))
        twins = assign(manifest)[len(others) :].tolist()
        assert twins == [name if name == kept else "" for name in splits]

    def test_copies_within_a_split_all_stay(self):
        others = [row for name in ("train", "val", "test") for row in make_class("cat", 5, name)]
        manifest = make_manifest(*others, ("cat", "train", "twin"), ("cat", "train", "twin"))
        assert assign(manifest)[len(others) :].tolist() == ["train", "train"]


class TestFindDuplicates:
    def find(self, *rows: tuple[str, str, str]) -> pd.DataFrame:
        others = [row for name in ("train", "val", "test") for row in make_class("eel", 5, name)]
        manifest = make_manifest(*others, *rows)
        return find_duplicates(manifest, assign(manifest))

    def test_without_copies_has_columns_but_no_rows(self):
        assert self.find().empty
        assert list(self.find().columns) == DUPLICATES_COLUMNS

    def test_lists_copies_next_to_each_other(self):
        table = self.find(*(("cat", "train", content) for content in ("a", "b", "a", "c", "b", "a")))
        assert len(table) == 5
        assert table["image_id"].is_monotonic_increasing
        assert set(table["note"]) == {""}

    def test_notes_which_copies_are_left_out_and_why(self):
        table = self.find(("cat", "train", "a"), ("cat", "test", "a"), ("cat", "val", "a"))
        notes = dict(zip(table["source_split"], zip(table["split"], table["note"], strict=True), strict=True))
        left_out = ("", "left out: its copy is in test")
        assert notes == {"train": left_out, "val": left_out, "test": ("test", "")}

    def test_notes_different_labels(self):
        table = self.find(("cat", "train", "a"), ("dog", "train", "a"), ("cat", "train", "b"), ("cat", "train", "b"))
        assert sorted(table["note"]) == ["", "", "labels differ", "labels differ"]

    def test_notes_both(self):
        table = self.find(("cat", "train", "a"), ("dog", "val", "a"))
        assert sorted(table["note"]) == ["labels differ", "labels differ; left out: its copy is in val"]


class TestCheckSplits:
    def refusal(self, *rows: tuple[str, str, str], **options: float) -> str:
        with pytest.raises(PipelineError) as caught:
            check(make_manifest(*rows), **options)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def test_passes_if_every_class_is_in_every_split(self):
        assert check(CATS_AND_DOGS).equals(assign(CATS_AND_DOGS))

    @pytest.mark.parametrize("count", [1, 2])
    def test_a_class_with_too_few_images_is_refused_with_their_number(self, count):
        line = self.refusal(*make_class("cat", 100), *make_class("polar bear", count))
        assert line.startswith("class 'polar bear' has no image in ")
        assert f"received {count} image(s) of it" in line

    def test_a_larger_fraction_is_advised_for_a_split_that_is_drawn(self):
        line = self.refusal(*make_class("cat", 500), *make_class("eel", 3), test=0.01, val=0.01)
        assert line.startswith("class 'eel' has no image in val")
        assert "or raise split.val_fraction" in line

    @pytest.mark.parametrize("images", [1, 2])
    def test_fewer_than_three_images_cannot_be_in_three_splits_whatever_the_fractions(self, images):
        line = self.refusal(*make_class("cat", 500), *make_class("eel", images), test=0.01, val=0.01)
        assert line.endswith("or -S prune.min_images_per_class=3, which leaves out every class of fewer")

    def test_no_fraction_is_advised_for_a_split_of_the_source(self):
        rows = [row for split in ("train", "val", "test") for row in make_class("cat", 5, split)]
        line = self.refusal(*rows, ("eel", "train", "one picture"))
        assert line.startswith("class 'eel' has no image in val")
        assert "_fraction" not in line

    def test_a_class_without_images_in_the_test_split_of_the_source_is_refused(self):
        rows = [*make_class("cat", 50, "train"), *make_class("cat", 50, "test"), *make_class("dog", 50, "train")]
        line = self.refusal(*rows)
        assert line.startswith("class 'dog' has no image in test")

    def test_a_class_whose_training_images_all_have_copies_in_test_is_refused(self):
        rows = [*make_class("cat", 50, "train"), *make_class("cat", 50, "test")]
        twins = [("dog", name, f"twin {i}") for name in ("train", "test") for i in range(20)]
        assert self.refusal(*rows, *twins).startswith("class 'dog' has no image in train")

    def test_the_number_of_further_cases_is_reported(self):
        assert "(and 3 more such)" in self.refusal(("cat", "", "a"), ("dog", "", "b"), seed=1)

    def test_that_all_of_train_has_copies_in_test_comes_first(self):
        twins = [
            (label, name, f"{label} {i}") for name in ("train", "test") for label in ("cat", "dog") for i in range(14)
        ]
        line = self.refusal(*twins)
        assert line.startswith("28 of 28 training images have a copy in test, and copies are left out of train: ")
        assert "data/duplicates.csv" in line
        assert "data.splits" in line

    def test_how_many_of_train_have_copies_in_test_is_said_where_a_class_is_lost_by_it(self):
        rows = [*make_class("cat", 50, "train"), *make_class("cat", 50, "test")]
        twins = [("dog", name, f"twin {i}") for name in ("train", "test") for i in range(20)]
        assert "20 of 70 training images have a copy in test; delete the copies" in self.refusal(*rows, *twins)

    def test_the_number_of_groups_of_the_class_is_reported(self):
        manifest = make_manifest(*make_class("cat", 50))
        grouping = Grouping("column", pd.Series(["ann"] * 25 + ["bob"] * 25))
        split = assign_splits(manifest, test_fraction=0.2, val_fraction=0.2, seed=1, grouping=grouping)
        with pytest.raises(PipelineError, match=r"Its images are 2 group\(s\), none of which is divided") as caught:
            check_splits(manifest, split, grouping)
        assert "\n" not in str(caught.value)

    def test_the_exact_draw_is_advised_where_it_helps(self):
        manifest = make_manifest(*make_class("cat", 50), *make_class("dog", 4))
        with pytest.raises(PipelineError, match=r"split\.method=exact"):
            check(manifest)
        split = assign_splits(manifest, test_fraction=0.2, val_fraction=0.2, seed=42, method="exact")
        check_splits(manifest, split, method="exact")
        assert split[manifest["label"] == "cat"].value_counts().to_dict() == {"train": 32, "test": 10, "val": 8}


class TestLeftOut:
    def describe(self, *rows: tuple[str, str, str]) -> str:
        manifest = make_manifest(
            *(row for name in ("train", "val", "test") for row in make_class("eel", 5, name)), *rows
        )
        return describe_left_out(manifest, assign(manifest))

    def test_without_copies_there_is_no_line(self):
        assert self.describe(("cat", "train", "a"), ("cat", "train", "a")) == ""

    def test_copies_are_counted_by_the_split_that_loses_them(self):
        rows = [("cat", name, content) for name, content in zip(("train", "test", "train", "val"), "aabb", strict=True)]
        assert self.describe(*rows) == "2 of 7 training images have a copy in test or val"
        assert self.describe(("cat", "val", "a"), ("cat", "test", "a")) == "1 of 6 val images have a copy in test"


class TestGroups:
    def group(self, rule: str, names: list[str]) -> Grouping:
        return Grouping(rule, pd.Series(names))

    def assign(self, manifest: pd.DataFrame, grouping: Grouping | None) -> pd.Series:
        return assign_splits(manifest, test_fraction=0.2, val_fraction=0.2, seed=42, grouping=grouping)

    def test_images_without_near_copies_are_where_they_would_be_without_groups(self):
        single = self.group("near", CATS_AND_DOGS["image_id"].tolist())
        assert self.assign(CATS_AND_DOGS, single).equals(assign(CATS_AND_DOGS))

    def test_near_copies_are_where_the_one_is_that_names_them(self):
        ids = CATS_AND_DOGS["image_id"].tolist()
        pairs = self.group("near", [ids[i - i % 2] for i in range(len(ids))])
        found = self.assign(CATS_AND_DOGS, pairs)
        assert found[1::2].tolist() == found[::2].tolist() == assign(CATS_AND_DOGS)[::2].tolist()

    @pytest.mark.parametrize("rule", ["near", "column"])
    @pytest.mark.parametrize("splits", [("",), ("train", "test"), ("train", "val")])
    def test_a_group_is_never_in_a_drawn_split_and_in_train(self, rule, splits):
        rows = [row for name in splits for row in make_class("cat", 200, name)]
        manifest = make_manifest(*rows)
        grouping = self.group(rule, [f"g{i % 40:03d}" for i in range(len(rows))])
        split = self.assign(manifest, grouping)
        drawn = {"test", "val"} - set(splits)
        for _, part in split.groupby(grouping.groups):
            assert not (set(part) & drawn and "train" in set(part))
        assert set(split) == {"train", "val", "test"}
        given = manifest["source_split"].isin(["test", "val"])
        assert (split[given] == manifest["source_split"][given]).all(), "the source's own splits are kept"

    def test_val_of_a_source_with_test_has_its_share_of_train(self):
        manifest = make_manifest(*make_class("cat", 500, "train"), *make_class("cat", 100, "test"))
        grouping = self.group("column", [f"g{i // 5}" for i in range(600)])
        assert (self.assign(manifest, grouping) == "val").sum() == pytest.approx(100, abs=5)

    @pytest.mark.parametrize("rule", ["near", "column"])
    def test_a_group_that_is_larger_than_a_split_stays_in_train_and_is_reported(self, rule):
        manifest = make_manifest(*make_class("cat", 400))
        grouping = self.group(rule, ["huge"] * 150 + [f"g{i}" for i in range(250)])
        assert set(self.assign(manifest, grouping)[:150]) == {"train"}
        [line] = grouping.list_large(manifest, test_fraction=0.2, val_fraction=0.2)
        assert "150 of 400 images, more than a whole split (64)" in line
        assert ("'huge'" if rule == "column" else "near copies that '/cat/00000.png' belongs to") in line

    def test_where_no_split_is_drawn_no_group_is_too_large(self):
        manifest = make_manifest(*(row for name in ("train", "val", "test") for row in make_class("cat", 50, name)))
        grouping = self.group("column", ["ann"] * 150)
        assert grouping.list_large(manifest, test_fraction=0.2, val_fraction=0.2) == []
        assert self.assign(manifest, grouping).tolist() == manifest["source_split"].tolist()
