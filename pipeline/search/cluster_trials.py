"""The trials of a search as tasks of a Ray cluster: several at once, to the bytes of one after the other.

This process draws the values, judges, and stores each trial in its turn; it imports no TensorFlow. Values that depend on
results wait for them. Pruning does not: a trial that begins before all earlier ones are completed trains to its end, and then
becomes what it would have been, had it been stopped (pipeline.search.replay). To wait would leave all nodes but one idle once
`search.pruning.min_trials` are completed.
"""

import logging
import os
import shutil
import socket
from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.config.reader import check_params
from pipeline.config.search_space import Dimension, Value
from pipeline.config.sections import Params
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.runtime.cluster import AHEAD, Cluster
from pipeline.runtime.cluster_command import check_packages, list_packages, read_variables, set_variables
from pipeline.runtime.files import remove
from pipeline.runtime.paths import SEARCH_WORKSPACE
from pipeline.runtime.progress import progress_bar
from pipeline.runtime.tensorflow import configure_tensorflow
from pipeline.search.replay import Listener, Outcome, judge
from pipeline.search.sampling import Pruner, draw_ahead, draw_next
from pipeline.search.trials import Trial, describe_trial, save_trial

logger = logging.getLogger(__name__)

_REMEDY = (
    "its node ended; give nodes more memory, or lower search.max_parameters, and run the same command: it goes on after the "
    "trials that are completed"
)


class Asked(NamedTuple):
    """A trial to run. earlier: all trials before it; None: some of them are under way."""

    number: int
    values: dict[str, Value]
    earlier: list[Trial] | None


def run_trials_on(
    cluster: Cluster,
    family: str,
    content: dict[str, Any],
    dimensions: list[Dimension],
    trials: list[Trial],
    store: Path,
) -> list[Trial]:
    """As pipeline.search.run.run_trials. Raises PipelineError, which names the trial, where three workers in turn were lost."""
    params, folder = check_params(content), SEARCH_WORKSPACE / family
    turns = _Turns(dimensions, trials, params)
    nodes = _describe_needs(cluster, params)
    work = partial(run_on_node, family=family, content=content, dimensions=dimensions)
    shutil.rmtree(folder, ignore_errors=True)  # left by a search that was killed, whose workers may be about to end
    try:
        with progress_bar(total=params.search.trials, initial=len(trials), desc="search", unit=" trials") as progress:
            while draw_next(dimensions, turns.trials, params.search) is not None:
                for outcome in nodes.map_in_order(work, turns.draw(), None, partial(_list_names, family)):
                    trial = turns.take(outcome)
                    save_trial(store, trial)
                    progress.update()
                    logger.info("%s", describe_trial(trial, turns.trials))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return turns.trials


def _describe_needs(cluster: Cluster, params: Params) -> Cluster:
    """One trial for each that can run at once, where trials are pruned: the later one is drawn, the more is known of earlier
    ones when it begins. With room for one, each is stopped in time."""
    first = partial(prepare_worker, list_packages(), read_variables(), params.runtime.model_dump())
    ahead = AHEAD if params.search.pruning.min_trials is None else 1
    return cluster.with_needs(threads=params.runtime.threads, on_gpu=True, first=first, ahead=ahead, remedy=_REMEDY)


def prepare_worker(packages: Mapping[str, str], variables: Mapping[str, str | None], runtime: dict[str, Any]) -> None:
    """Once, before TensorFlow is imported: as the process of the stage, where trials run in it. Raises PipelineError where this
    node has other packages. runtime: arguments of configure_tensorflow."""
    check_packages(packages)
    set_variables(variables)
    configure_tensorflow(**runtime)


def _list_names(family: str, asked: Asked) -> list[tuple[str, Asked]]:
    return [(f"{family}, trial {asked.number}", asked)]


class _Turns:
    """trials: those that are completed. Whatever the order in which others end, they are taken in that of their numbers."""

    def __init__(self, dimensions: list[Dimension], trials: list[Trial], params: Params) -> None:
        self.trials = list(trials)
        self._dimensions, self._params = dimensions, params
        self._under_way: deque[dict[str, Value]] = deque()

    def draw(self) -> Iterator[Asked]:
        """Trials to begin, up to the first one whose values depend on results that are not there."""
        while True:
            values = draw_ahead(self._dimensions, self.trials, list(self._under_way), self._params.search)
            if values is None:
                return
            earlier = None if self._under_way else list(self.trials)
            self._under_way.append(values)
            yield Asked(len(self.trials) + len(self._under_way), values, earlier)

    def take(self, outcome: Outcome) -> Trial:
        """The first of those under way is completed, as it would be after all before it."""
        pruner = _make_pruner(self._dimensions, self.trials, self._under_way.popleft(), self._params)
        folds = len(self._params.crossval.folds) if self._params.search.score == "crossval" else None
        self.trials = [*self.trials, judge(outcome, pruner.is_hopeless, folds=folds)]
        return self.trials[-1]


def _make_pruner(dimensions: list[Dimension], trials: list[Trial], values: dict[str, Value], params: Params) -> Pruner:
    per_fold = params.search.score == "crossval"
    return Pruner(dimensions, trials, values, params.search.pruning, per_fold=per_fold)


def run_on_node(asked: Asked, *, family: str, content: dict[str, Any], dimensions: list[Dimension]) -> Outcome:
    """On a worker, in workspaces of its own, on the storage that all share; it is stopped early if all is known by which."""
    from pipeline.search.scoring import open_workspaces, run_trial

    params, facts = check_params(content), load_dataset_facts()
    # Of this process alone: one on a node that is cut off may go on for a while where another one has taken its place.
    folder = SEARCH_WORKSPACE / family / f"{asked.number}-{socket.gethostname()}-{os.getpid()}"
    with open_workspaces(folder, family, facts, params) as workspaces:
        is_hopeless = None
        if asked.earlier is not None:
            is_hopeless = _make_pruner(dimensions, asked.earlier, asked.values, params).is_hopeless
        listener = Listener(is_hopeless)
        trial = run_trial(
            asked.number,
            asked.values,
            family,
            lambda changed: check_params(content, changed),
            workspaces=workspaces,
            facts=facts,
            is_hopeless=listener.hear,
        )
    remove(folder)
    return Outcome(trial, listener.steps)
