"""Trials as tasks, which a stand-in for a cluster does in this process. On nodes: tests/test_clusters.py."""

import pickle
import shutil
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.config.reader import check_params, read_params
from pipeline.config.search_rules import list_dimensions
from pipeline.data.embeddings import save_none
from pipeline.runtime.errors import PipelineError
from pipeline.search.cluster_trials import run_trials_on
from pipeline.search.trials import Trial, load_trials
from tests.conftest import Project
from tests.tfrecords import make_coloured_split, write_records

pytestmark = pytest.mark.usefixtures("tensorflow")

FAMILY, EPOCHS = "underfit", 4
COUNTS = {"train": 12, "val": 12, "test": 3}
STORES = {"here": Path("stores/here"), "there": Path("stores/there")}


class Nodes:
    """Has room for some tasks, each of which is pickled when it is drawn, as on its way to a node. lost: a trial's number."""

    def __init__(self, room: int, lost: int | None = None) -> None:
        self._room, self._lost = room, lost
        self.needs: dict[str, Any] = {}
        self.under_way: list[int] = []  # when each task was drawn
        self.names: list[str] = []

    def with_needs(self, **needs: Any) -> "Nodes":
        self.needs = needs
        return self

    def map_in_order(self, function: Any, tasks: Iterator[Any], num_workers: None, singles: Any) -> Iterator[Any]:
        assert num_workers is None
        waiting: deque[bytes] = deque()
        for task in tasks:
            self.names += [name for name, _ in singles(task)]
            waiting.append(pickle.dumps((function, task)))
            self.under_way.append(len(waiting))
            if len(waiting) == self._room * self.needs["ahead"]:
                yield self._do(*pickle.loads(waiting.popleft()))
        while waiting:
            yield self._do(*pickle.loads(waiting.popleft()))

    def _do(self, function: Any, task: Any) -> Any:
        if task.number == self._lost:
            raise PipelineError("its worker was lost")
        return function(task)


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A project with images. Not to be changed."""
    folder = tmp_path_factory.mktemp("template")
    splits = {name: make_coloured_split(n, 16, seed=n) for name, n in COUNTS.items()}
    write_records(folder / "data/tfrecords", class_names=["red", "green", "blue"], **splits)
    save_none(FAMILY, folder / "data/embeddings")
    Project(folder).set(
        families=[FAMILY],
        preprocess__image_size=16,
        crossval__folds=[1, 2, 3],
        search__families=[FAMILY],
        search__sampler="random",
        search__trials=7,
        search__space={"train": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}},
        search__pruning__min_trials=1,
        search__pruning__min_epochs=2,
    )
    return folder


@pytest.fixture
def epochs(template, project, monkeypatch) -> list[int]:
    """Of each training, how far it came: it is replaced by a formula, by which some fail."""
    shutil.copytree(template, project.folder, dirs_exist_ok=True)
    ran: list[int] = []

    def train(workspace: Path, family: str, params: Any, watch: Any = None) -> Any:  # noqa: ARG001
        assert workspace.is_dir()
        fold = int(workspace.name) if workspace.name.isdigit() else 0
        number = round(params.train.learning_rate * 1e9)
        accuracies = [float(value) for value in np.random.default_rng([fold, number]).uniform(size=EPOCHS)]
        ran.append(1)
        for step, accuracy in enumerate(accuracies if watch else []):
            ran[-1] += 1
            watch(step, accuracy)
            if step == 2 and number % 3 == 0:
                raise PipelineError("diverged")
        return SimpleNamespace(metrics={"accuracy": max(accuracies)})

    import pipeline.search.scoring  # noqa: F401 - to be patched

    monkeypatch.setattr("pipeline.search.scoring.train_and_measure", train)
    monkeypatch.setattr("keras.backend.clear_session", lambda: None)
    return ran


def search(nodes: Nodes | None) -> list[Trial]:
    """In this process, or there; goes on after what it has stored. Without seconds."""
    from pipeline.search.run import run_trials

    content = read_params()
    dimensions, store = list_dimensions(check_params(content), FAMILY), STORES["there" if nodes else "here"]
    work = content, dimensions, load_trials(store)
    found = run_trials_on(nodes, FAMILY, *work, store) if nodes else run_trials(FAMILY, *work, store)  # type: ignore[arg-type]
    assert load_trials(store) == found
    assert not (Path(".cache/search") / FAMILY).exists()
    return [replace(trial, seconds=0.0) for trial in found]


@pytest.mark.parametrize("room", [1, 3, 20])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"score": "crossval"},
        {"sampler": "bayesian", "trials": 13},
        {"sampler": "grid", "space": {"train": {"learning_rate": [0.001, 0.004, 0.002, 0.003]}}},
        {"sampler": "points", "points": [{"train.learning_rate": rate} for rate in (0.005, 0.001, 0.006)]},
        {"pruning": {"min_trials": None, "min_epochs": 1}},
        {"minutes": 60.0, "trials": 3},
    ],
    ids=lambda settings: "-".join(settings) or "random",
)
def test_trials_are_those_of_one_process_however_many_are_under_way(epochs, project, settings, room):
    project.set(**{f"search__{name}": value for name, value in settings.items()})
    here, nodes = search(None), Nodes(room)
    in_turn = sum(epochs)
    assert search(nodes) == here
    assert nodes.names == [f"{FAMILY}, trial {trial.number}" for trial in here]
    if room == 1 and nodes.needs["ahead"] == 1:
        assert sum(epochs) == 2 * in_turn, "none trains on that is known to be hopeless"


def test_the_cases_above_have_trials_of_all_kinds(epochs, project):  # noqa: ARG001
    project.set(search__sampler="bayesian", search__trials=13)
    assert {trial.state for trial in search(None)} == {"finished", "pruned", "failed"}


@pytest.mark.usefixtures("epochs")
def test_of_a_bayesian_search_ten_are_begun_at_once_and_each_after_them_alone(project):
    project.set(search__sampler="bayesian", search__trials=13)
    search(nodes := Nodes(20))
    assert nodes.under_way == [*range(1, 11), 1, 1, 1]


@pytest.mark.usefixtures("epochs")
def test_where_nothing_is_pruned_further_trials_wait_on_the_nodes(project):
    project.set(search__pruning__min_trials=None)
    search(nodes := Nodes(1))
    assert nodes.under_way == [1, 2, 3, 4, 4, 4, 4]


@pytest.mark.usefixtures("epochs")
def test_where_a_trial_is_lost_those_before_it_are_stored_and_a_second_run_goes_on():
    here = search(None)
    with pytest.raises(PipelineError, match="lost"):
        search(Nodes(3, lost=4))
    assert len(load_trials(STORES["there"])) == 3
    assert not list(Path(".cache/search").iterdir())
    assert search(nodes := Nodes(3)) == here
    assert nodes.names[0] == f"{FAMILY}, trial 4"


@pytest.mark.usefixtures("epochs")
def test_it_needs_processors_and_a_configured_worker_and_says_what_to_do_where_one_is_lost(project):
    project.set(search__trials=1)
    search(nodes := Nodes(1))
    assert (nodes.needs["threads"], nodes.needs["on_gpu"]) == (2, True)
    assert "lower search.max_parameters" in nodes.needs["remedy"]
    first = pickle.loads(pickle.dumps(nodes.needs["first"]))
    assert first.args[2]["threads"] == 2
    with pytest.raises(PipelineError, match="of the Ray cluster has optuna"):
        first.func({"optuna": "1.0"}, *first.args[1:])


@pytest.mark.usefixtures("epochs")
def test_a_data_set_that_is_too_small_for_the_folds_ends_in_the_same_line(project):
    project.set(search__score="crossval", crossval__folds=list(range(30)))
    with pytest.raises(PipelineError, match=r"^crossval\.folds: there are 30, but class "):
        search(Nodes(2))
