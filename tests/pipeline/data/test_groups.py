import numpy as np
import pandas as pd
import pytest

from pipeline.data.groups import (
    balance_folds,
    draw_groups,
    find_large,
    group_by_column,
    group_by_pairs,
    load_groups,
    save_groups,
)
from pipeline.runtime.errors import PipelineError

FRACTIONS = {"test": 0.2, "val": 0.16}


def make_groups(*groups: tuple[str, dict[str, int]]) -> tuple[pd.Series, pd.Series]:
    """Labels and group names of images. groups: name, and number of images by label."""
    rows = [(label, name) for name, counts in groups for label, count in counts.items() for _ in range(count)]
    table = pd.DataFrame(rows, columns=["label", "group"])
    return table["label"], table["group"]


def draw(*groups: tuple[str, dict[str, int]], seed: int = 42) -> dict[str, set[str]]:
    """Split to the names of its groups."""
    labels, names = make_groups(*groups)
    split = draw_groups(labels, names, FRACTIONS, seed)
    assert (split.groupby(names).nunique() == 1).all()
    return {name: set(names[split == name]) for name in ("train", "val", "test")}


class TestPairs:
    def group(self, ids: str, *pairs: tuple[int, int]) -> list[str]:
        return group_by_pairs(pd.Series(list(ids)), [a for a, _ in pairs], [b for _, b in pairs]).tolist()

    def test_without_pairs_each_image_is_its_own_group(self):
        assert self.group("cab") == ["c", "a", "b"]

    def test_a_group_has_the_smallest_of_its_ids(self):
        assert self.group("cabd", (0, 2)) == ["b", "a", "b", "d"]

    def test_pairs_connect_in_chains(self):
        assert self.group("edcba", (0, 1), (3, 4), (1, 3)) == ["a", "a", "c", "a", "a"]

    def test_copies_are_in_the_group_of_their_id(self):
        assert self.group("abba", (0, 1)) == ["a"] * 4


class TestColumn:
    def group(self, *rows: tuple[str, str]) -> list[str]:
        return group_by_column(pd.DataFrame(rows, columns=["image_id", "group"])).tolist()

    def test_images_have_the_group_of_the_column(self):
        assert self.group(("1", "ann"), ("2", "bob"), ("3", "ann")) == ["ann", "bob", "ann"]

    def test_an_image_without_a_group_is_its_own(self):
        assert self.group(("1", "ann"), ("2", ""), ("3", "")) == ["ann", "2", "3"]

    def test_copies_in_two_groups_join_them(self):
        rows = [("1", "bob"), ("2", "ann"), ("2", "bob"), ("3", "carl"), ("4", "ann")]
        assert self.group(*rows) == ["ann", "ann", "ann", "carl", "ann"]

    def test_a_copy_without_a_group_has_that_of_its_twin(self):
        assert self.group(("1", ""), ("1", "bob")) == ["bob", "bob"]

    @pytest.mark.parametrize("table", [{"image_id": ["1"]}, {"image_id": ["1", "2"], "group": ["", ""]}])
    def test_without_any_group_it_says_what_to_do(self, table):
        with pytest.raises(PipelineError, match=r"^split\.group is column, but no image has a group") as caught:
            group_by_column(pd.DataFrame(table))
        assert "data.label_columns.group" in str(caught.value)
        assert "\n" not in str(caught.value)


class TestDraw:
    @pytest.mark.parametrize("seed", range(5))
    def test_shares_hold_in_each_class(self, seed):
        random = np.random.default_rng(seed)
        groups = [(f"p{i}", {("cat", "dog")[i % 2]: int(random.integers(1, 9))}) for i in range(400)]
        labels, names = make_groups(*groups)
        split = draw_groups(labels, names, FRACTIONS, seed)
        for label in ("cat", "dog"):
            counts = split[labels == label].value_counts(normalize=True)
            assert counts["test"] == pytest.approx(0.2, abs=0.01)
            assert counts["val"] == pytest.approx(0.16, abs=0.01)

    @pytest.mark.parametrize("seed", range(5))
    def test_shares_hold_where_groups_have_several_classes(self, seed):
        random = np.random.default_rng(seed)
        groups = [(f"p{i}", {label: int(random.integers(1, 9)) for label in "abc"}) for i in range(60)]
        labels, names = make_groups(*groups)
        split = draw_groups(labels, names, FRACTIONS, seed)
        for label in "abc":
            counts = split[labels == label].value_counts(normalize=True)
            assert 0.15 < counts["test"] < 0.25
            assert 0.1 < counts["val"] < 0.22

    def test_the_seed_determines_the_draw(self):
        groups = [(f"p{i}", {"cat": 5}) for i in range(30)]
        assert draw(*groups) == draw(*groups)
        assert draw(*groups) != draw(*groups, seed=43)

    def test_the_order_of_images_does_not_matter(self):
        groups = [(f"p{i}", {"cat": 1 + i % 4, "dog": i % 3}) for i in range(40)]
        assert draw(*groups) == draw(*groups[::-1])

    @pytest.mark.parametrize("seed", range(8))
    def test_a_group_that_is_larger_than_a_split_stays_in_train(self, seed):
        small = [(f"p{i}", {"cat": 10}) for i in range(4)]
        assert "huge" in draw(("huge", {"cat": 60}), *small, seed=seed)["train"]

    @pytest.mark.parametrize("seed", range(8))
    def test_each_split_has_a_group_if_there_are_three(self, seed):
        found = draw(*((name, {"cat": 20, "dog": 20}) for name in "abc"), seed=seed)
        assert {len(names) for names in found.values()} == {1}

    @pytest.mark.parametrize("seed", range(8))
    def test_a_rare_class_with_three_groups_is_in_each_split(self, seed):
        groups = [(f"p{i}", {"cat": 10}) for i in range(30)] + [(f"r{i}", {"cat": 10, "rare": 1}) for i in range(3)]
        found = draw(*groups, seed=seed)
        assert all(any(name.startswith("r") for name in names) for names in found.values())

    def test_train_keeps_a_class_of_one_group(self):
        found = draw(("only", {"rare": 2}), *((f"p{i}", {"cat": 5}) for i in range(20)))
        assert "only" in found["train"]

    def test_a_further_group_moves_few(self):
        groups = [(f"p{i}", {"cat": 5}) for i in range(200)]
        before, after = draw(*groups), draw(*groups, ("new", {"cat": 5}))
        stayed = sum(len(before[name] & after[name]) for name in before)
        assert stayed > 140

    def test_a_hundred_thousand_groups_are_no_trouble(self):
        names = pd.Series([f"p{i}" for i in range(100_000)])
        split = draw_groups(names.str[-1], names, FRACTIONS, 1)
        assert (split == "test").sum() == pytest.approx(20_000, abs=20)


def test_large_groups_are_found_largest_first():
    groups = pd.Series(["a"] * 5 + ["b"] * 9 + ["c"] * 4 + ["d"])
    assert find_large(groups, 4) == {"b": 9, "a": 5}
    assert find_large(groups, 0.5) == {"b": 9, "a": 5, "c": 4}, "a single image is no group"


class TestFolds:
    def balance(self, *groups: tuple[str, dict[int, int]], num_folds: int = 5, seed: int = 42) -> pd.DataFrame:
        labels, names = make_groups(*groups)
        table = pd.DataFrame({"label": labels, "group": names})
        return table.assign(fold=balance_folds(labels.tolist(), names.tolist(), num_folds=num_folds, seed=seed))

    @pytest.mark.parametrize("seed", range(5))
    def test_groups_keep_together_and_classes_are_balanced(self, seed):
        random = np.random.default_rng(seed)
        groups = [(f"p{i}", {label: int(random.integers(1, 7)) for label in (0, 1)}) for i in range(80)]
        table = self.balance(*groups, seed=seed)
        assert (table.groupby("group")["fold"].nunique() == 1).all()
        for _, part in table.groupby("label"):
            sizes = part["fold"].value_counts()
            assert len(sizes) == 5
            assert sizes.max() < 1.25 * sizes.min()

    def test_a_scarce_class_is_in_every_fold(self):
        """Sizes alone would put both groups with class 0 beside each other, against the large one."""
        table = self.balance(("p0", {1: 500}), ("p1", {0: 1, 1: 100}), ("p2", {0: 1, 1: 100}), num_folds=2)
        assert (table.groupby("label")["fold"].nunique() == 2).all()

    @pytest.mark.parametrize("seed", range(60))
    def test_no_fold_lacks_a_class_that_has_groups_of_its_own(self, seed):
        random = np.random.default_rng(seed)
        sizes = iter(random.integers(1, 30, 99).tolist())
        several = [random.choice(4, random.integers(1, 4), replace=False).tolist() for _ in range(9)]
        classes = [*several, *([label] for label in range(4) for _ in range(2))]
        groups = [(f"p{number}", {label: next(sizes) for label in labels}) for number, labels in enumerate(classes)]
        table = self.balance(*groups, num_folds=2, seed=seed)
        assert (table.groupby("label")["fold"].nunique() == 2).all()

    def test_where_a_fold_must_lack_one_that_is_refused(self):
        """Two groups hold two classes each, and share one of them with a third."""
        groups = [("p1", {0: 2, 1: 2}), ("p2", {0: 2, 2: 2}), ("p3", {1: 2, 2: 2})]
        with pytest.raises(PipelineError, match=r"one would lack class number \d, .* lower crossval\.folds"):
            self.balance(*groups, num_folds=2)

    def test_single_images_give_folds_of_equal_size(self):
        sizes = self.balance(*((f"p{i}", {i % 3: 1}) for i in range(300)))["fold"].value_counts()
        assert sizes.max() - sizes.min() <= 1

    def test_the_seed_determines_the_folds(self):
        groups = [(f"p{i}", {0: 1 + i % 4}) for i in range(60)]
        assert self.balance(*groups).equals(self.balance(*groups))
        assert not self.balance(*groups).equals(self.balance(*groups, seed=43))

    def test_the_order_of_images_does_not_matter(self):
        groups = [(f"p{i}", {0: 1 + i % 4, 1: i % 2}) for i in range(60)]
        first, second = self.balance(*groups), self.balance(*groups[::-1])
        by_group = [table.drop_duplicates("group").set_index("group")["fold"].sort_index() for table in (first, second)]
        assert by_group[0].equals(by_group[1])

    def test_more_folds_than_groups_of_a_class_are_refused(self):
        labels, names = make_groups(*((f"p{i}", {0: 10}) for i in range(9)), *((f"q{i}", {1: 50}) for i in range(4)))
        with pytest.raises(PipelineError, match="but class eel has 4 groups of images in train and val"):
            balance_folds(labels.tolist(), names.tolist(), num_folds=5, seed=1, class_names=["cat", "eel"])


class TestFile:
    def test_groups_are_read_as_they_were_written(self, tmp_path):
        table = pd.DataFrame({"name": ["a.png", "b,c.png"], "split": "train", "group": ["007", "NA"]})
        save_groups(table, tmp_path)
        assert load_groups(tmp_path) == {"a.png": "007", "b,c.png": "NA"}

    def test_without_groups_there_is_no_file(self, tmp_path):
        save_groups(pd.DataFrame({"name": ["a.png"], "split": ["train"]}), tmp_path)
        assert list(tmp_path.iterdir()) == []
        assert load_groups(tmp_path) is None
