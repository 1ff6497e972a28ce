from typing import Any

import pandas as pd
import pytest

from stages.reporting.tables import (
    CURVE_COLUMNS,
    HEADLINES,
    SUMMARY_COLUMNS,
    choose_family,
    join_curves,
    make_comparison,
    make_summary,
    make_timings,
)


def figures(**changes: Any) -> dict[str, Any]:
    names = [name for name in SUMMARY_COLUMNS if name != "family"]
    return dict.fromkeys(names, 0.5) | {"parameters": 7, "trainable_parameters": 7, "best_epoch": 3} | changes


def summarise(**families: dict[str, Any]) -> pd.DataFrame:
    return make_summary({family: figures(**changes) for family, changes in families.items()})


class TestSummary:
    def test_the_highest_test_accuracy_comes_first(self):
        table = summarise(low={"test_accuracy": 0.1}, high={"test_accuracy": 0.9}, middle={"test_accuracy": 0.5})
        assert table["family"].tolist() == ["high", "middle", "low"]
        assert table.index.tolist() == [0, 1, 2]

    def test_equal_ones_come_in_alphabetical_order(self):
        assert summarise(cherry={}, apple={}, banana={})["family"].tolist() == ["apple", "banana", "cherry"]

    def test_it_has_a_column_for_each_figure_and_leaves_others_out(self):
        table = make_summary({"one": figures() | {"val_macro_f1": 0.1}})
        assert list(table.columns) == SUMMARY_COLUMNS
        assert set(HEADLINES) < set(SUMMARY_COLUMNS)

    def test_a_family_without_epochs_has_no_best_one(self, tmp_path):
        table = summarise(linear_svm={"best_epoch": None}, underfit={"best_epoch": 7, "test_accuracy": 0.1})
        table.to_csv(tmp_path / "summary.csv", index=False)
        rows = (tmp_path / "summary.csv").read_text().splitlines()
        assert [row.rpartition(",")[2] for row in rows[1:]] == ["", "7"]

    def test_one_family_is_enough(self):
        assert len(summarise(linear_svm={"best_epoch": None})) == 1


class TestChoice:
    def test_validation_decides_not_test(self):
        table = summarise(
            lucky={"test_accuracy": 0.9, "val_accuracy": 0.6}, solid={"test_accuracy": 0.8, "val_accuracy": 0.7}
        )
        assert choose_family(table) == "solid"

    def test_ties_are_broken_by_lower_validation_loss(self):
        table = summarise(unsure={"val_loss": 0.9, "test_loss": 0.1}, sure={"val_loss": 0.2, "test_loss": 0.9})
        assert choose_family(table) == "sure"

    def test_complete_ties_by_name(self):
        assert choose_family(summarise(zebra={}, ant={"test_accuracy": 0.1})) == "ant"

    def test_training_accuracy_has_no_say(self):
        table = summarise(parrot={"train_accuracy": 1.0}, solid={"train_accuracy": 0.7, "val_accuracy": 0.51})
        assert choose_family(table) == "solid"


class TestComparison:
    def test_it_has_three_rows_a_family(self):
        table = make_comparison(
            summarise(one={"train_accuracy": 0.9, "val_accuracy": 0.8, "test_accuracy": 0.7}, two={})
        )
        assert list(table.columns) == ["family", "split", "accuracy"]
        assert len(table) == 6
        one = table[table["family"] == "one"]
        assert dict(zip(one["split"], one["accuracy"], strict=True)) == {"train": 0.9, "val": 0.8, "test": 0.7}


class TestCurves:
    def curve(self, epochs: int) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "split": "val",
                "epoch": range(1, epochs + 1),
                "accuracy": 0.5,
                "loss": [1 / e for e in range(1, epochs + 1)],
            }
        )

    def test_curves_of_all_families_stand_in_one_table(self):
        table = join_curves({"short": self.curve(1), "long": self.curve(3)})
        assert list(table.columns) == CURVE_COLUMNS
        assert table["family"].tolist() == ["short", "long", "long", "long"]
        assert table["epoch"].tolist() == [1, 1, 2, 3]


class TestTimings:
    def test_they_have_a_row_a_family_in_the_order_asked_for(self):
        table = make_timings({"two": {"train_seconds": 2.5}, "one": {"train_seconds": 1.5}})
        assert table.to_numpy().tolist() == [["two", 2.5], ["one", 1.5]]
        assert list(table.columns) == ["family", "train_seconds"]

    @pytest.mark.parametrize("families", [["missing"], ["missing", "other"]])
    def test_a_family_that_was_never_timed_here_has_no_reading(self, families):
        table = make_timings({family: {} for family in families})
        assert table["family"].tolist() == families
        assert list(table.columns) == ["family"]

    def test_families_may_differ_in_what_was_timed(self):
        table = make_timings({"one": {"train_seconds": 1.5}, "missing": {}})
        assert table["train_seconds"].isna().tolist() == [False, True]
