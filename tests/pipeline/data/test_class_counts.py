import pandas as pd
import pytest
from scipy.stats import chi2

from pipeline.data.class_counts import compare_splits, count_classes

SPLITS = ("train", "val", "test")
COUNTS = {"train": {"cat": 50, "dog": 30}, "val": {"cat": 10, "dog": 10}, "test": {"cat": 5, "dog": 15}}


class TestCounts:
    def test_each_stage_has_a_row_per_class(self):
        counts = {"train": {"cat": 2, "dog": 0}, "val": {"cat": 0, "dog": 1}, "test": {"cat": 1, "dog": 0}}
        table = count_classes(pd.Series(["dog", "cat", "cat", "eel", "cat"]), pd.Series(["cat", "dog", "cat"]), counts)
        assert table.to_numpy().tolist() == [
            ["cat", "found", 3],
            ["dog", "found", 1],
            ["eel", "found", 1],
            ["cat", "kept", 2],
            ["dog", "kept", 1],
            ["cat", "train", 2],
            ["dog", "train", 0],
            ["cat", "val", 0],
            ["dog", "val", 1],
            ["cat", "test", 1],
            ["dog", "test", 0],
        ]

    def test_files_outside_class_folders_belong_to_no_class(self):
        counts = {split: {"cat": 1, "dog": 0} for split in SPLITS}
        table = count_classes(pd.Series(["cat", "", "dog"]), pd.Series(["cat", "dog"]), counts)
        assert set(table["label"]) == {"cat", "dog"}


class TestSplits:
    def test_are_compared_by_pearsons_chi_squared_test(self):
        found = compare_splits(COUNTS)
        # 65 of 120 images are cats: 43.33 are expected among 80 training images, 10.83 among 20 others
        cats, dogs = (80 * 65 / 120, 20 * 65 / 120, 20 * 65 / 120), (80 * 55 / 120, 20 * 55 / 120, 20 * 55 / 120)
        pairs = zip((50, 10, 5, 30, 10, 15), (*cats, *dogs), strict=True)
        statistic = sum((observed - expected) ** 2 / expected for observed, expected in pairs)
        assert found.chi_squared == pytest.approx(statistic, abs=1e-4)
        assert found.degrees_of_freedom == 2
        assert found.p == pytest.approx(chi2.sf(statistic, 2), abs=1e-6)
        assert found.least_expected == pytest.approx(min(dogs), abs=0.01)

    def test_the_order_of_the_classes_does_not_matter(self):
        assert compare_splits(COUNTS | {"test": {"dog": 15, "cat": 5}}) == compare_splits(COUNTS)

    def test_equal_proportions_are_homogeneous(self):
        found = compare_splits({part: {"cat": n, "dog": 2 * n} for part, n in zip(SPLITS, (80, 10, 10), strict=True)})
        assert (found.chi_squared, found.p) == (0, 1)

    def test_one_image_per_class_and_split_is_enough(self):
        assert compare_splits({split: {f"class {i}": 1 for i in range(5)} for split in SPLITS}).chi_squared == 0
