"""One trial of a search: trains a family with other values, and scores it on val or by cross-validation. Imports TensorFlow."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from pipeline.config.recipe_sections import NetworkRecipe
from pipeline.config.recipes import resolve_recipe, without_augment
from pipeline.config.search_space import Value
from pipeline.config.sections import Params
from pipeline.config.teachers import find_embedded
from pipeline.data.tfrecords import DatasetFacts
from pipeline.evaluation.held_out import train_and_measure
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import remove
from pipeline.runtime.paths import EMBEDDINGS, TFRECORDS
from pipeline.search.trials import State, Trial
from pipeline.training.fold_data import open_fold
from pipeline.training.network import count_parameters
from pipeline.training.scores import DIGITS


class _HopelessError(Exception):
    """Ends the training of a trial that is hopeless."""


class _Progress:
    """steps, scores: see Trial."""

    def __init__(self, is_hopeless: Callable[[int, float], bool]) -> None:
        self.steps: list[float] = []
        self.scores: list[float] = []
        self._is_hopeless = is_hopeless

    def watch(self, step: int, accuracy: float) -> None:
        """Notes a step, from 0, and raises _HopelessError if it shows that the trial is hopeless."""
        self.steps.append(round(accuracy, DIGITS))
        if self._is_hopeless(step, accuracy):
            raise _HopelessError


@contextmanager
def open_workspaces(folder: Path, family: str, facts: DatasetFacts, params: Params) -> Iterator[list[Path]]:
    """Workspaces in each of which a trial trains once: one, or one per fold. They are deleted after the block."""
    with ExitStack() as stack:
        if params.search.score == "crossval":
            workspaces = [folder / str(fold) for fold in params.crossval.folds]
            source = find_embedded(params, family)
            for number, workspace in enumerate(workspaces):
                fold = open_fold(workspace, family, facts, params.crossval, fold=number, source=source)
                stack.enter_context(fold)
        else:
            workspaces = [stack.enter_context(_open_link(folder / "val", family))]
        yield workspaces


@contextmanager
def _open_link(workspace: Path, family: str) -> Iterator[Path]:
    """A workspace with links to the project's data, so that the files that training writes are separate from the project's."""
    remove(workspace)
    for data in (TFRECORDS, EMBEDDINGS / family):
        (workspace / data).parent.mkdir(parents=True, exist_ok=True)
        (workspace / data).symlink_to(data.absolute())
    try:
        yield workspace
    finally:
        remove(workspace)


def run_trial(
    number: int,
    values: dict[str, Value],
    family: str,
    load: Callable[[dict[str, Value]], Params],
    *,
    workspaces: list[Path],
    facts: DatasetFacts,
    is_hopeless: Callable[[int, float], bool],
) -> Trial:
    """Trains with `values` in each workspace, and scores them by the mean accuracy on val; stops when `is_hopeless`, called
    with (step from 0, accuracy), says so. load: the parameters with other values.

    A failed training is the trial's state and reason, not an error: the search goes on.
    """
    start, progress = time.perf_counter(), _Progress(is_hopeless)
    state: State = "finished"
    reason = None
    try:
        _train(family, load(values), workspaces, facts, progress)
    except _HopelessError:
        if len(progress.scores) < len(workspaces):  # else it has trained on the last fold, so nothing is left to save
            state = "pruned"
    except PipelineError as error:
        state, reason = "failed", str(error)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        state, reason = "failed", "out of memory: lower search.max_parameters"
    score = round(float(np.mean(progress.scores)), DIGITS) if state == "finished" else None
    steps = [step for step in progress.steps if np.isfinite(step)]
    return Trial(number, state, values, score, steps, progress.scores, reason, round(time.perf_counter() - start, 2))


def _train(family: str, params: Params, workspaces: list[Path], facts: DatasetFacts, progress: _Progress) -> None:
    """Trains in each workspace. Steps are the epochs of the only one, or the workspaces, with their mean accuracy so far."""
    if params.search.score == "crossval" and not params.crossval.augment:
        params = without_augment(params)
    _check_size(family, params, facts)
    per_fold = len(workspaces) > 1
    for number, workspace in enumerate(workspaces):
        keras.backend.clear_session()  # what earlier trials have left, and the numbers in names of layers
        held_out = train_and_measure(workspace, family, params, None if per_fold else progress.watch)
        progress.scores.append(round(float(held_out.metrics["accuracy"]), DIGITS))
        if per_fold:
            progress.watch(number, float(np.mean(progress.scores)))


def _check_size(family: str, params: Params, facts: DatasetFacts) -> None:
    recipe = params.recipes[family]
    if not isinstance(recipe, NetworkRecipe):
        return
    count, most = count_parameters(family, resolve_recipe(params.train, recipe), facts), params.search.max_parameters
    if count > most:
        raise PipelineError(f"{count:,} parameters are more than search.max_parameters, {most:,}: not trained")
