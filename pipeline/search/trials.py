"""The trials of a search, one file each, written when the trial is completed.

They are beside DVC's cache: a search that was killed, or that is asked for more trials, continues where it stopped, even from
the temporary folder of a queue.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict, cast

import pandas as pd

from pipeline.config.search_space import Dimension, Value, choose_points, remove_parameters
from pipeline.config.sections import Params, Search
from pipeline.config.teachers import find_embedded
from pipeline.data.embeddings import compute_key
from pipeline.runtime.code_digests import load_module_digests
from pipeline.runtime.files import find_dvc_cache, write_aside
from pipeline.runtime.paths import EMBEDDINGS, TFRECORDS
from pipeline.training.scores import DIGITS

logger = logging.getLogger(__name__)

State: TypeAlias = Literal["finished", "pruned", "failed"]

_PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "optuna")  # on whose versions a trial depends
_PAGES = "pipeline.report"  # shows trials, and has no influence on them


@dataclass(frozen=True)
class Trial:
    """number: from 1. state: failed if training diverged or was impossible, for `reason`. values: parameter to the value tried.
    score: accuracy; None unless finished. steps: validation accuracy after each epoch, or the mean over the folds so far.
    scores: of each fold, or the one on val. seconds: its duration."""

    number: int
    state: State
    values: dict[str, Value]
    score: float | None = None
    steps: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    reason: str | None = None
    seconds: float = 0.0


def find_store(family: str, params: Params, dimensions: list[Dimension]) -> Path:
    """The folder of the trials with the same data, code and parameters, apart from budgets and from what is searched. Of listed
    points, the first decides: more of them, later, continue.

    Raises PipelineError where the digests of the code are missing.
    """
    code = load_module_digests("search", family)
    made_of = _list_parameters(family, params, dimensions) | {
        "packages": {name: version(name) for name in _PACKAGES},
        "code": {name: digest for name, digest in code.items() if not f"{name}.".startswith(f"{_PAGES}.")},
    }
    data = sorted([*TFRECORDS.iterdir(), *(EMBEDDINGS / family).iterdir()])
    return find_dvc_cache() / "search" / compute_key(made_of, data)


def _list_parameters(family: str, params: Params, dimensions: list[Dimension]) -> dict[str, Any]:
    """The parameters on which a trial depends."""
    names = dict.fromkeys([family, find_embedded(params, family)])
    used = {"train": params.train.model_dump(), "recipes": {name: params.recipes[name].model_dump() for name in names}}
    by_folds = params.search.score == "crossval"
    return {
        "family": family,
        "parameters": remove_parameters(used, {dimension.name for dimension in dimensions}),
        "runtime": params.runtime.model_dump(),
        "search": params.search.model_dump(include={"sampler", "score", "seed", "max_parameters", "pruning"}),
        "space": _describe_space(params, dimensions),
        "crossval": params.crossval.model_dump(exclude={"families"}) if by_folds else None,
        "tta": params.tta,  # whether a family averages may depend on what is searched
    }


def _describe_space(params: Params, dimensions: list[Dimension]) -> list[str]:
    if params.search.sampler != "points":
        return [repr(dimension) for dimension in dimensions]
    first = choose_points(params.search.points, [dimension.name for dimension in dimensions])[0]
    return [f"{name}={value!r}" for name, value in first.items()]


def load_earlier(store: Path, settings: Search, dimensions: list[Dimension]) -> list[Trial]:
    """The completed trials with which a search goes on: as many as it may have, and of listed points those that are still the
    first ones."""
    trials = load_trials(store)[: settings.trials]
    if settings.sampler != "points":
        return trials
    points = choose_points(settings.points, [dimension.name for dimension in dimensions])
    if len(points) > settings.trials:
        logger.warning(
            "search.points lists %d points: search.trials lets the first %d be tried", len(points), settings.trials
        )
    pairs = zip(trials, points, strict=False)
    return [trial for trial, _ in takewhile(lambda pair: pair[0].values == pair[1], pairs)]


def load_trials(store: Path) -> list[Trial]:
    """Completed trials, contiguous from number 1: those after a missing one were drawn from a different history."""
    trials: list[Trial] = []
    while (file := _name_file(store, len(trials) + 1)).exists():
        try:
            trial = Trial(**json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            break
        if not _is_whole(trial, len(trials) + 1):
            break
        trials.append(trial)
    return trials


def _is_whole(trial: Trial, number: int) -> bool:
    """Whether `save_trial` wrote this: a trial whose file is damaged is run again."""
    return trial.number == number and bool(trial.values) and (trial.score is not None) == (trial.state == "finished")


def save_trial(store: Path, trial: Trial) -> None:
    """Writes a completed trial, atomically."""
    with write_aside(_name_file(store, trial.number)) as partial:
        partial.write_text(json.dumps(asdict(trial)) + "\n", encoding="utf-8")


def _name_file(store: Path, number: int) -> Path:
    return store / f"{number:06d}.json"


def find_best(trials: list[Trial]) -> Trial | None:
    """The finished trial with the highest score, the first of equal ones; None if none has finished."""
    return max((t for t in trials if t.score is not None), key=lambda t: (t.score, -t.number), default=None)


def make_trial_table(trials: list[Trial]) -> pd.DataFrame:
    """trial, state, score, sd, steps, reason, and a column for each parameter; one row per trial. sd (n - 1): between folds.
    steps: the number of epochs, or folds."""
    rows = []
    for trial in trials:
        spread = round(float(pd.Series(trial.scores).std()), DIGITS) if len(trial.scores) > 1 else None
        row = {
            "trial": trial.number,
            "state": trial.state,
            "score": trial.score,
            "sd": spread,
            "steps": len(trial.steps),
        }
        rows.append(row | {"reason": trial.reason} | {name: show_value(value) for name, value in trial.values.items()})
    return pd.DataFrame(rows)


def shorten_name(name: str) -> str:
    """A parameter's name where the family is clear from context: without train, or recipes and the family."""
    section, _, rest = name.partition(".")
    return rest if section == "train" else rest.partition(".")[2]


def show_value(value: Value) -> str:
    """As in YAML and `dvc exp run -S`: null, true, 0.001."""
    return value if isinstance(value, str) else json.dumps(value)


def make_overrides(values: Mapping[str, Value]) -> list[str]:
    """Options of `dvc exp run` that train with these values: -S and name=value in turn; ++ as a recipe may omit defaults."""
    settings = {f"++{name}" if name.startswith("recipes.") else name: value for name, value in values.items()}
    return [word for name, value in settings.items() for word in ("-S", f"{name}={show_value(value)}")]


def describe_trial(trial: Trial, trials: list[Trial]) -> str:
    """One line: the values, the outcome, and the best trial so far."""
    values = ", ".join(f"{shorten_name(name)} {show_value(value)}" for name, value in trial.values.items())
    best = find_best(trials)
    outcome = {"finished": f"{trial.score}", "pruned": "pruned", "failed": f"failed: {trial.reason}"}[trial.state]
    return f"trial {trial.number}: {outcome}, with {values}; best so far: " + (
        f"{best.score} in trial {best.number}" if best else "none"
    )


class SearchSummary(TypedDict):
    """score, sd (over folds), trial: of the best trial; none where none finished. trials: in all; finished, pruned, failed."""

    score: NotRequired[float]
    sd: NotRequired[float]
    trial: NotRequired[int]
    trials: int
    finished: int
    pruned: int
    failed: int


def describe_search(trials: list[Trial]) -> SearchSummary:
    """What the trials have found so far."""
    best, summary = find_best(trials), {}
    if best is not None:
        spread = {"sd": round(float(pd.Series(best.scores).std()), DIGITS)} if len(best.scores) > 1 else {}
        summary = {"score": best.score, **spread, "trial": best.number}
    counted = {state: sum(trial.state == state for trial in trials) for state in ("finished", "pruned", "failed")}
    return cast(SearchSummary, {**summary, "trials": len(trials), **counted})
