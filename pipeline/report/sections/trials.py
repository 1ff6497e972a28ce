"""What the page of a search says: what it tried, what came of it, which parameters matter."""

import shlex
from typing import Any

import pandas as pd

from pipeline.config.search_space import Dimension, Range
from pipeline.config.sections import Search
from pipeline.report.charts.trials import draw_each_curve, draw_history, draw_importance, draw_slices, draw_trial_curves
from pipeline.report.tables import to_records
from pipeline.search.trials import (
    Trial,
    describe_search,
    find_best,
    make_overrides,
    make_trial_table,
    shorten_name,
    show_value,
)

_EACH = 120  # the last trial with a chart of its own: a hundred small charts are half a megabyte


def make_command(trials: list[Trial]) -> str:
    """The command that trains with the values of the best trial; '' if none has completed."""
    best = find_best(trials)
    return shlex.join(["dvc", "exp", "run", *make_overrides(best.values)]) if best else ""


def join_trials(trials: list[Trial], dimensions: list[Dimension]) -> pd.DataFrame:
    """trial, state, accuracy, best, and a column for each dimension: one row per trial. accuracy: the score, or the best that
    a pruned trial reached. best: the best score so far, None before the first."""
    rows: list[dict[str, Any]] = []
    best: float | None = None
    for trial in trials:
        if trial.score is not None and (best is None or trial.score > best):
            best = trial.score
        reached = max(trial.steps, default=None) if trial.state == "pruned" else trial.score
        values = {
            shorten_name(d.name): trial.values[d.name] if isinstance(d, Range) else show_value(trial.values[d.name])
            for d in dimensions
        }
        rows.append({"trial": trial.number, "state": trial.state, "accuracy": reached, "best": best} | values)
    return pd.DataFrame(rows)


def describe_trials(
    family: str, settings: Search, dimensions: list[Dimension], trials: list[Trial], importance: dict[str, float]
) -> dict[str, Any]:
    """What search.html needs; at least one trial has completed."""
    joined, best = join_trials(trials, dimensions), find_best(trials)
    table = make_trial_table(trials).sort_values("score", ascending=False, kind="stable", na_position="last")
    ranges = {shorten_name(dimension.name): dimension.log for dimension in dimensions if isinstance(dimension, Range)}
    shares = pd.DataFrame(importance.items(), columns=["parameter", "share"])
    shares["parameter"] = shares["parameter"].map(shorten_name)
    return {
        "family": family,
        "summary": describe_search(trials),
        "settings": settings,
        "names": {dimension.name: shorten_name(dimension.name) for dimension in dimensions},
        "values": {name: show_value(value) for name, value in best.values.items()} if best else {},
        "command": make_command(trials),
        "history": draw_history(joined),
        "importance": draw_importance(shares) if importance else None,
        "slices": draw_slices(joined, ranges),
        "trials": to_records(table),
        **describe_curves(trials, settings),
    }


def describe_curves(trials: list[Trial], settings: Search) -> dict[str, Any]:
    """The validation curve of every trial: all in one chart, and each in its own; None where none has two steps."""
    curves, best = join_steps(trials), find_best(trials)
    if best is None or (curves["step"] < 2).all():
        return {"curves": None, "each_curve": None, "num_curves": 0}
    step = "folds" if settings.score == "crossval" else "epoch"
    return {
        "curves": draw_trial_curves(curves, best.number, step),
        "each_curve": draw_each_curve(curves[curves["trial"] <= _EACH], best.number, step),
        "num_curves": int(min(curves["trial"].nunique(), _EACH)),
    }


def join_steps(trials: list[Trial]) -> pd.DataFrame:
    """trial, state, step (from 1), accuracy: one row per step of each trial."""
    rows = [
        (trial.number, trial.state, step, accuracy) for trial in trials for step, accuracy in enumerate(trial.steps, 1)
    ]
    return pd.DataFrame(rows, columns=["trial", "state", "step", "accuracy"])
