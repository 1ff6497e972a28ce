import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from pipeline.config.reader import parse_yaml
from pipeline.report.experiments import Experiment, open_experiments
from pipeline.report.run_facts import flatten
from pipeline.report.tables import CURVE_COLUMNS
from pipeline.runtime.errors import PipelineError
from tests.clone import commit, run
from tests.experiments import (
    add_experiment,
    make_curves,
    make_folds,
    make_params,
    make_repository,
    make_summary,
    write_results,
)


@pytest.fixture(autouse=True)
def _folder(no_repository):
    """Each test's own."""
    return no_repository


@pytest.fixture
def repository(tmp_path) -> Path:
    return make_repository(tmp_path)


def list_experiments(names: list[str]) -> list[tuple[str, str | None]]:
    with open_experiments() as store:
        return store.list(names)


def load_experiment(name: str, revision: str | None) -> Experiment | None:
    with open_experiments() as store:
        return store.load(name, revision)


class TestListing:
    def test_without_names_those_on_head_then_the_workspace(self, repository):
        found = {name: add_experiment(repository, name, make_params(), None) for name in ("beta", "alpha")}
        assert list_experiments([]) == [("alpha", found["alpha"]), ("beta", found["beta"]), ("workspace", None)]

    @pytest.mark.usefixtures("repository")
    def test_without_any_there_is_the_workspace(self):
        assert list_experiments([]) == [("workspace", None)]

    def test_those_on_another_commit_are_found_by_name_only(self, repository):
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

    def test_commits_branches_and_tags_are_found_too(self, repository):
        head = run(["git", "rev-parse", "HEAD"], repository).strip()
        run(["git", "tag", "v1"], repository)
        run(["git", "tag", "--annotate", "--message=second", "v2"], repository)
        commit(repository, "next")
        for name in ("v1", "v2", head, head[:10], "HEAD~1", "main~1"):
            assert list_experiments([name]) == [(name, head)]

    def test_other_refs_of_dvc_are_no_experiments(self, repository):
        for ref in ("stash", "exec/EXEC_HEAD", "celery/stash", "celery/failed", "exec/deeper/EXEC_BASELINE"):
            run(["git", "update-ref", f"refs/exps/{ref}", "HEAD"], repository)
        assert list_experiments([]) == [("workspace", None)]

    @pytest.mark.parametrize("name", ["gamma", "--all", "", "alpha:params.yaml", "HEAD:params.yaml"])
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

    def test_it_is_read_from_git_whatever_is_in_the_workspace(self, repository):
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
        assert found.folds == {}

    def test_the_workspace_is_its_files(self, repository):
        write_results(repository, self.PARAMS, make_summary(overfit=0.75))
        found = load_experiment("workspace", None)
        assert found is not None
        assert found.revision is None
        assert found.params["train.dropout"] == 0.25
        assert found.summary["family"].tolist() == ["overfit"]

    def test_without_a_summary_there_is_nothing_to_load(self, repository):
        assert load_experiment("one", add_experiment(repository, "one", self.PARAMS, None)) is None
        assert load_experiment("workspace", None) is None

    def test_without_parameters_neither(self, repository):
        write_results(repository, self.PARAMS, make_summary(optimized=0.5))
        (repository / "params.yaml").unlink()
        commit(repository, "no parameters")
        assert load_experiment("HEAD", "HEAD") is None
        assert load_experiment("workspace", None) is None

    def test_metrics_that_another_run_left_are_not_taken_for_its_own(self, repository):
        """As `dvc exp run -S train.seed=7 train@optimized` leaves them: the report has not seen that seed."""
        lock = "stages:\n  report:\n    params:\n      params.yaml:\n        train:\n          seed: 42\n"
        whole, part = (
            add_experiment(
                repository, name, make_params(train__seed=seed), make_summary(optimized=0.5), files={"dvc.lock": lock}
            )
            for name, seed in (("whole", 42), ("part", 7))
        )
        assert load_experiment("whole", whole) is not None
        with pytest.raises(PipelineError, match=r"^its metrics are of a run with another train.seed"):
            load_experiment("part", part)

    def test_folds_are_those_of_the_families_that_were_cross_validated(self, repository):
        params = make_params(crossval__families=["optimized", "underfit"])
        tables = {"optimized": make_folds(0.5, 0.75), "linear_svm": make_folds(0.25)}  # the last is left over
        found = load_experiment("one", add_experiment(repository, "one", params, make_summary(optimized=0.5), tables))
        assert found is not None
        assert list(found.folds) == ["optimized"]
        pd.testing.assert_frame_equal(found.folds["optimized"], tables["optimized"])

    def test_a_project_may_be_in_a_folder_of_a_repository(self, repository, monkeypatch):
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


class TestWorkspace:
    def test_its_curves_are_read_from_its_folder(self, repository):
        write_results(repository, make_params(), make_summary(overfit=0.75), {"overfit": make_folds(0.5)})
        (repository / "metrics/plots").mkdir()
        make_curves("overfit", 0.5, 0.75).to_csv(repository / "metrics/plots/curves.csv", index=False)
        (repository / "metrics/crossval/overfit/plots").mkdir()
        make_curves("overfit", 0.25).to_csv(repository / "metrics/crossval/overfit/plots/mean.csv", index=False)
        with open_experiments() as store:
            experiment = Experiment("workspace", None, {}, pd.DataFrame(), {"overfit": make_folds(0.5)})
            assert store.load_curves(experiment)["accuracy"].tolist() == [0.5, 0.75]
            assert store.load_mean_curves(experiment)["overfit"]["accuracy"].tolist() == [0.25]

    @pytest.mark.usefixtures("repository")
    def test_without_them_there_is_an_empty_table(self):
        experiment = Experiment("workspace", None, {}, pd.DataFrame(), {"overfit": make_folds(0.5)})
        with open_experiments() as store:
            assert list(store.load_curves(experiment).columns) == CURVE_COLUMNS
            assert store.load_curves(experiment).empty
            assert store.load_mean_curves(experiment) == {}


class TestCache:
    """Curves of an experiment are in DVC's cache alone: dvc.lock has the digest of the folder, and its listing that of the
    table."""

    LISTING, TABLE = "ab" + "1" * 30 + ".dir", "cd" + "2" * 30
    OUTS = ({"path": "metrics/report.html", "md5": "ef" * 16}, {"path": "metrics/plots", "md5": LISTING})

    def put(self, digest: str, text: str, cache: Path = Path(".dvc/cache")) -> None:
        file = cache / "files/md5" / digest[:2] / digest[2:]
        file.parent.mkdir(parents=True)
        file.write_text(text)

    def fill(self, cache: Path = Path(".dvc/cache"), name: str = "curves.csv") -> None:
        names = {name: self.TABLE, "roc.csv": "0" * 32}
        self.put(self.LISTING, json.dumps([{"md5": md5, "relpath": file} for file, md5 in names.items()]), cache)
        self.put(self.TABLE, make_curves("optimized", 0.5, 0.75).to_csv(index=False), cache)

    def add(self, repository: Path, stage: str = "report", outs: tuple[dict[str, str], ...] = OUTS) -> str:
        lock = yaml.safe_dump({"schema": "2.0", "stages": {stage: {"cmd": "…", "outs": list(outs)}}}, sort_keys=False)
        params = make_params(crossval__families=["optimized"])
        summary, folds = make_summary(optimized=0.5), {"optimized": make_folds(0.5)}
        return add_experiment(repository, "one", params, summary, folds, files={"dvc.lock": lock})

    def load(self, revision: str) -> pd.DataFrame:
        with open_experiments() as store:
            experiment = store.load("one", revision)
            assert experiment is not None
            return store.load_curves(experiment)

    def test_curves_are_found_there(self, repository):
        revision = self.add(repository)
        self.fill()
        assert self.load(revision)["accuracy"].tolist() == [0.5, 0.75]

    def test_mean_curves_are_found_there(self, repository):
        folder = {"path": "metrics/crossval/optimized/plots", "md5": self.LISTING}
        revision = self.add(repository, "average@optimized", (folder,))
        self.fill(name="mean.csv")
        with open_experiments() as store:
            experiment = store.load("one", revision)
            assert store.load_mean_curves(experiment)["optimized"]["accuracy"].tolist() == [0.5, 0.75]

    def test_the_cache_is_where_dvc_is_told_to_keep_it(self, repository, tmp_path_factory):
        elsewhere = tmp_path_factory.mktemp("our cache")
        (repository / ".dvc/config.local").write_text(f"[cache]\n    dir = {elsewhere}\n")
        revision = self.add(repository)
        self.fill(elsewhere)
        assert self.load(revision)["accuracy"].tolist() == [0.5, 0.75]

    @pytest.mark.parametrize("listing", [None, [], [{"md5": TABLE, "relpath": "curves.csv"}]])
    def test_where_the_cache_lacks_them_there_is_an_empty_table(self, repository, listing):
        revision = self.add(repository)
        if listing is not None:
            self.put(self.LISTING, json.dumps(listing))
        curves = self.load(revision)
        assert curves.empty
        assert list(curves.columns) == CURVE_COLUMNS

    def test_where_the_cache_lacks_them_there_are_no_mean_curves(self, repository):
        folder = {"path": "metrics/crossval/optimized/plots", "md5": self.LISTING}
        revision = self.add(repository, "average@optimized", (folder,))
        with open_experiments() as store:
            assert store.load_mean_curves(store.load("one", revision)) == {}

    def test_without_a_report_there_are_none(self, repository):
        revision = self.add(repository, outs=())
        assert self.load(revision).empty

    def test_without_a_lock_there_are_none(self, repository):
        assert self.load(add_experiment(repository, "one", make_params(), make_summary(optimized=0.5))).empty

    def test_what_is_listed_is_loaded_while_dvc_is_at_work(self, repository):
        """A queue of experiments holds DVC's lock for hours."""
        from dvc.repo import Repo

        revision = self.add(repository)
        self.fill()
        with Repo(str(repository)) as repo, repo.lock:
            assert list_experiments(["one"]) == [("one", revision)]
            assert self.load(revision)["accuracy"].tolist() == [0.5, 0.75]


class TestParameters:
    """Sections that experiments have in common are parsed once."""

    @pytest.mark.parametrize(
        "text",
        [
            "# a comment\n\na:\n  b: 1 # one\n\n# another\nc:\n- x\n- y\nd: [1,\n  2]\n",
            "a: &anchor {b: 1}\nc: *anchor\n",
            "---\na:\n  b: 1\nc: 2\n",
            'a: "one\ntwo: three"\nb: 1\n',
            "a: [\nb, c\n]\nd: 1\n",
            "a: 1\na: 2\n",
            "{a: {b: 1}, c: 2}\n",
            "? a\n: b\nc: 1\n",
        ],
    )
    def test_whatever_the_form_of_the_file_the_values_are_those_of_all_of_it(self, repository, text):
        files = {"params.yaml": text}
        revision = add_experiment(repository, "one", make_params(), make_summary(optimized=0.5), files=files)
        with open_experiments() as store:
            for _ in range(2):  # from what is known the second time
                found = store.load("one", revision)
                assert found is not None
                assert found.params == flatten(parse_yaml(text))
