"""One trial of a search: trains a family with other values, and scores it on val or by cross-validation. Imports TensorFlow."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

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
from pipeline.search.trials import Trial
from pipeline.training.fold_data import open_fold
from pipeline.training.network import count_parameters

_DIGITS = 6


class _HopelessError(Exception):
    """Raised by what watches a trial."""


@contextmanager
def open_places(folder: Path, family: str, facts: DatasetFacts, params: Params) -> Iterator[list[Path]]:
    """Folders like the project's, in each of which a trial trains once: one, or one a fold. They go with the block."""
    with ExitStack() as stack:
        if params.search.score == "crossval":
            places = [folder / str(fold) for fold in params.crossval.folds]
            for number, place in enumerate(places):
                stack.enter_context(open_fold(place, family, facts, params.crossval, fold=number))
        else:
            places = [stack.enter_context(_open_link(folder / "val", family))]
        yield places


@contextmanager
def _open_link(folder: Path, family: str) -> Iterator[Path]:
    """What a training writes beside its data stays apart from the project's own."""
    remove(folder)
    for data in (TFRECORDS, EMBEDDINGS / family):
        (folder / data).parent.mkdir(parents=True, exist_ok=True)
        (folder / data).symlink_to(data.absolute())
    try:
        yield folder
    finally:
        remove(folder)


def run_trial(
    number: int,
    values: dict[str, Value],
    family: str,
    load: Callable[[dict[str, Value]], Params],
    *,
    places: list[Path],
    facts: DatasetFacts,
    is_hopeless: Callable[[int, float], bool],
) -> Trial:
    """Trains with `values` on each of the places and scores it by the mean accuracy on their val; gives up where `is_hopeless`
    (step from 0, accuracy) says so. load: gives the parameters with other values. What goes wrong in training is the trial's
    state and reason, no error: the search goes on."""
    steps: list[float] = []
    scores: list[float] = []
    start = time.perf_counter()

    def watch(step: int, accuracy: float) -> None:
        steps.append(round(accuracy, _DIGITS))
        if is_hopeless(step, accuracy):
            raise _HopelessError

    def close(state: Any, score: float | None = None, reason: str | None = None) -> Trial:
        seconds = round(time.perf_counter() - start, 2)
        finite = [step for step in steps if np.isfinite(step)]
        return Trial(number, state, values, score, finite, scores, reason, seconds)

    try:
        params = load(values)
        if params.search.score == "crossval" and not params.crossval.augment:
            params = without_augment(params)
        _check_size(family, params, facts)
        for place in places:
            keras.backend.clear_session()  # what earlier trials have left, and the numbers in names of layers
            measured = train_and_measure(place, family, params, None if len(places) > 1 else watch)
            scores.append(round(float(measured.figures["accuracy"]), _DIGITS))
            if len(places) > 1:
                watch(len(scores) - 1, float(np.mean(scores)))
    except _HopelessError:
        # a last fold has nothing left to save
        if len(scores) < len(places):
            return close("pruned")
    except PipelineError as error:
        return close("failed", reason=str(error))
    except (MemoryError, tf.errors.ResourceExhaustedError):
        return close("failed", reason="the memory was full: lower search.max_parameters")
    return close("finished", round(float(np.mean(scores)), _DIGITS))


def _check_size(family: str, params: Params, facts: DatasetFacts) -> None:
    own = params.recipes[family]
    if not isinstance(own, NetworkRecipe):
        return
    count, most = count_parameters(family, resolve_recipe(params.train, own), facts), params.search.max_parameters
    if count > most:
        raise PipelineError(f"{count:,} parameters are more than search.max_parameters, {most:,}: not trained")
