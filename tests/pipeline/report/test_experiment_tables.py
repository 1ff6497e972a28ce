from typing import Any

import pytest

from pipeline.report.experiment_tables import (
    find_varied,
    fold_seeds,
    get_best_runs,
    join_curves_of_runs,
    make_run_table,
    measure_effects,
)
from tests.experiments import make_curves, make_experiment, make_seeds


class TestVaried:
    def test_parameters_that_are_not_the_same_in_all_experiments_are_named(self):
        runs = [make_experiment("a", train__seed=1), make_experiment("b", train__seed=2, train__dropout=0.1)]
        assert find_varied(runs) == ["train.dropout", "train.seed"]

    def test_in_a_single_experiment_nothing_varies(self):
        assert find_varied([make_experiment("a", train__seed=1)]) == []

    def test_parameters_that_only_say_what_to_run_are_left_out(self):
        other = make_experiment("b", families=["underfit"], crossval__families=["underfit"], crossval__folds=[1, 2])
        assert find_varied([make_experiment("a"), other]) == []

    def test_lists_and_words_may_vary(self):
        runs = [make_experiment("a"), make_experiment("b", train__augment={"flip": "both"}, data__path="猫")]
        assert find_varied(runs) == ["data.path", "train.augment.flip"]

    def test_a_parameter_that_one_does_not_have_is_null_there(self):
        new = make_experiment("b", train__width=0.5)
        assert find_varied([make_experiment("a"), new]) == ["train.width"]
        assert find_varied([make_experiment("a"), make_experiment("b", train__width=None)]) == []


class TestRuns:
    def test_there_is_one_row_per_experiment_and_family_the_best_by_validation_first(self):
        runs = [
            make_experiment("a", {"optimized": 0.5, "linear_svm": 0.75}, train__dropout=0.1),
            make_experiment("b", {"optimized": 0.875}, train__dropout=None),
        ]
        table = make_run_table(runs)
        assert table.to_dict("records") == [
            {
                "experiment": experiment,
                "family": family,
                "val_accuracy": accuracy,
                "test_accuracy": pytest.approx(accuracy - 0.1),
                "test_macro_f1": pytest.approx(accuracy - 0.2),
                "train.dropout": dropout,
            }
            for experiment, family, accuracy, dropout in (
                ("b", "optimized", 0.875, "null"),
                ("a", "linear_svm", 0.75, "0.1"),
                ("a", "optimized", 0.5, "0.1"),
            )
        ]

    def test_runs_on_other_images_are_told_apart(self):
        sets = {"a": "digest 1", "b": "digest 2", "c": "digest 1", "d": None}
        runs = make_run_table([make_experiment(name, images=digest) for name, digest in sets.items()])
        assert dict(zip(runs["experiment"], runs["images"], strict=True)) == {
            "a": "set 1",
            "b": "set 2",
            "d": "–",  # not known
        }, "c is the same run as a"

    def test_runs_are_ranked_within_their_images_and_never_across(self):
        found = {"a": ("1", 0.5), "b": ("2", 0.9), "c": ("1", 0.7), "d": (None, 0.95), "e": ("2", 0.6)}
        runs = make_run_table(
            [
                make_experiment(name, {"optimized": accuracy}, images=images, train__dropout=accuracy)
                for name, (images, accuracy) in found.items()
            ]
        )
        assert runs["experiment"].tolist() == ["c", "a", "b", "e", "d"]
        assert fold_seeds(runs)["val_accuracy"].tolist() == [0.7, 0.5, 0.9, 0.6, 0.95]

    def test_of_more_than_nine_sets_the_tenth_comes_last(self):
        runs = make_run_table([make_experiment(str(number), images=str(number)) for number in range(11)])
        assert runs["images"].tolist() == [f"set {number}" for number in range(1, 12)]

    def test_nothing_is_said_of_images_where_all_that_are_known_are_the_same(self):
        runs = make_run_table(
            [make_experiment("a", images="1"), make_experiment("b", images="1"), make_experiment("c")]
        )
        assert "images" not in runs

    def test_the_ensemble_is_left_out(self):
        table = make_run_table([make_experiment("a", {"optimized": 0.5, "ensemble": 0.9})])
        assert table["family"].tolist() == ["optimized"]

    def test_the_workspace_is_left_out_where_it_is_an_applied_experiment(self):
        same = {"accuracy": {"optimized": 0.5}, "train__dropout": 0.1}
        other = make_experiment("other", {"optimized": 0.25})
        for order in (("workspace", "exp"), ("exp", "workspace")):
            table = make_run_table([other, *(make_experiment(name, **same) for name in order)])
            assert table["experiment"].tolist() == ["exp", "other"]

    @pytest.mark.parametrize("changes", [{"accuracy": {"optimized": 0.6}}, {"train__dropout": 0.2}])
    def test_a_workspace_that_differs_in_a_metric_or_a_parameter_stays(self, changes):
        same: dict[str, Any] = {"accuracy": {"optimized": 0.5}, "train__dropout": 0.1}
        table = make_run_table([make_experiment("exp", **same), make_experiment("workspace", **(same | changes))])
        assert set(table["experiment"]) == {"exp", "workspace"}

    def test_equally_good_ones_come_by_name(self):
        table = make_run_table([make_experiment(name, train__seed=i) for i, name in enumerate("cab")])
        assert table["experiment"].tolist() == ["a", "b", "c"]

    def test_values_are_text_as_in_params(self):
        runs = [
            make_experiment("a", data__path="yes", train__augment={"flip": True}),
            make_experiment("b", data__path=None, train__augment={"flip": [1, 2]}),
        ]
        table = make_run_table(runs).set_index("experiment")[["data.path", "train.augment.flip"]]
        assert table.loc["a"].tolist() == ["yes", "true"]
        assert table.loc["b"].tolist() == ["null", "[1, 2]"]


class TestSeeds:
    def test_runs_that_differ_only_in_the_seed_are_one_row_with_mean_and_standard_deviation(self):
        folded = fold_seeds(make_run_table(make_seeds()))
        found = folded.drop(columns=["test_macro_f1", "test_macro_f1_sd"]).astype(object)
        assert found.where(found.notna(), None).to_dict("records") == [
            {
                "family": family,
                "train.dropout": dropout,
                "n": n,
                "val_accuracy": accuracy,
                "val_accuracy_sd": deviation,
                "test_accuracy": pytest.approx(accuracy - 0.1),
                "test_accuracy_sd": deviation,
            }
            for family, dropout, n, accuracy, deviation in (
                ("optimized", "0.2", 1, 0.85, None),
                ("optimized", "0.1", 3, 0.8, 0.1),  # √((0.1² + 0 + 0.1²) / 2)
                ("linear_svm", "0.2", 1, 0.6, None),
            )
        ]

    def test_families_are_not_folded_together(self):
        accuracies = {"optimized": 0.5, "linear_svm": 0.25}
        folded = fold_seeds(
            make_run_table([make_experiment(str(seed), accuracies, train__seed=seed) for seed in (1, 2)])
        )
        assert folded[["family", "n", "val_accuracy", "val_accuracy_sd"]].to_numpy().tolist() == [
            ["optimized", 2, 0.5, 0],
            ["linear_svm", 2, 0.25, 0],
        ]

    def test_any_other_seed_is_a_setting(self):
        runs = [make_experiment(str(seed), crossval__seed=seed) for seed in (1, 2)]
        assert fold_seeds(make_run_table(runs))["n"].tolist() == [1, 1]


class TestEffects:
    def test_an_example_by_hand(self):
        table = measure_effects(make_run_table(make_seeds()))
        found = {tuple(row[:3]): row[3:] for row in table.itertuples(index=False, name=None)}
        assert found == {
            ("train.dropout", "0.1", "optimized"): (3, 0.8, 0.1, 0.7, 0.9),
            ("train.dropout", "0.2", "optimized"): (1, 0.85, 0, 0.85, 0.85),
            ("train.dropout", "0.2", "linear_svm"): (1, 0.6, 0, 0.6, 0.6),
            # 0.7 and 0.85 are 0.15 apart: 0.15 / √2
            ("train.seed", "1", "optimized"): (2, 0.775, 0.10607, 0.7, 0.85),
            ("train.seed", "1", "linear_svm"): (1, 0.6, 0, 0.6, 0.6),
            ("train.seed", "2", "optimized"): (1, 0.8, 0, 0.8, 0.8),
            ("train.seed", "3", "optimized"): (1, 0.9, 0, 0.9, 0.9),
        }
        assert list(table.columns) == ["parameter", "value", "family", "n", "mean", "sd", "low", "high"]

    def test_where_nothing_varies_there_are_no_effects(self):
        assert measure_effects(make_run_table([make_experiment("a")])).empty


NONE = make_curves("optimized")


class TestCurves:
    def test_each_run_is_named_by_its_family_and_settings(self):
        runs = make_run_table(
            [
                make_experiment("a", train__dropout=0.1, data__path="p"),
                make_experiment("b", {"optimized": 0.9}, train__dropout=0.2),
            ]
        )
        curves = {"a": make_curves("optimized", 0.5, 0.6), "b": make_curves("optimized", 0.7)}
        assert join_curves_of_runs(runs, curves)[["run", "epoch", "accuracy"]].to_numpy().tolist() == [
            ["optimized data.path=null, dropout=0.2", 1, 0.7],
            ["optimized data.path=p, dropout=0.1", 1, 0.5],
            ["optimized data.path=p, dropout=0.1", 2, 0.6],
        ]

    def test_runs_without_curves_have_none(self):
        runs = make_run_table([make_experiment("a"), make_experiment("b", train__seed=1)])
        table = join_curves_of_runs(runs, {"a": NONE, "b": make_curves("optimized", 0.7)})
        assert table["run"].tolist() == ["optimized seed=1"]
        assert join_curves_of_runs(runs, {"a": NONE, "b": NONE}).empty

    def test_of_very_many_runs_the_best_are_drawn(self):
        runs = make_run_table([make_experiment(f"{i:02d}", {"optimized": i / 100}, train__seed=i) for i in range(30)])
        drawn = get_best_runs(runs)["experiment"].tolist()
        assert drawn == [f"{i:02d}" for i in range(29, 13, -1)]
        table = join_curves_of_runs(runs, {name: make_curves("optimized", int(name) / 100) for name in drawn})
        assert table["accuracy"].tolist() == [i / 100 for i in range(29, 13, -1)]
