"""The trials of a search: one file each, written when it is over, beside DVC's cache, so that a search that was killed, or that
is asked for more trials later, goes on where it ended; also from the temporary folder of a queue."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from pipeline.config.search_space import Dimension, Value, remove_parameters
from pipeline.config.sections import Params
from pipeline.data.embeddings import compute_key
from pipeline.runtime.files import find_dvc_cache, write_aside
from pipeline.runtime.paths import EMBEDDINGS, TFRECORDS

_DECIDING = ("tensorflow", "keras", "numpy", "scipy", "optuna")  # packages on whose version a trial depends
_DIGITS = 6


@dataclass(frozen=True)
class Trial:
    """number: from 1. state: failed where training diverged or could not be done, for `reason`. values: name of a parameter
    to what was tried. score: accuracy; None if it did not end. steps: validation accuracy after each epoch, or the mean over
    the folds so far. scores: of each fold, or the one on val. seconds: that it took."""

    number: int
    state: Literal["finished", "pruned", "failed"]
    values: dict[str, Value]
    score: float | None = None
    steps: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    reason: str | None = None
    seconds: float = 0.0


def find_store(family: str, params: Params, dimensions: list[Dimension]) -> Path:
    """The folder of the trials that were made with the very same data, code, and parameters, but for budgets and for what is
    searched: its own key."""
    searched = {dimension.name for dimension in dimensions}
    used = {"train": params.train.model_dump(), "recipes": {family: params.recipes[family].model_dump()}}
    settings = params.search.model_dump(include={"sampler", "score", "seed", "max_parameters", "pruning"})
    made_of = {
        "family": family,
        "parameters": remove_parameters(used, searched),
        "runtime": params.runtime.model_dump(),
        "search": settings,
        "space": [repr(dimension) for dimension in dimensions],
        "crossval": params.crossval.model_dump(exclude={"families"}) if params.search.score == "crossval" else None,
        "packages": {name: version(name) for name in _DECIDING},
    }
    code = Path(__file__).parents[1]
    modules = [file for name in ("dataset", "families", "training", "tuning") for file in (code / name).glob("*.py")]
    modules += [
        code / f"{name}.py" for name in ("evaluation/metrics", "evaluation/predictions", "params", "runtime", "space")
    ]
    data = [*TFRECORDS.iterdir(), *(EMBEDDINGS / family).iterdir()]
    return find_dvc_cache() / "search" / compute_key(made_of, [*sorted(data), *sorted(modules)])


def load_trials(store: Path) -> list[Trial]:
    """All that are over, from number 1 without a gap: what comes after a missing one was drawn from another history."""
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
    """Whether a file is what `save_trial` has written: one that is damaged on disk is made again."""
    return trial.number == number and bool(trial.values) and (trial.score is not None) == (trial.state == "finished")


def save_trial(store: Path, trial: Trial) -> None:
    """Writes one that is over, whole or not at all."""
    with write_aside(_name_file(store, trial.number)) as partial:
        partial.write_text(json.dumps(asdict(trial)) + "\n", encoding="utf-8")


def _name_file(store: Path, number: int) -> Path:
    return store / f"{number:06d}.json"


def find_best(trials: list[Trial]) -> Trial | None:
    """The finished one with the highest score, of equals the first; None if none has finished."""
    return max((t for t in trials if t.score is not None), key=lambda t: (t.score, -t.number), default=None)


def make_trial_table(trials: list[Trial]) -> pd.DataFrame:
    """trial, state, score, sd, steps, reason, and a column for each parameter; a row a trial. sd (n - 1): between folds.
    steps: epochs, or folds, that it got."""
    rows = []
    for trial in trials:
        spread = round(float(pd.Series(trial.scores).std()), _DIGITS) if len(trial.scores) > 1 else None
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
    """A parameter's name where it is clear which family is meant: without train, or recipes and the family."""
    section, _, rest = name.partition(".")
    return rest if section == "train" else rest.partition(".")[2]


def show_value(value: Value) -> str:
    """As YAML and `dvc exp run -S` have it: null, true, 0.001."""
    return value if isinstance(value, str) else json.dumps(value)


def make_overrides(values: Mapping[str, Value]) -> list[str]:
    """-S and name=value by turns: what makes `dvc exp run` train with these values."""
    return [word for name, value in values.items() for word in ("-S", f"{name}={show_value(value)}")]


def describe_search(trials: list[Trial]) -> dict[str, Any]:
    """score (and sd) of the best trial and which it is, and how many were made, given up and failed."""
    best = find_best(trials)
    counted = {state: sum(trial.state == state for trial in trials) for state in ("finished", "pruned", "failed")}
    if best is None:
        return {"trials": len(trials), **counted}
    spread = {"sd": round(float(pd.Series(best.scores).std()), _DIGITS)} if len(best.scores) > 1 else {}
    return {"score": best.score, **spread, "trial": best.number, "trials": len(trials), **counted}
