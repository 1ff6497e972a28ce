"""Which experiments are compared: those with results, and, where they are named, on the same classes and images."""

import logging

from pipeline.report.experiment_files import SUMMARY
from pipeline.report.experiment_tables import number_images
from pipeline.report.experiments import Experiment, ExperimentStore
from pipeline.report.held_out_sets import ABSENT, MixedModelsError, describe_difference
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.progress import progress_bar

_NAMED = 3  # experiments that are left out for the same reason get a line each up to this many

logger = logging.getLogger(__name__)


def load_experiments(store: ExperimentStore, names: list[str], *, everywhere: bool = False) -> list[Experiment]:
    """Those that `store.list` lists; one without results is left out, with a warning. Raises PipelineError if none is left, or
    if those that are named don't compare."""
    found = []
    left_out: dict[str, list[str]] = {}
    listed = store.list(names, everywhere=everywhere)
    store.fetch(revision for _, revision in listed if revision is not None)
    for name, revision in progress_bar(listed, desc="compare", unit=" experiments", disable=None):
        try:
            experiment = store.load(name, revision)
        except PipelineError as error:
            if names and isinstance(error, MixedModelsError):
                raise PipelineError(f"{name}: {error}") from error
            left_out.setdefault(str(error), []).append(name)
            continue
        if experiment is None:
            left_out.setdefault(f"it has no {SUMMARY}", []).append(name)
        else:
            found.append(experiment)
    for reason, lost in left_out.items():
        _warn(reason, lost)
    if not names and (failed := store.find_failed(everywhere=everywhere)):
        _warn("it failed in the queue: `dvc queue logs NAME` says why", list(failed))
    if not found:
        elsewhere = 0 if names or everywhere else store.count_elsewhere()
        other = f"; {elsewhere:,} are on other commits: --all-commits compares them" if elsewhere else ""
        raise PipelineError(
            f"there is nothing to compare: expected experiments with {SUMMARY}; make some with `dvc exp run -S …`{other}"
        )
    if names:
        _check_comparable(found)
    _say_lost(found)
    return found


def _warn(reason: str, names: list[str]) -> None:
    for name in names if len(names) <= _NAMED else ():
        logger.warning("%s: left out, %s", name, reason)
    if len(names) > _NAMED:
        logger.warning("%d experiments are left out, of each: %s (%s)", len(names), reason, _abridge(names))


def _abridge(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _say_lost(experiments: list[Experiment]) -> None:
    """What could not be read of those that are compared all the same."""
    lost: dict[str, list[str]] = {}
    for experiment in experiments:
        for file, reason in experiment.held_out.lost:
            lost.setdefault(reason, []).append(f"{file} of {experiment.name}")
    for reason, files in lost.items():
        advice = "; `dvc exp pull` or `dvc fetch` may bring it" if reason == ABSENT else ""
        logger.warning(
            "%s: %s, so classes and images are compared by what else there is%s", reason, _abridge(files), advice
        )


def _check_comparable(experiments: list[Experiment]) -> None:
    """Raises PipelineError if one was tested on other classes or images than the first."""
    first, *others = experiments
    for other in others:
        if difference := describe_difference(other.held_out, first.held_out):
            alike = [e.name for e in experiments if not describe_difference(e.held_out, first.held_out)]
            advice = f"name those that do ({_abridge(alike)}), or none, " if len(alike) > 1 else "name none, "
            raise PipelineError(
                f"{first.name} and {other.name} don't compare: {other.name} was tested on {difference}, of which an accuracy "
                f"says something else; {advice}for a table set by set, or run both on the same data, with the same split"
            )


def describe_sets(experiments: list[Experiment]) -> str | None:
    """In one line, that not all of them compare, and why not; None where they do."""
    sets = number_images(experiments)
    if not sets:
        return None
    held_out = {experiment.held_out.images: experiment.held_out for experiment in experiments}
    first, *others = (held_out[digest] for digest in sets)
    reasons = [
        f"set {number} has {describe_difference(other, first)} than set 1"
        for number, other in enumerate(others[:_NAMED], 2)
    ]
    more = f", and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    return (
        f"these runs have {len(sets)} different sets of images (column images), which are not ranked against each other: "
        f"{'; '.join(reasons)}{more}"
    )
