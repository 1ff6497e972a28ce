import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.report.page import render_page
from pipeline.report.run_facts import flatten
from pipeline.report.sections import experiments
from pipeline.report.sections.experiments import (
    Experiment,
    compare_folds,
    describe_comparison,
    find_varied,
    fold_seeds,
    join_curves_of_runs,
    join_folds,
    list_experiments,
    load_experiment,
    make_run_table,
    measure_effects,
)
from pipeline.runtime.errors import PipelineError
from tests.clone import commit, run
from tests.experiments import add_experiment, make_folds, make_params, make_repository, make_summary, write_results

NO_CURVES = pd.DataFrame(columns=["family", "split", "epoch", "accuracy", "loss"])
EVIL = "<script>alert('pwned')</script>"


@pytest.fixture(autouse=True)
def _folder(no_repository):
    """Each test's own."""
    return no_repository


@pytest.fixture
def repository(tmp_path) -> Path:
    return make_repository(tmp_path)


def make_curves(family: str, *accuracy: float) -> pd.DataFrame:
    """An epoch for each accuracy in validation."""
    table = pd.DataFrame({"family": family, "split": "val", "epoch": range(1, len(accuracy) + 1), "accuracy": accuracy})
    return table.assign(loss=1 - table["accuracy"])


def make_experiment(
    name: str,
    accuracy: dict[str, float] | None = None,
    *,
    folds: dict[str, pd.DataFrame] | None = None,
    curves: pd.DataFrame = NO_CURVES,
    **changes: Any,
) -> Experiment:
    """accuracy: of each family in validation. changes: of the parameters."""
    summary = make_summary(**(accuracy or {"optimized": 0.5}))
    return Experiment(name, flatten(make_params(**changes)), summary, curves, folds or {})


class TestListing:
    def test_without_names_those_on_this_commit_and_then_the_workspace(self, repository):
        found = {name: add_experiment(repository, name, make_params(), None) for name in ("beta", "alpha")}
        assert list_experiments([]) == [("alpha", found["alpha"]), ("beta", found["beta"]), ("workspace", None)]

    @pytest.mark.usefixtures("repository")
    def test_without_any_there_is_the_workspace(self):
        assert list_experiments([]) == [("workspace", None)]

    def test_those_on_another_commit_are_there_by_name_alone(self, repository):
        older = add_experiment(repository, "older", make_params(), None)
        commit(repository, "next")
        newer = add_experiment(repository, "newer", make_params(), None)
        assert list_experiments([]) == [("newer", newer), ("workspace", None)]
        assert list_experiments(["older"]) == [("older", older)]

    def test_of_two_that_have_the_same_name_the_one_on_this_commit_is_meant(self, repository):
        first = add_experiment(repository, "same", make_params(), None)
        before = run(["git", "rev-parse", "HEAD"], repository).strip()
        commit(repository, "next")
        second = add_experiment(repository, "same", make_params(), None)
        for head, revision in ((before, first), ("main", second)):
            run(["git", "checkout", "--quiet", head], repository)
            assert list_experiments([]) == [("same", revision), ("workspace", None)]
            assert list_experiments(["same"]) == [("same", revision)]

    def test_they_come_in_the_order_asked_for(self, repository):
        found = {name: add_experiment(repository, name, make_params(), None) for name in ("a", "b")}
        assert list_experiments(["b", "workspace", "a"]) == [("b", found["b"]), ("workspace", None), ("a", found["a"])]

    def test_a_commit_a_branch_and_a_tag_will_do_too(self, repository):
        head = run(["git", "rev-parse", "HEAD"], repository).strip()
        run(["git", "tag", "v1"], repository)
        commit(repository, "next")
        for name in ("v1", head, head[:10], "HEAD~1", "main~1"):
            assert list_experiments([name]) == [(name, head)]

    def test_what_else_dvc_keeps_there_is_no_experiment(self, repository):
        for ref in ("stash", "exec/EXEC_HEAD", "celery/stash", "celery/failed", "exec/deeper/EXEC_BASELINE"):
            run(["git", "update-ref", f"refs/exps/{ref}", "HEAD"], repository)
        assert list_experiments([]) == [("workspace", None)]

    @pytest.mark.parametrize("name", ["gamma", "--all", "", "alpha:params.yaml"])
    def test_an_unknown_name_is_refused_with_those_that_are_known(self, repository, name):
        for known in ("beta", "alpha"):
            add_experiment(repository, known, make_params(), None)
        with pytest.raises(PipelineError) as caught:
            list_experiments(["alpha", name])
        assert str(caught.value) == f"there is no experiment or commit {name!r}: expected one of alpha, beta"

    @pytest.mark.usefixtures("repository")
    def test_where_there_is_none_that_is_said(self):
        with pytest.raises(PipelineError, match=r"expected one of none yet$"):
            list_experiments(["gamma"])

    def test_outside_a_repository_that_is_said(self):
        with pytest.raises(PipelineError, match="not a git repository"):
            list_experiments([])


class TestLoading:
    PARAMS = make_params(train__dropout=0.25)

    def test_it_is_read_from_git_whatever_lies_in_the_workspace(self, repository):
        revision = add_experiment(repository, "one", self.PARAMS, make_summary(optimized=0.5, linear_svm=0.25))
        write_results(repository, make_params(train__dropout=0.75), make_summary(overfit=0.9))
        found = load_experiment("one", revision)
        assert found is not None
        assert found.name == "one"
        assert found.params == flatten(self.PARAMS)
        assert found.summary[["family", "val_accuracy"]].to_numpy().tolist() == [
            ["optimized", 0.5],
            ["linear_svm", 0.25],
        ]
        assert found.curves.empty
        assert found.folds == {}

    def test_the_workspace_is_what_lies_there(self, repository):
        write_results(repository, self.PARAMS, make_summary(overfit=0.75))
        (repository / "metrics/plots").mkdir()
        make_curves("overfit", 0.5, 0.75).to_csv(repository / "metrics/plots/curves.csv", index=False)
        found = load_experiment("workspace", None)
        assert found is not None
        assert found.params["train.dropout"] == 0.25
        assert found.summary["family"].tolist() == ["overfit"]
        assert found.curves["accuracy"].tolist() == [0.5, 0.75]

    def test_without_a_summary_there_is_nothing_to_load(self, repository):
        assert load_experiment("one", add_experiment(repository, "one", self.PARAMS, None)) is None
        assert load_experiment("workspace", None) is None

    def test_nor_without_parameters(self, repository):
        write_results(repository, self.PARAMS, make_summary(optimized=0.5))
        (repository / "params.yaml").unlink()
        commit(repository, "no parameters")
        assert load_experiment("HEAD", "HEAD") is None
        assert load_experiment("workspace", None) is None

    def test_folds_are_those_of_the_families_that_were_cross_validated(self, repository):
        params = make_params(crossval__families=["optimized", "underfit"])
        tables = {"optimized": make_folds(0.5, 0.75), "linear_svm": make_folds(0.25)}  # the last is left over
        found = load_experiment("one", add_experiment(repository, "one", params, make_summary(optimized=0.5), tables))
        assert found is not None
        assert list(found.folds) == ["optimized"]
        pd.testing.assert_frame_equal(found.folds["optimized"], tables["optimized"])

    def test_a_project_may_lie_in_a_folder_of_a_repository(self, repository, monkeypatch):
        inner = repository / "inner"
        write_results(repository, make_params(), make_summary(overfit=0.9))
        inner.mkdir()
        write_results(inner, self.PARAMS, make_summary(optimized=0.5))
        commit(repository, "inner")
        monkeypatch.chdir(inner)
        found = load_experiment("HEAD", "HEAD")
        assert found is not None
        assert (found.params["train.dropout"], found.summary["family"].tolist()) == (0.25, ["optimized"])

    def test_parameters_from_before_there_was_cross_validation_will_do(self, repository):
        params = {key: value for key, value in make_params().items() if key != "crossval"}
        revision = add_experiment(repository, "old", params, make_summary(optimized=0.5))
        found = load_experiment("old", revision)
        assert found is not None
        assert found.folds == {}


class TestCachedCurves:
    """Curves are in DVC's cache alone: dvc.lock names the folder's listing, and that names the table."""

    LISTING, TABLE = "ab" + "1" * 30 + ".dir", "cd" + "2" * 30

    @pytest.fixture(autouse=True)
    def _cache(self, tmp_path_factory, monkeypatch):
        """Where DVC would say that it is."""
        self.cache = tmp_path_factory.mktemp("cache")
        monkeypatch.setattr(experiments, "find_dvc_cache", lambda: self.cache)

    def put(self, digest: str, text: str) -> None:
        file = self.cache / "files/md5" / digest[:2] / digest[2:]
        file.parent.mkdir(parents=True)
        file.write_text(text)

    def load(self, repository: Path, outs: list[dict[str, str]]) -> pd.DataFrame:
        lock = json.dumps({"schema": "2.0", "stages": {"report": {"cmd": "…", "outs": outs}}})
        files = {"dvc.lock": lock}
        revision = add_experiment(repository, "one", make_params(), make_summary(optimized=0.5), files=files)
        found = load_experiment("one", revision)
        assert found is not None
        return found.curves

    OUTS = ({"path": "metrics/report.html", "md5": "ef" * 16}, {"path": "metrics/plots", "md5": LISTING})

    def test_they_are_found_there(self, repository):
        names = {"curves.csv": self.TABLE, "roc.csv": "0" * 32}
        self.put(self.LISTING, json.dumps([{"md5": md5, "relpath": name} for name, md5 in names.items()]))
        self.put(self.TABLE, make_curves("optimized", 0.5, 0.75).to_csv(index=False))
        assert self.load(repository, list(self.OUTS))["accuracy"].tolist() == [0.5, 0.75]

    @pytest.mark.parametrize("listing", [None, [], [{"md5": TABLE, "relpath": "curves.csv"}]])
    def test_where_the_cache_lacks_them_there_is_an_empty_table(self, repository, listing):
        if listing is not None:
            self.put(self.LISTING, json.dumps(listing))
        curves = self.load(repository, list(self.OUTS))
        assert curves.empty
        assert list(curves.columns) == list(NO_CURVES.columns)

    def test_nor_is_there_any_where_no_report_was_made(self, repository):
        assert self.load(repository, []).empty


class TestVaried:
    def test_parameters_that_are_not_the_same_in_all_experiments_are_named(self):
        runs = [make_experiment("a", train__seed=1), make_experiment("b", train__seed=2, train__dropout=0.1)]
        assert find_varied(runs) == ["train.dropout", "train.seed"]

    def test_one_alone_varies_in_nothing(self):
        assert find_varied([make_experiment("a", train__seed=1)]) == []

    def test_what_only_says_what_to_run_is_left_out(self):
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
    def test_they_are_a_row_an_experiment_and_family_the_best_by_validation_first(self):
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

    def test_the_ensemble_is_left_out(self):
        table = make_run_table([make_experiment("a", {"optimized": 0.5, "ensemble": 0.9})])
        assert table["family"].tolist() == ["optimized"]

    def test_the_workspace_is_left_out_where_it_is_an_experiment_applied(self):
        same = {"accuracy": {"optimized": 0.5}, "train__dropout": 0.1}
        other = make_experiment("other", {"optimized": 0.25})
        for order in (("workspace", "exp"), ("exp", "workspace")):
            table = make_run_table([other, *(make_experiment(name, **same) for name in order)])
            assert table["experiment"].tolist() == ["exp", "other"]

    @pytest.mark.parametrize("changes", [{"accuracy": {"optimized": 0.6}}, {"train__dropout": 0.2}])
    def test_a_workspace_that_differs_in_a_figure_or_a_parameter_stays(self, changes):
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


def make_seeds() -> list[Experiment]:
    """Two settings with three seeds and one."""
    return [
        make_experiment("a1", {"optimized": 0.7}, train__seed=1, train__dropout=0.1),
        make_experiment("a2", {"optimized": 0.8}, train__seed=2, train__dropout=0.1),
        make_experiment("a3", {"optimized": 0.9}, train__seed=3, train__dropout=0.1),
        make_experiment("b1", {"optimized": 0.85, "linear_svm": 0.6}, train__seed=1, train__dropout=0.2),
    ]


class TestSeeds:
    def test_runs_that_differ_in_the_seed_alone_are_one_row_with_mean_and_deviation(self):
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

    def test_families_stay_apart_where_nothing_but_the_seed_varies(self):
        accuracies = {"optimized": 0.5, "linear_svm": 0.25}
        folded = fold_seeds(
            make_run_table([make_experiment(str(seed), accuracies, train__seed=seed) for seed in (1, 2)])
        )
        assert folded[["family", "n", "val_accuracy", "val_accuracy_sd"]].to_numpy().tolist() == [
            ["optimized", 2, 0.5, 0],
            ["linear_svm", 2, 0.25, 0],
        ]

    def test_another_seed_than_that_of_training_is_a_setting(self):
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

    def test_where_nothing_varies_there_is_none(self):
        assert measure_effects(make_run_table([make_experiment("a")])).empty


class TestCurves:
    def test_each_run_is_named_by_its_family_and_what_sets_it_apart(self):
        runs = [
            make_experiment("a", curves=make_curves("optimized", 0.5, 0.6), train__dropout=0.1, data__path="p"),
            make_experiment("b", {"optimized": 0.9}, curves=make_curves("optimized", 0.7), train__dropout=0.2),
        ]
        table = join_curves_of_runs(runs, make_run_table(runs))
        assert table[["run", "epoch", "accuracy"]].to_numpy().tolist() == [
            ["optimized data.path=null, dropout=0.2", 1, 0.7],
            ["optimized data.path=p, dropout=0.1", 1, 0.5],
            ["optimized data.path=p, dropout=0.1", 2, 0.6],
        ]

    def test_runs_without_curves_have_none(self):
        runs = [make_experiment("a"), make_experiment("b", curves=make_curves("optimized", 0.7), train__seed=1)]
        assert join_curves_of_runs(runs, make_run_table(runs))["run"].tolist() == ["optimized seed=1"]
        assert join_curves_of_runs(runs[:1], make_run_table(runs[:1])).empty

    def test_of_very_many_the_best_are_drawn(self):
        runs = [
            make_experiment(f"{i:02d}", {"optimized": i / 100}, curves=make_curves("optimized", i / 100), train__seed=i)
            for i in range(30)
        ]
        table = join_curves_of_runs(runs, make_run_table(runs))
        assert table["accuracy"].tolist() == [i / 100 for i in range(29, 13, -1)]


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

    def test_one_setting_alone_is_as_it_is(self):
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
        # tests/evaluation/test_folds.py has this one by hand: 10 images of a fold to 40 that trained
        assert {key: rows[0][key] for key in ("family", "folds")} == {"family": "optimized", "folds": 5}
        assert (rows[0]["difference"], rows[0]["t"]) == pytest.approx((0.03, 2))
        assert rows[0]["p"] == pytest.approx(0.116117, abs=1e-6)

    def test_families_are_not_compared_with_each_other(self):
        folds = {"optimized": make_folds(0.5, 0.6), "linear_svm": make_folds(0.4, 0.6)}
        assert compare_folds(join([make_experiment("a", folds=folds)])) == []

    def test_one_fold_in_common_is_no_test(self):
        assert compare_folds(join([self.cross("a", 0.5, 0.6), self.cross("b", 0.5, train__seed=1)])) == []

    def test_folds_that_both_have_are_compared(self):
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


class TestPage:
    def render(self, runs: list[Experiment]) -> str:
        table = make_run_table(runs)
        return render_page("compare.html", **describe_comparison(runs, table, fold_seeds(table)))

    def words(self, page: str) -> str:
        """What is read, without charts and markup."""
        text = re.sub(r"<svg.*?</svg>|<style.*?</style>", " ", page, flags=re.DOTALL)
        return " ".join(re.sub(r"<[^>]*>", " ", text).replace("\N{NO-BREAK SPACE}", " ").split())

    def test_the_best_is_named_with_what_it_is_sure_of(self):
        words = self.words(self.render([*make_seeds()[:3], make_experiment("b", {"linear_svm": 0.6}, train__seed=1)]))
        assert "optimized is best by validation: 80.0 % ± 10.0 over 3 seeds." in words
        assert "4 experiments, 4 trained models." in words

    def test_everything_is_on_it(self):
        runs = make_seeds()
        folds = (
            {"optimized": make_folds(0.90, 0.80, 0.75, 0.90, 0.80)},
            {"optimized": make_folds(0.92, 0.84, 0.75, 0.96, 0.83)},
        )
        for i, (place, table) in enumerate(zip((0, 3), folds, strict=True)):
            own = runs[place]
            runs[place] = Experiment(
                own.name, own.params, own.summary, make_curves("optimized", 0.5, 0.5 + i / 4), table
            )
        page = self.render(runs)
        words = self.words(page)
        assert "What varied: train.dropout, train.seed." in words
        for heading in ("What each parameter does", "How they learnt", "Cross-validation", "All runs"):
            assert heading in words
        assert "+3.0 points" in words
        assert "0.116" in words
        assert page.count("<svg") == 6  # effects, parallel, accuracy and loss by epoch, accuracy and loss of folds

    def test_one_run_alone_has_a_page_too(self):
        words = self.words(self.render([make_experiment("only", {"optimized": 0.5})]))
        assert "1 experiment, 1 trained model. What varied: nothing." in words
        assert "optimized is best by validation: 50.0 %." in words
        for heading in ("What each parameter does", "How they learnt", "Cross-validation"):
            assert heading not in words

    def test_folds_that_all_differ_by_the_same_have_no_p(self):
        folds = {"optimized": make_folds(0.5, 0.6)}, {"optimized": make_folds(0.6, 0.7)}
        runs = [make_experiment(str(i), folds=table, train__seed=i) for i, table in enumerate(folds)]
        assert "not defined: every fold differs by the same" in self.words(self.render(runs))

    def test_no_name_or_value_can_be_markup(self):
        evil = {EVIL: 0.5}
        runs = [
            make_experiment(
                EVIL, evil, folds={EVIL: make_folds(0.5, 0.6)}, curves=make_curves(EVIL, 0.5), data__path=EVIL
            ),
            make_experiment("b", evil, folds={EVIL: make_folds(0.7, 0.6)}, data__path="x"),
        ]
        page = self.render(runs)
        assert "<script" not in page
        assert "alert(&#39;pwned&#39;)" in page

    def test_it_needs_nothing_else(self):
        runs = make_seeds()
        assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"|url\((?!#)[^)]*\)|@import', self.render(runs)) == []
