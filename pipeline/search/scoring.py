"""One trial of a search: trains a family with other values, and scores it on val or by cross-validation. Imports TensorFlow."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from pipeline.config.recipes import resolve_recipe, without_augment
from pipeline.config.search_space import Value
from pipeline.config.sections import NetworkRecipe, Params
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


@contextmanager
def open_workspaces(folder: Path, family: str, facts: DatasetFacts, params: Params) -> Iterator[list[Path]]:
    """Workspaces in each of which a trial trains once: one, or one per fold. They are deleted after the block."""
    with ExitStack() as stack:
        if params.search.score == "crossval":
            workspaces = [folder / str(fold) for fold in params.crossval.folds]
            for number, workspace in enumerate(workspaces):
                stack.enter_context(open_fold(workspace, family, facts, params.crossval, fold=number))
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
    steps: list[float] = []
    scores: list[float] = []
    start = time.perf_counter()

    def watch(step: int, accuracy: float) -> None:
        steps.append(round(accuracy, DIGITS))
        if is_hopeless(step, accuracy):
            raise _HopelessError

    state: State = "finished"
    reason = None
    try:
        params = load(values)
        if params.search.score == "crossval" and not params.crossval.augment:
            params = without_augment(params)
        _check_size(family, params, facts)
        for accuracy in _train(family, params, workspaces, watch):
            scores.append(accuracy)
            if len(workspaces) > 1:
                watch(len(scores) - 1, float(np.mean(scores)))
    except _HopelessError:
        if len(scores) < len(workspaces):  # else it has trained on the last fold, so nothing is left to save
            state = "pruned"
    except PipelineError as error:
        state, reason = "failed", str(error)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        state, reason = "failed", "out of memory: lower search.max_parameters"
    score = round(float(np.mean(scores)), DIGITS) if state == "finished" else None
    finite = [step for step in steps if np.isfinite(step)]
    return Trial(number, state, values, score, finite, scores, reason, round(time.perf_counter() - start, 2))


def _train(family: str, params: Params, workspaces: list[Path], watch: Callable[[int, float], None]) -> Iterator[float]:
    """The accuracy in each workspace, as soon as it is known. watch: called after each epoch if there is one workspace."""
    for workspace in workspaces:
        keras.backend.clear_session()  # what earlier trials have left, and the numbers in names of layers
        held_out = train_and_measure(workspace, family, params, None if len(workspaces) > 1 else watch)
        yield round(float(held_out.metrics["accuracy"]), DIGITS)


def _check_size(family: str, params: Params, facts: DatasetFacts) -> None:
    recipe = params.recipes[family]
    if not isinstance(recipe, NetworkRecipe):
        return
    count, most = count_parameters(family, resolve_recipe(params.train, recipe), facts), params.search.max_parameters
    if count > most:
        raise PipelineError(f"{count:,} parameters are more than search.max_parameters, {most:,}: not trained")
