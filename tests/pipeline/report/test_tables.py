from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.data.manifest import save_table
from pipeline.evaluation.calibration import make_reliability_table
from pipeline.evaluation.ensemble import ENSEMBLE
from pipeline.evaluation.metrics import make_class_table
from pipeline.evaluation.roc_pr import make_pr_table, make_roc_table
from pipeline.report.tables import (
    CURVE_COLUMNS,
    HEADLINES,
    SUMMARY_COLUMNS,
    choose_family,
    join_curves,
    join_tables,
    load_summary,
    make_comparison,
    make_summary,
    make_timings,
)
from pipeline.runtime.errors import PipelineError


def figures(**changes: Any) -> dict[str, Any]:
    names = [name for name in SUMMARY_COLUMNS if name != "family"]
    counts = {"parameters": 7, "trainable_parameters": 7, "best_epoch": 3, "model_bytes": 99}
    return dict.fromkeys(names, 0.5) | counts | {"verdict": "balanced"} | changes


def summarise(**families: dict[str, Any]) -> pd.DataFrame:
    return make_summary({family: figures(**changes) for family, changes in families.items()})


def mixed(**changes: Any) -> dict[str, Any]:
    """The figures of an ensemble: it has none of training, and no verdict."""
    lacking = ("train_accuracy", "train_loss", "verdict", "best_epoch")
    return {name: value for name, value in figures(**changes).items() if name not in lacking}


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
        column = SUMMARY_COLUMNS.index("best_epoch")
        rows = (tmp_path / "summary.csv").read_text().splitlines()
        assert [row.split(",")[column] for row in rows] == ["best_epoch", "", "7"]

    def test_one_family_is_enough(self):
        assert len(summarise(linear_svm={"best_epoch": None})) == 1

    def test_an_ensemble_takes_its_place_among_the_families(self):
        table = make_summary({"one": figures(), ENSEMBLE: mixed(test_accuracy=0.9)})
        assert table["family"].tolist() == [ENSEMBLE, "one"]
        row = table.iloc[0]
        assert (row["test_accuracy"], row["parameters"]) == (0.9, 7)
        assert row[["train_accuracy", "train_loss", "verdict", "best_epoch"]].isna().all()

    def test_counts_are_written_without_a_fraction(self, tmp_path):
        table = make_summary({"one": figures(), ENSEMBLE: mixed()})
        save_table(table, tmp_path / "summary.csv")
        header, *rows = [row.split(",") for row in (tmp_path / "summary.csv").read_text().splitlines()]
        written = {name: [row[header.index(name)] for row in rows] for name in header}
        assert written["family"] == [ENSEMBLE, "one"]
        assert written["parameters"] == written["trainable_parameters"] == ["7", "7"]
        assert written["model_bytes"] == ["99", "99"]
        assert written["best_epoch"] == ["", "3"]
        assert written["verdict"] == ["", "balanced"]

    @pytest.mark.parametrize("families", [["one"], ["one", "two"]])
    def test_what_is_not_defined_is_missing(self, families, tmp_path):
        table = summarise(**{family: {"test_roc_auc": None} for family in families})
        assert table["test_roc_auc"].isna().all()
        save_table(table, tmp_path / "summary.csv")
        assert load_summary(tmp_path / "summary.csv")["test_roc_auc"].isna().all()

    def test_one_undefined_figure_leaves_the_others_numbers(self):
        table = summarise(one={"test_roc_auc": None}, two={"test_roc_auc": 0.75})
        assert table["test_roc_auc"].dtype == np.float64
        assert table["test_roc_auc"].tolist()[1] == 0.75


class TestLoading:
    def save(self, folder: Any, **families: dict[str, Any]) -> Any:
        save_table(make_summary(families), folder / "summary.csv")
        return folder / "summary.csv"

    def test_what_was_saved_is_loaded(self, tmp_path):
        families = {"one": figures(), "linear_svm": figures(best_epoch=None), ENSEMBLE: mixed()}
        loaded = load_summary(self.save(tmp_path, **families))
        pd.testing.assert_frame_equal(loaded, make_summary(families), check_dtype=False)

    def test_the_choice_is_the_same(self, tmp_path):
        families = {"one": figures(val_loss=0.4), "two": figures(val_loss=0.3), ENSEMBLE: mixed(val_accuracy=0.9)}
        assert choose_family(load_summary(self.save(tmp_path, **families))) == "two"

    def test_where_it_is_not_there_one_is_told_what_to_do(self, tmp_path):
        with pytest.raises(PipelineError) as caught:
            load_summary(tmp_path / "summary.csv")
        assert str(caught.value) == (
            f"{tmp_path / 'summary.csv'} is not here: expected the report's comparison; "
            "run `dvc repro`, or name one with --family"
        )


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

    def test_an_ensemble_is_never_chosen(self):
        better = mixed(val_accuracy=0.9, val_loss=0.1, test_accuracy=0.9)
        assert choose_family(make_summary({ENSEMBLE: better, "one": figures()})) == "one"


class TestComparison:
    def test_it_has_three_rows_a_family(self):
        table = make_comparison(
            summarise(one={"train_accuracy": 0.9, "val_accuracy": 0.8, "test_accuracy": 0.7}, two={})
        )
        assert list(table.columns) == ["family", "split", "accuracy"]
        assert len(table) == 6
        one = table[table["family"] == "one"]
        assert dict(zip(one["split"], one["accuracy"], strict=True)) == {"train": 0.9, "val": 0.8, "test": 0.7}

    def test_an_ensemble_has_no_bars(self):
        table = make_comparison(make_summary({ENSEMBLE: mixed(), "one": figures()}))
        assert table["family"].tolist() == ["one"] * 3
        assert table["accuracy"].notna().all()


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


class TestJoining:
    LABELS, PROBABILITIES = np.array([0, 0, 1, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]])
    AFTER = 0.5 + (PROBABILITIES - 0.5) / 2  # as if calibrated

    def results(self, *families: str, labels: np.ndarray = LABELS) -> dict[str, SimpleNamespace]:
        """The tables that are joined, as each family has them."""
        pair, names = (labels, self.PROBABILITIES), ["NA", "007"]
        before, after = (make_reliability_table(labels, table) for table in (self.PROBABILITIES, self.AFTER))
        tables = {
            "roc": make_roc_table(*pair, names),
            "pr": make_pr_table(*pair, names),
            "classes": make_class_table(*pair, names),
            "reliability": pd.concat([before.assign(state="before"), after.assign(state="after")]),
        }
        return {family: SimpleNamespace(**tables) for family in families}

    def test_tables_of_all_families_stand_in_one(self):
        results = self.results("two", "one")
        table, single = join_tables(results, "classes"), results["one"].classes
        assert list(table.columns) == ["family", *single.columns]
        assert table.index.is_unique
        for family in ("two", "one"):
            own = table[table["family"] == family].drop(columns="family").reset_index(drop=True)
            pd.testing.assert_frame_equal(own, single)

    def test_of_reliability_there_is_what_calibration_has_left(self):
        table = join_tables(self.results("two", "one"), "reliability")
        after = make_reliability_table(self.LABELS, self.AFTER)
        assert list(table.columns) == ["family", *after.columns]
        for family in ("two", "one"):
            own = table[table["family"] == family].drop(columns="family").reset_index(drop=True)
            pd.testing.assert_frame_equal(own, after)

    @pytest.mark.parametrize(
        ("name", "columns"),
        [("roc", ["false_positive_rate", "true_positive_rate"]), ("pr", ["recall", "precision"])],
    )
    def test_of_curves_there_is_the_mean_over_classes_alone(self, name, columns):
        results = self.results("two", "one")
        table, single = join_tables(results, name), getattr(results["one"], name)
        mean = single[single["label"] == ""]
        assert list(table.columns) == ["family", *columns]
        assert table["family"].tolist() == ["two"] * len(mean) + ["one"] * len(mean)
        assert table[columns].to_numpy().tolist() == mean[columns].to_numpy().tolist() * 2

    @pytest.mark.parametrize("name", ["roc", "pr", "classes", "reliability"])
    @pytest.mark.parametrize("families", [["one"], ["one", "two"]])
    def test_test_images_of_one_class_have_no_curves(self, name, families):
        table = join_tables(self.results(*families, labels=np.zeros(4, int)), name)
        assert table.columns[0] == "family"
        assert table.empty == (name in ("roc", "pr"))

    def test_tables_are_left_as_they_are(self):
        results = self.results("one")
        join_tables(results, "classes")
        assert "family" not in results["one"].classes


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
