from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.data.manifest import save_table
from pipeline.evaluation.ensemble import ENSEMBLE
from pipeline.report.tables import (
    HEADLINES,
    SUMMARY_COLUMNS,
    choose_family,
    get_chosen,
    load_summary,
    make_comparison,
    make_summary,
    make_timings,
)
from pipeline.runtime.errors import PipelineError


def make_metrics(**changes: Any) -> dict[str, Any]:
    names = [name for name in SUMMARY_COLUMNS if name != "family"]
    counts = {"parameters": 7, "trainable_parameters": 7, "best_epoch": 3, "model_bytes": 99}
    return dict.fromkeys(names, 0.5) | counts | {"verdict": "balanced", "chosen": False} | changes


def summarize(**families: dict[str, Any]) -> pd.DataFrame:
    return make_summary({family: make_metrics(**changes) for family, changes in families.items()})


def make_ensemble(**changes: Any) -> dict[str, Any]:
    """The metrics of an ensemble: none of training, and no verdict."""
    lacking = ("train_accuracy", "train_loss", "verdict", "best_epoch")
    return {name: value for name, value in make_metrics(**changes).items() if name not in lacking}


class TestSummary:
    def test_the_highest_test_accuracy_comes_first(self):
        table = summarize(low={"test_accuracy": 0.1}, high={"test_accuracy": 0.9}, middle={"test_accuracy": 0.5})
        assert table["family"].tolist() == ["high", "middle", "low"]
        assert table.index.tolist() == [0, 1, 2]

    def test_equal_ones_come_in_alphabetical_order(self):
        assert summarize(cherry={}, apple={}, banana={})["family"].tolist() == ["apple", "banana", "cherry"]

    def test_it_has_its_columns_and_no_others(self):
        table = make_summary({"one": make_metrics() | {"test_macro_recall": 0.1}})
        assert list(table.columns) == SUMMARY_COLUMNS
        assert set(HEADLINES) < set(SUMMARY_COLUMNS)

    def test_a_family_without_epochs_has_no_best_one(self, tmp_path):
        table = summarize(linear_svm={"best_epoch": None}, underfit={"best_epoch": 7, "test_accuracy": 0.1})
        table.to_csv(tmp_path / "summary.csv", index=False)
        column = SUMMARY_COLUMNS.index("best_epoch")
        rows = (tmp_path / "summary.csv").read_text().splitlines()
        assert [row.split(",")[column] for row in rows] == ["best_epoch", "", "7"]

    def test_one_family_is_enough(self):
        assert len(summarize(linear_svm={"best_epoch": None})) == 1

    def test_an_ensemble_is_ranked_among_the_families(self):
        table = make_summary({"one": make_metrics(), ENSEMBLE: make_ensemble(test_accuracy=0.9)})
        assert table["family"].tolist() == [ENSEMBLE, "one"]
        row = table.iloc[0]
        assert (row["test_accuracy"], row["parameters"]) == (0.9, 7)
        assert row[["train_accuracy", "train_loss", "verdict", "best_epoch"]].isna().all()

    def test_counts_are_written_without_a_fraction(self, tmp_path):
        table = make_summary({"one": make_metrics(), ENSEMBLE: make_ensemble()})
        save_table(table, tmp_path / "summary.csv")
        header, *rows = [row.split(",") for row in (tmp_path / "summary.csv").read_text().splitlines()]
        written = {name: [row[header.index(name)] for row in rows] for name in header}
        assert written["family"] == [ENSEMBLE, "one"]
        assert written["parameters"] == written["trainable_parameters"] == ["7", "7"]
        assert written["model_bytes"] == ["99", "99"]
        assert written["best_epoch"] == ["", "3"]
        assert written["verdict"] == ["", "balanced"]

    @pytest.mark.parametrize("families", [["one"], ["one", "two"]])
    def test_what_is_undefined_is_missing(self, families, tmp_path):
        table = summarize(**{family: {"test_roc_auc": None} for family in families})
        assert table["test_roc_auc"].isna().all()
        save_table(table, tmp_path / "summary.csv")
        assert load_summary(tmp_path / "summary.csv")["test_roc_auc"].isna().all()

    def test_a_column_with_an_undefined_metric_remains_numeric(self):
        table = summarize(one={"test_roc_auc": None}, two={"test_roc_auc": 0.75})
        assert table["test_roc_auc"].dtype == np.float64
        assert table["test_roc_auc"].tolist()[1] == 0.75


class TestLoading:
    def save(self, folder: Any, **families: dict[str, Any]) -> Any:
        save_table(make_summary(families), folder / "summary.csv")
        return folder / "summary.csv"

    def test_what_was_saved_is_loaded(self, tmp_path):
        families = {"one": make_metrics(), "linear_svm": make_metrics(best_epoch=None), ENSEMBLE: make_ensemble()}
        loaded = load_summary(self.save(tmp_path, **families))
        pd.testing.assert_frame_equal(loaded, make_summary(families), check_dtype=False)

    def test_the_choice_is_the_same(self, tmp_path):
        families = {
            "one": make_metrics(val_loss=0.4),
            "two": make_metrics(val_loss=0.3),
            ENSEMBLE: make_ensemble(val_accuracy=0.9),
        }
        assert choose_family(load_summary(self.save(tmp_path, **families))) == "two"

    def test_where_there_is_none_the_error_says_what_to_do(self, tmp_path):
        with pytest.raises(PipelineError) as caught:
            load_summary(tmp_path / "summary.csv")
        assert str(caught.value) == (
            f"{tmp_path / 'summary.csv'} is not here: expected the report's comparison; "
            "run `dvc repro`, or name a family with --family"
        )


class TestChoice:
    def test_validation_accuracy_decides_not_test_accuracy(self):
        table = summarize(
            lucky={"test_accuracy": 0.9, "val_accuracy": 0.6}, solid={"test_accuracy": 0.8, "val_accuracy": 0.7}
        )
        assert choose_family(table) == "solid"

    def test_ties_are_broken_by_lower_validation_loss(self):
        table = summarize(unsure={"val_loss": 0.9, "test_loss": 0.1}, sure={"val_loss": 0.2, "test_loss": 0.9})
        assert choose_family(table) == "sure"

    def test_complete_ties_by_name(self):
        assert choose_family(summarize(zebra={}, ant={"test_accuracy": 0.1})) == "ant"

    def test_training_accuracy_does_not_matter(self):
        table = summarize(parrot={"train_accuracy": 1.0}, solid={"train_accuracy": 0.7, "val_accuracy": 0.51})
        assert choose_family(table) == "solid"

    def test_an_ensemble_is_never_chosen(self):
        better = make_ensemble(val_accuracy=0.9, val_loss=0.1, test_accuracy=0.9)
        assert choose_family(make_summary({ENSEMBLE: better, "one": make_metrics()})) == "one"

    @pytest.mark.parametrize(
        ("measure", "column", "better", "worse"),
        [
            ("balanced_accuracy", "val_balanced_accuracy", 0.7, 0.6),
            ("macro_f1", "val_macro_f1", 0.7, 0.6),
            ("roc_auc", "val_roc_auc", 0.7, 0.6),
            ("log_loss", "val_loss_calibrated", 0.2, 0.3),
            ("cost", "val_cost", 2.0, 3.0),
        ],
    )
    def test_another_measure_decides_if_it_is_named(self, measure, column, better, worse):
        families = {"accurate": {"val_accuracy": 0.9, column: worse}, "wanted": {"val_accuracy": 0.4, column: better}}
        rows = {name: make_metrics(**changes) for name, changes in families.items()}
        assert get_chosen(make_summary(rows, measure)) == "wanted"

    def test_the_table_names_the_chosen_family_to_whoever_reads_it(self, tmp_path):
        table = summarize(poor={"val_accuracy": 0.1}, solid={})
        save_table(table, tmp_path / "summary.csv")
        assert get_chosen(load_summary(tmp_path / "summary.csv")) == "solid"

    def test_a_table_of_before_it_did_is_refused(self):
        with pytest.raises(PipelineError, match="run `dvc repro report`"):
            get_chosen(summarize(one={}).drop(columns="chosen"))


class TestComparison:
    def test_it_has_three_rows_per_family(self):
        table = make_comparison(
            summarize(one={"train_accuracy": 0.9, "val_accuracy": 0.8, "test_accuracy": 0.7}, two={})
        )
        assert list(table.columns) == ["family", "split", "accuracy"]
        assert len(table) == 6
        one = table[table["family"] == "one"]
        assert dict(zip(one["split"], one["accuracy"], strict=True)) == {"train": 0.9, "val": 0.8, "test": 0.7}

    def test_an_ensemble_has_no_bars(self):
        table = make_comparison(make_summary({ENSEMBLE: make_ensemble(), "one": make_metrics()}))
        assert table["family"].tolist() == ["one"] * 3
        assert table["accuracy"].notna().all()


class TestTimings:
    def test_they_have_one_row_per_family_in_the_order_given(self):
        table = make_timings({"two": {"train_seconds": 2.5}, "one": {"train_seconds": 1.5}})
        assert table.to_numpy().tolist() == [["two", 2.5], ["one", 1.5]]
        assert list(table.columns) == ["family", "train_seconds"]

    @pytest.mark.parametrize("families", [["missing"], ["missing", "other"]])
    def test_a_family_that_was_never_timed_here_has_no_reading(self, families):
        table = make_timings({family: {} for family in families})
        assert table["family"].tolist() == families
        assert list(table.columns) == ["family"]

    def test_families_may_have_different_readings(self):
        table = make_timings({"one": {"train_seconds": 1.5}, "missing": {}})
        assert table["train_seconds"].isna().tolist() == [False, True]
