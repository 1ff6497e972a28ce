from typing import Any

import pandas as pd
import pytest

from pipeline.report.experiment_tables import find_varied
from pipeline.report.experiments import Experiment
from pipeline.report.fold_tables import compare_folds, join_folds, join_mean_curves, summarize_settings
from tests.experiments import make_curves, make_experiment, make_folds


def join(runs: list[Experiment]) -> pd.DataFrame:
    return join_folds(runs, find_varied(runs))


class TestFolds:
    def cross(self, name: str, *accuracy: float, **changes: Any) -> Experiment:
        return make_experiment(name, folds={"optimized": make_folds(*accuracy)}, **changes)

    def test_settings_are_named_by_what_varies(self):
        table = join([self.cross("a", 0.5, 0.6, train__dropout=0.1), self.cross("b", 0.7, 0.8)])
        assert table[["experiment", "family", "setting", "fold", "accuracy"]].to_numpy().tolist() == [
            ["a", "optimized", "train.dropout=0.1", 1, 0.5],
            ["a", "optimized", "train.dropout=0.1", 2, 0.6],
            ["b", "optimized", "train.dropout=null", 1, 0.7],
            ["b", "optimized", "train.dropout=null", 2, 0.8],
        ]

    def test_a_single_setting_is_called_as_it_is(self):
        assert set(join([self.cross("a", 0.5, 0.6)])["setting"]) == {"as it is"}

    def test_without_any_there_is_an_empty_table(self):
        assert join([make_experiment("a")]).empty

    def test_the_same_setting_counts_once(self):
        """As where the workspace is an experiment, applied."""
        table = join([self.cross("a", 0.5, 0.6), self.cross("workspace", 0.5, 0.6)])
        assert table["experiment"].tolist() == ["a", "a"]

    def test_every_pair_of_settings_is_tested_the_better_one_first(self):
        accuracies = {0.1: (0.90, 0.80, 0.75, 0.90, 0.80), 0.2: (0.92, 0.84, 0.75, 0.96, 0.83), 0.3: (0.5,) * 5}
        rows = compare_folds(join([self.cross(str(d), *a, train__dropout=d) for d, a in accuracies.items()]))
        pairs = [(row["first"][-3:], row["second"][-3:]) for row in rows]
        assert pairs == [("0.2", "0.1"), ("0.1", "0.3"), ("0.2", "0.3")]
        # tests/pipeline/evaluation/test_cv_summary.py has this one by hand: 10 images of a fold to 40 that trained
        assert {key: rows[0][key] for key in ("family", "folds")} == {"family": "optimized", "folds": 5}
        assert (rows[0]["difference"], rows[0]["t"]) == pytest.approx((0.03, 2))
        assert rows[0]["p"] == pytest.approx(0.116117, abs=1e-6)

    def test_families_are_not_compared_with_each_other(self):
        folds = {"optimized": make_folds(0.5, 0.6), "linear_svm": make_folds(0.4, 0.6)}
        assert compare_folds(join([make_experiment("a", folds=folds)])) == []

    def test_one_common_fold_is_too_few_for_a_test(self):
        assert compare_folds(join([self.cross("a", 0.5, 0.6), self.cross("b", 0.5, train__seed=1)])) == []

    def test_common_folds_are_compared(self):
        rows = compare_folds(join([self.cross("a", 0.5, 0.7, 0.9), self.cross("b", 0.4, 0.5, train__seed=1)]))
        assert [row["folds"] for row in rows] == [2]
        assert rows[0]["difference"] == pytest.approx(0.15)

    @pytest.mark.parametrize(
        "changes", [{"crossval__seed": 1}, {"crossval__folds": [1, 2, 3, 4]}, {"data__source": "cifar10"}]
    )
    def test_folds_of_other_images_are_not_compared(self, changes):
        """The test is one for pairs: fold 1 must be the same images in both."""
        runs = [self.cross("a", 0.5, 0.6, 0.7), self.cross("b", 0.6, 0.6, 0.6, train__dropout=0.1, **changes)]
        assert compare_folds(join(runs)) == []

    def test_another_number_of_folds_is_another_setting(self):
        """Not more folds of the same."""
        runs = [self.cross("a", 0.5, 0.5), self.cross("b", 0.9, 0.9, 0.9, crossval__folds=[1, 2, 3, 4])]
        table = join(runs)
        assert table.groupby("setting")["accuracy"].agg(["count", "mean"]).to_dict("index") == {
            "crossval.folds=[1, 2, 3]": {"count": 2, "mean": 0.5},
            "crossval.folds=[1, 2, 3, 4]": {"count": 3, "mean": pytest.approx(0.9)},
        }

    def test_the_number_of_folds_of_those_that_have_none_does_not_matter(self):
        table = join([self.cross("a", 0.5, 0.5), make_experiment("b", crossval__folds=[1, 2])])
        assert set(table["setting"]) == {"as it is"}


class TestSummary:
    def test_every_setting_has_mean_and_spread(self):
        runs = [
            make_experiment(name, folds={"optimized": make_folds(*accuracy)}, train__dropout=dropout)
            for name, dropout, accuracy in (("a", 0.1, (0.7, 0.8, 0.9)), ("b", 0.2, (0.5, 0.5)))
        ]
        found = {
            row["setting"]: (row["folds"], row["accuracy_mean"], row["accuracy_sd"])
            for row in summarize_settings(join(runs))
        }
        assert found == {"train.dropout=0.1": (3, 0.8, 0.1), "train.dropout=0.2": (2, 0.5, 0)}

    def test_without_a_cross_validation_there_is_none(self):
        assert summarize_settings(join([make_experiment("a")])) == []


class TestMeanCurves:
    def join(self, runs: list[Experiment], curves: dict[str, dict[str, pd.DataFrame]]) -> list[list[Any]]:
        table = join_mean_curves(runs, find_varied(runs), curves)
        return table[["run", "epoch", "accuracy"]].to_numpy().tolist()

    def test_each_setting_is_a_run(self):
        runs = [make_experiment(name, folds={"optimized": make_folds(0.5)}, data__path=name) for name in "ab"]
        curves = {name: {"optimized": make_curves("optimized", i / 4)} for i, name in enumerate("ab", start=1)}
        assert self.join(runs, curves) == [["optimized: data.path=a", 1, 0.25], ["optimized: data.path=b", 1, 0.5]]

    def test_the_same_setting_counts_once(self):
        runs = [make_experiment(name, folds={"optimized": make_folds(0.5)}) for name in "ab"]
        curves = {name: {"optimized": make_curves("optimized", 0.5)} for name in "ab"}
        assert self.join(runs, curves) == [["optimized: as it is", 1, 0.5]]

    def test_without_curves_there_is_an_empty_table(self):
        assert self.join([make_experiment("a")], {}) == []
