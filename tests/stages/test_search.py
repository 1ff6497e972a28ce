import contextlib
import io
import json
import logging
import shlex
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from dvc.utils.hydra import apply_overrides

from pipeline.config.reader import load_params
from pipeline.config.search_space import list_points, parse_space
from pipeline.data.embeddings import save_none
from pipeline.runtime.cli import report_errors, run_family_verb
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.logging import configure_logging
from stages.search import search
from tests.clone import run
from tests.code_digests import write_code
from tests.conftest import ROOT, Project
from tests.tfrecords import make_coloured_split, write_records

SIZE, NAMES = 16, ["red", "green", "blue"]
COUNTS = {"train": 30, "val": 30, "test": 6}
NETWORK, SEARCHED, LINEAR = "underfit", "searched_cnn", "linear_svm"
METRICS = Path("metrics/search")
OUTPUTS = ["command.txt", "report.html", "summary.json", "trials.csv"]
SPACE = {
    "recipes": {SEARCHED: {"blocks": {"low": 1, "high": 2}, "filters": [2, 4]}},
    "train": {
        "dropout": {"low": 0.0, "high": 0.4, "step": 0.2},
        "learning_rate": {"low": 0.001, "high": 0.1, "log": True},
    },
}
COSTS = {"recipes": {LINEAR: {"C": [0.01, 1.0]}}}


@pytest.fixture(scope="module", autouse=True)
def _alone(tensorflow):  # noqa: ARG001 - the verb configures it itself, but only once in a process
    """Trials are stored in each test's project, as where DVC has no other cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stages.search.configure_tensorflow", lambda **_: None)
        patch.setattr("pipeline.search.trials.find_dvc_cache", lambda: Path(".dvc/cache"))
        configure_logging()
        yield


def make_project(folder: Path) -> Project:
    """Images of which most show their class by their colour."""
    splits = {name: make_coloured_split(n, SIZE, seed=n) for name, n in COUNTS.items()}
    for _, labels in splits.values():
        labels[::5] = (labels[::5] + 1) % 3
    write_records(folder / "data/tfrecords", class_names=NAMES, **splits)
    for family in (NETWORK, SEARCHED, LINEAR):
        save_none(family, folder / "data/embeddings")
        write_code("search", family, folder=folder)
    project = Project(folder)
    project.set(
        families=[NETWORK, SEARCHED, LINEAR],
        preprocess__image_size=SIZE,
        train__width=None,
        train__epochs=2,
        train__optimizer="sgd",  # the fastest to trace
        search__families=[SEARCHED],
        search__trials=4,
        search__space=SPACE,
        search__pruning__min_trials=2,
        search__pruning__min_epochs=1,
    )
    return project


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A project without any search. Not to be changed."""
    folder = tmp_path_factory.mktemp("template")
    make_project(folder)
    return folder


def copy_into(folder: Path, other: Path) -> None:
    shutil.copytree(other, folder, dirs_exist_ok=True, symlinks=True)


@pytest.fixture
def data(template: Path, project: Project) -> Project:
    """A copy for one test, which is the working directory."""
    copy_into(project.folder, template)
    return project


def run_search(family: str) -> str:
    """Returns the log, one message per line."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            search(family)
    finally:
        root.removeHandler(handler)
    return "".join(f"{message}\n" for message in messages)


@pytest.fixture(scope="module")
def finished(template, tmp_path_factory) -> tuple[Path, str]:
    """A project in which four trials ran without interruption, and the log. Not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    copy_into(folder, template)
    with contextlib.chdir(folder):
        return folder, run_search(SEARCHED)


def read_outputs(folder: Path, family: str = SEARCHED) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (folder / METRICS / family).iterdir()}


def list_trials(folder: Path) -> list[Path]:
    """The files of all trials, of a single search."""
    stores = list((folder / ".dvc/cache/search").glob("*"))
    assert len(stores) <= 1
    return sorted(stores[0].iterdir()) if stores else []


def read_trials(folder: Path) -> list[dict[str, Any]]:
    """Without seconds."""
    contents = [json.loads(file.read_text()) for file in list_trials(folder)]
    return [{key: value for key, value in content.items() if key != "seconds"} for content in contents]


def read_table(family: str = SEARCHED) -> pd.DataFrame:
    return pd.read_csv(METRICS / family / "trials.csv")


def read_command(family: str = SEARCHED) -> list[str]:
    """Its words."""
    return shlex.split((METRICS / family / "command.txt").read_text())


def read_summary(family: str = SEARCHED) -> dict[str, Any]:
    return json.loads((METRICS / family / "summary.json").read_text())


@pytest.mark.ci
class TestOutputs:
    @pytest.fixture(autouse=True)
    def _inside(self, finished, monkeypatch):
        monkeypatch.chdir(finished[0])

    def test_it_leaves_four_files_and_the_trials(self, finished):
        assert sorted(read_outputs(finished[0])) == OUTPUTS
        assert sorted(path.name for path in Path().iterdir()) == [".cache", ".dvc", "data", "metrics", "params.yaml"]
        assert list(Path(".cache/search").iterdir()) == []
        assert [file.name for file in list_trials(finished[0])] == [f"00000{n}.json" for n in (1, 2, 3, 4)]

    def test_the_table_has_one_row_per_trial_with_its_values(self):
        table = read_table()
        assert list(table["trial"]) == [1, 2, 3, 4]
        assert list(table.columns[6:]) == [dimension.name for dimension in parse_space(SPACE)]
        done = table[table["state"] == "finished"]
        assert done["score"].between(0, 1).all()
        assert table.loc[table["state"] != "finished", "score"].isna().all()
        assert table["steps"].between(1, 2).all()

    def test_the_summary_names_the_best(self):
        table, summary = read_table(), read_summary()
        best = table["score"].idxmax()
        assert (summary["score"], summary["trial"]) == (table["score"][best], table["trial"][best])
        assert summary["trials"] == 4
        assert summary["finished"] == (table["state"] == "finished").sum()
        assert summary["finished"] + summary["pruned"] + summary["failed"] == 4

    def test_the_outcome_of_each_trial_and_the_command_are_logged(self, finished):
        log = finished[1]
        assert [f"trial {n}: " in log for n in (1, 2, 3, 4)] == [True] * 4
        score, trial = read_summary()["score"], read_summary()["trial"]
        assert f"\n{SEARCHED}: {score:.4f} in trial {trial} of 4; see metrics/search/{SEARCHED}/report.html\n" in log
        assert log.endswith(f"to train with its values: {shlex.join(read_command())}\n")


@pytest.fixture
def copied(finished: tuple[Path, str], project: Project) -> Project:
    """A project for one test, in which the search is finished."""
    copy_into(project.folder, finished[0])
    return project


def assert_is_like(found: Project, finished: tuple[Path, str]) -> None:
    """The same as without an interruption."""
    assert read_trials(found.folder) == read_trials(finished[0])
    assert read_outputs(found.folder) == read_outputs(finished[0])
    assert not list((found.folder / ".cache/search").iterdir())


class TestCommand:
    """Trains by `dvc exp run` with the values of the best trial."""

    def apply(self) -> None:
        command = read_command()
        assert command[:3] == ["dvc", "exp", "run"]
        assert command[3::2] == ["-S"] * 4
        apply_overrides("params.yaml", command[4::2])

    @pytest.mark.usefixtures("copied")
    def test_it_trains_a_model_with_the_score_on_val(self, monkeypatch):
        from pipeline.models.artifacts import load_model
        from pipeline.models.predictions import predict_split
        from stages.train import train

        self.apply()
        monkeypatch.setattr("stages.train.configure_tensorflow", lambda **_: None)
        train(SEARCHED)
        labels, probabilities = predict_split(load_model(Path(f"models/{SEARCHED}.keras")), "val")
        accuracy = (probabilities.argmax(axis=1) == labels).mean()
        assert accuracy == pytest.approx(read_summary()["score"], abs=1e-6)

    def test_with_its_values_in_params_yaml_no_trial_runs_again(self, copied, finished):
        self.apply()
        log = run_search(SEARCHED)
        assert "found 4 completed trials" in log
        assert "trial 1: " not in log
        assert read_outputs(copied.folder) == read_outputs(finished[0])


@pytest.mark.ci
class TestContinuing:
    @pytest.mark.ci
    def test_a_killed_process_costs_one_trial_and_two_trials_plus_two_are_the_same_as_four(self, data, finished):
        """SIGKILL during the second trial."""
        data.set(search__trials=2)
        code = f"""
import os, signal
import pipeline.search.sampling as sampling
from stages.search import search

class Deadly(sampling.Pruner):
    def __init__(self, dimensions, trials, *rest, **more):
        super().__init__(dimensions, trials, *rest, **more)
        self.second = len(trials) == 1

    def is_hopeless(self, step, accuracy):
        if self.second:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().is_hopeless(step, accuracy)

sampling.Pruner = Deadly  # before pipeline.search.run imports it
search({SEARCHED!r})
"""
        run([sys.executable, "-c", code], data.folder, expect=-signal.SIGKILL, PYTHONPATH=str(ROOT))
        assert [file.name for file in list_trials(data.folder)] == ["000001.json"]
        assert Path(f".cache/search/{SEARCHED}/val/record").exists()  # it was training
        assert not METRICS.exists()
        assert "found 1 completed trials" in run_search(SEARCHED)
        assert read_trials(data.folder) == read_trials(finished[0])[:2]
        assert read_summary()["trials"] == 2

        kept = [(file, file.read_bytes(), file.stat().st_mtime_ns) for file in list_trials(data.folder)]
        data.set(search__trials=4)
        assert f"{SEARCHED}: found 2 completed trials in .dvc/cache/search/" in run_search(SEARCHED)
        assert_is_like(data, finished)
        assert [(file, file.read_bytes(), file.stat().st_mtime_ns) for file, *_ in kept] == kept

    def test_a_missing_or_damaged_trial_and_all_after_it_run_again(self, copied, finished):
        files = list_trials(copied.folder)
        files[2].unlink()
        files[3].write_text(files[3].read_text()[:30])
        assert "found 2 completed trials" in run_search(SEARCHED)
        assert_is_like(copied, finished)

    def test_a_smaller_number_selects_the_first(self, copied, finished):
        copied.set(search__trials=1)
        run_search(SEARCHED)
        assert list(read_table()["trial"]) == [1]
        assert read_trials(copied.folder) == read_trials(finished[0])

    def test_if_all_are_completed_tensorflow_is_not_even_imported(self, copied, finished):
        code = f"""
import sys
from stages.search import search

search({SEARCHED!r})
assert not {{"tensorflow", "keras"}} & set(sys.modules)
"""
        run([sys.executable, "-c", code], copied.folder, PYTHONPATH=str(ROOT))
        assert_is_like(copied, finished)


class TestScores:
    @pytest.mark.ci
    def test_by_crossval_they_are_the_mean_of_the_stage_crossval_on_the_same_folds(self, data, monkeypatch):
        from stages.crossval import crossval

        monkeypatch.setattr("stages.crossval.configure_tensorflow", lambda **_: None)
        augment = {"flip": "both", "rotation": 0.25, "zoom": 0.25, "contrast": 0.0}
        data.set(
            search__families=[NETWORK], search__score="crossval", search__trials=1, train__epochs=1, train__augment=augment,
            crossval__folds=[7, 3], crossval__augment=False, search__space={"train": {"learning_rate": [0.02]}},
        )  # fmt: skip
        run_search(NETWORK)
        data.set(train__learning_rate=0.02)
        scores = []
        for fold in (7, 3):
            crossval(NETWORK, fold)
            scores.append(json.loads(Path(f"data/crossval/{NETWORK}/{fold}/metrics.json").read_text())["accuracy"])
        (trial,) = read_trials(data.folder)
        assert trial["scores"] == scores
        summary = read_summary(NETWORK)
        assert summary["score"] == trial["score"] == pytest.approx(sum(scores) / 2, abs=1e-6)
        assert summary["sd"] == pytest.approx(pd.Series(scores).std(), abs=1e-6)

    @pytest.mark.parametrize("score", ["validation", pytest.param("crossval", marks=pytest.mark.ci)])
    def test_the_test_split_takes_no_part(self, data, score):
        settings = {"families": [LINEAR], "score": score, "trials": 1, "space": COSTS}
        data.set(crossval__folds=[1, 2], **{f"search__{key}": value for key, value in settings.items()})
        run_search(LINEAR)
        before = read_outputs(data.folder, LINEAR)
        for file in Path("data/tfrecords").glob("test-*"):
            file.unlink()
        facts = json.loads(Path("data/tfrecords/dataset.json").read_text())
        for key in ("num_images", "counts"):
            del facts[key]["test"]
        Path("data/tfrecords/dataset.json").write_text(json.dumps(facts))
        shutil.rmtree(METRICS)
        run_search(LINEAR)
        assert read_outputs(data.folder, LINEAR) == before


class TestFailures:
    @pytest.mark.ci
    def test_failed_trials_have_a_reason_and_the_search_goes_on(self, data):
        """A learning rate that diverges; rules that exclude each other; more weights than memory."""
        space = {
            "train": {
                "learning_rate": [1e30, 0.01],
                "reduce_lr": {"patience": [1]},
                "schedule": {"kind": ["cosine", "constant"]},
                "width": [1e6, 1.0],
            }
        }
        data.set(search__families=[NETWORK], search__sampler="grid", search__trials=99, search__space=space)
        log = run_search(NETWORK)
        table = read_table(NETWORK)
        assert list(table["state"]) == ["failed"] * 7 + ["finished"]
        cosine, large = "schedule.kind cosine sets the learning rate of every step", " parameters are more than "
        expected = [cosine, cosine, large, "the loss is no longer a number in epoch 1", cosine, cosine, large]
        assert [part in reason for part, reason in zip(expected, table["reason"], strict=False)] == [True] * 7
        assert pd.isna(table["reason"][7])
        assert "trial 4: failed: underfit: the loss is no longer a number in epoch 1 with learning rate 1e+30" in log
        summary = read_summary(NETWORK)
        assert (summary["trial"], summary["finished"], summary["pruned"], summary["failed"]) == (8, 1, 0, 7)
        assert "the loss is no longer a number" in (METRICS / NETWORK / "report.html").read_text()
        assert not list(Path().rglob("*.last-good.keras"))

    def test_if_all_trials_fail_it_ends_in_one_line_and_a_status(self, data, capsys):
        space = {"train": {"reduce_lr": {"patience": [1, 2]}, "schedule": {"kind": ["cosine"]}}}
        data.set(search__families=[NETWORK], search__space=space)
        for _ in range(2):
            assert report_errors(lambda: search(NETWORK)) == 1
            lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
            assert [line.partition("; the last one: ")[0] for line in lines] == [
                f"error: {NETWORK}: none of 2 trials finished"
            ]
            assert "schedule.kind cosine sets the learning rate of every step" in lines[0]
        assert not METRICS.exists()


@pytest.fixture
def formula(monkeypatch) -> Callable[..., list[Any]]:
    """Replaces training by a formula, parameters to the accuracy of each epoch, and renders no page. Returns the parameters of
    each training."""

    def prepare(judge: Callable[[Any], list[float]]) -> list[Any]:
        asked: list[Any] = []

        def train(workspace: Path, family: str, params: Any, watch: Any = None) -> Any:  # noqa: ARG001
            asked.append(params)
            accuracies = judge(params)
            for step, accuracy in enumerate(accuracies if watch else []):
                watch(step, accuracy)
            return SimpleNamespace(metrics={"accuracy": max(accuracies)})

        import pipeline.search.scoring  # noqa: F401 - to be patched

        monkeypatch.setattr("pipeline.search.scoring.train_and_measure", train)
        monkeypatch.setattr("keras.backend.clear_session", lambda: None)
        monkeypatch.setattr("stages.search.describe_trials", lambda *_: {})
        monkeypatch.setattr("stages.search.render_page", lambda _: "page")
        return asked

    return prepare


RATES = [0.4, 0.1, 0.5, 0.2, 0.3]


class TestBudget:
    @pytest.fixture(autouse=True)
    def _grid(self, data, formula):
        """Five trials, with the learning rate as the accuracy of each of four epochs."""
        self.asked = formula(lambda params: [params.train.learning_rate] * 4)
        space = {"train": {"learning_rate": RATES}}
        data.set(search__families=[NETWORK], search__sampler="grid", search__trials=99, search__space=space)
        data.set(search__pruning__min_trials=1)

    def find_states(self, data: Project, **settings: Any) -> list[str]:
        data.set(**settings)
        run_search(NETWORK)
        return list(read_table(NETWORK)["state"])

    def test_a_grid_is_tried_in_order_to_its_end(self, data):
        states = self.find_states(data, search__pruning__min_trials=None)
        assert states == ["finished"] * 5
        assert list(read_table(NETWORK)["train.learning_rate"]) == RATES
        assert [params.train.learning_rate for params in self.asked] == RATES
        assert read_command(NETWORK) == ["dvc", "exp", "run", "-S", "train.learning_rate=0.5"]
        assert set(read_summary(NETWORK)["importance"]) == {"train.learning_rate"}

    @pytest.mark.parametrize("sampler", ["random", "bayesian"])
    def test_the_other_samplers_try_every_point_of_a_finite_space_once(self, data, sampler):
        space = {"train": {"learning_rate": RATES, "epochs": {"low": 1, "high": 2}}}
        states = self.find_states(data, search__sampler=sampler, search__space=space)
        assert len(states) == 10
        points = list_points(parse_space(space))
        tried = [{name: row[name] for name in points[0]} for row in read_table(NETWORK).to_dict("records")]
        assert sorted(tried, key=repr) == sorted(points, key=repr)
        assert "found 10 completed trials" in run_search(NETWORK)

    def test_trials_below_the_median_of_the_finished_are_pruned_after_their_first_epochs(self, data):
        states = self.find_states(data, search__pruning__min_epochs=2)
        # 0.1 is below 0.4; 0.5 is not; 0.2 and 0.3 are below 0.45
        assert states == ["finished", "pruned", "finished", "pruned", "pruned"]
        assert list(read_table(NETWORK)["steps"]) == [4, 2, 4, 2, 2]
        summary = read_summary(NETWORK)
        assert (summary["score"], summary["finished"], summary["pruned"]) == (0.5, 2, 3)

    def test_pruning_needs_this_many_finished_trials(self, data):
        states = self.find_states(data, search__pruning__min_trials=3)
        # 0.4, 0.1 and 0.5 are finished: 0.2 and 0.3 are below 0.4
        assert states == ["finished", "finished", "finished", "pruned", "pruned"]

    def test_without_that_number_nothing_is_pruned(self, data):
        assert self.find_states(data, search__pruning__min_trials=None) == ["finished"] * 5

    def test_each_trial_gets_at_least_one_fold_and_none_is_pruned_after_its_last(self, data):
        settings = {"search__score": "crossval", "search__pruning__min_epochs": 9}
        states = self.find_states(data, crossval__folds=[1, 2, 3], **settings)
        assert states == ["finished", "pruned", "finished", "pruned", "pruned"]
        assert list(read_table(NETWORK)["steps"]) == [3, 1, 3, 1, 1]

    def test_a_trial_that_gets_worse_in_its_last_fold_is_finished(self, data, formula):
        scores = iter([0.4, 0.5, 0.6, 0.6, 0.5, 0.1])  # means 0.4, 0.45, 0.5 and 0.6, 0.55, 0.4
        formula(lambda _: [next(scores)])
        states = self.find_states(data, search__score="crossval", crossval__folds=[1, 2, 3], search__trials=2)
        assert states == ["finished", "finished"]
        assert list(read_table(NETWORK)["score"]) == [0.5, 0.4]

    def test_no_trial_starts_after_this_many_minutes_of_all_runs(self, data):
        assert len(self.find_states(data, search__trials=2)) == 2
        for file in list_trials(data.folder):
            file.write_text(json.dumps(json.loads(file.read_text()) | {"seconds": 45.0}))
        assert len(self.find_states(data, search__trials=4, search__minutes=1.5)) == 2
        assert len(self.find_states(data, search__minutes=1.6)) == 4
        assert len(list_trials(data.folder)) == 4

    @pytest.mark.parametrize(
        ("name", "value"),
        [("train__learning_rate", 0.07), ("search__minutes", 60), ("search__families", [NETWORK, LINEAR])],
    )
    def test_parameters_without_influence_on_trials_keep_them(self, data, name, value):
        data.set(search__space={"train": {"learning_rate": RATES}, "recipes": {LINEAR: {"C": [1.0, 2.0]}}})
        run_search(NETWORK)
        before, count = read_outputs(data.folder, NETWORK), len(self.asked)
        data.set(**{name: value})
        run_search(NETWORK)
        assert len(self.asked) == count == 5
        assert read_outputs(data.folder, NETWORK) == before

    @pytest.mark.parametrize(("name", "value"), [("train__seed", 7), ("search__space__train__learning_rate", [0.1])])
    def test_parameters_with_influence_start_a_new_search_and_keep_the_old_one(self, data, name, value):
        run_search(NETWORK)
        old = list_trials(data.folder)
        before, count = [file.read_bytes() for file in old], len(self.asked)
        data.set(**{name: value})
        assert "completed trials" not in run_search(NETWORK)
        assert len(self.asked) > count
        assert [file.read_bytes() for file in old] == before
        assert len(list(Path(".dvc/cache/search").iterdir())) == 2

    def test_every_trial_uses_the_parameters_from_the_start_of_the_search(self, data, formula):
        # Trials are stored under the key of those parameters.
        def judge(params: Any) -> list[float]:
            data.set(train__batch_size=99)
            return [params.train.learning_rate]

        asked = formula(judge)
        run_search(NETWORK)
        assert [params.train.batch_size for params in asked] == [None] * 5

    def test_an_invalid_change_meanwhile_fails_no_trial(self, data, formula):
        def judge(params: Any) -> list[float]:
            data.set(split__seed="typing")
            return [params.train.learning_rate]

        formula(judge)
        with contextlib.suppress(PipelineError):
            run_search(NETWORK)
        assert "failed" not in {trial["state"] for trial in read_trials(data.folder)}


class TestRefusals:
    def refusal(self, family: str) -> str:
        with pytest.raises(PipelineError) as caught:
            search(family)
        assert "\n" not in str(caught.value)
        assert not METRICS.exists()
        return str(caught.value)

    @pytest.mark.usefixtures("data")
    def test_an_unknown_family(self):
        assert "no family is called 'searched'" in self.refusal("searched")

    @pytest.mark.usefixtures("data")
    def test_a_family_that_is_not_in_search_families(self):
        assert self.refusal(NETWORK) == f"search.families: expected {NETWORK} in it, received ['{SEARCHED}']"

    def test_a_space_without_parameters_of_the_family(self, data):
        data.set(search__space={"recipes": {LINEAR: {"C": [1.0]}}})
        assert "there is nothing in it that searched_cnn can vary" in self.refusal(SEARCHED)

    def test_more_folds_than_a_class_has_images(self, data):
        data.set(search__score="crossval", crossval__folds=list(range(30)))
        assert self.refusal(SEARCHED).startswith("crossval.folds: there are 30, but class red has ")
        assert not list(Path(".cache/search").rglob("*"))

    def test_impossible_values_are_refused_before_any_work(self, data):
        data.set(
            search__families=[NETWORK], search__space={"train": {"batch_size": {"low": 8, "high": 64, "step": 8.0}}}
        )
        with pytest.raises(PipelineError, match=r"^search\.space"):
            load_params()

    @pytest.mark.usefixtures("data")
    def test_missing_digests_of_the_code(self):
        Path(f"data/code/search/{SEARCHED}.json").unlink()
        expected = f"data/code/search/{SEARCHED}.json is not here: expected what the stage code writes"
        assert self.refusal(SEARCHED) == f"{expected}; run `dvc repro search@{SEARCHED}`"

    @pytest.mark.parametrize("name", ["data/tfrecords", f"data/embeddings/{SEARCHED}"])
    @pytest.mark.usefixtures("data")
    def test_missing_data(self, name, capsys):
        shutil.rmtree(name)
        assert report_errors(lambda: search(SEARCHED)) == 1
        expected = f"error: {name} is not here: expected what an earlier stage writes; run `dvc repro`\n"
        assert capsys.readouterr().err == expected

    @pytest.mark.parametrize("arguments", [[], [SEARCHED, "4"]])
    def test_a_command_line_needs_a_family(self, monkeypatch, capsys, arguments):
        monkeypatch.setattr(sys, "argv", ["search", *arguments])
        with pytest.raises(SystemExit) as ended:
            run_family_verb(search, "")
        assert ended.value.code == 2
        assert "FAMILY" in capsys.readouterr().err


class TestLinear:
    def test_parameters_that_a_family_does_not_have_are_left_out(self, data):
        space = {"train": {"learning_rate": RATES}, "recipes": {NETWORK: {"l2": [0.0]}, **COSTS["recipes"]}}
        data.set(search__families=[LINEAR], search__space=space, search__trials=1)
        log = run_search(LINEAR)
        assert f"{LINEAR} does not have recipes.{NETWORK}.l2, train.learning_rate: left out\n" in log
        assert list(read_table(LINEAR).columns[6:]) == [f"recipes.{LINEAR}.C"]
        assert list(read_table(LINEAR)["steps"]) == [0]  # it has no epochs
        assert read_summary(LINEAR)["finished"] == 1


class TestPoints:
    """A list of points instead of a space."""

    NAME = f"recipes.{LINEAR}.C"

    def run(self, data: Project, *values: float, **settings: Any) -> str:
        points = [{self.NAME: value} for value in values]
        data.set(
            search__families=[LINEAR], search__space=SPACE, search__sampler="points", search__points=points, **settings
        )
        return run_search(LINEAR)

    @pytest.mark.ci
    def test_they_are_tried_in_their_order_and_a_longer_or_changed_list_goes_on_from_there(self, data):
        log = self.run(data, 1.0, 0.01, 0.1, search__trials=2)
        assert "search.points lists 3 points: search.trials lets the first 2 be tried" in log
        assert list(read_table(LINEAR)[self.NAME]) == [1.0, 0.01]
        log = self.run(data, 1.0, 0.01, 0.1, search__trials=20)
        assert "found 2 completed trials" in log
        assert ["trial 2: " in log, "trial 3: " in log] == [False, True]
        assert list(read_table(LINEAR)[self.NAME]) == [1.0, 0.01, 0.1]
        log = self.run(data, 1.0, 0.02, 0.1)
        assert "found 1 completed trials" in log
        assert list(read_table(LINEAR)[self.NAME]) == [1.0, 0.02, 0.1]
        assert "Listed points over 1 parameter" in (METRICS / LINEAR / "report.html").read_text()
        best = read_table(LINEAR).sort_values("score", ascending=False, kind="stable")[self.NAME].iloc[0]
        assert read_command(LINEAR)[3:] == ["-S", f"++{self.NAME}={best}"]
