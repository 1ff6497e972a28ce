"""Tables over the cross-validations of several experiments, and the test of their differences. Pure."""

import json
from itertools import combinations
from typing import Any

import pandas as pd

from pipeline.evaluation.cv_summary import compare_settings, describe_folds
from pipeline.report.experiment_tables import FOLDS, show_setting
from pipeline.report.experiments import Experiment

# Parameters that decide which images a fold holds out.
_ASSIGNMENT = ("crossval.seed", FOLDS, "data.", "sources.", "prune.", "split.")
_COLUMNS = ["experiment", "family", "setting", "assignment", "fold", "accuracy", "loss"]


def join_folds(experiments: list[Experiment], varied: list[str]) -> pd.DataFrame:
    """experiment, family, setting, assignment, fold, accuracy, loss, images, training_images of all cross-validations.

    assignment: equal where fold 1 holds out the same images, and so on. varied: the parameters that tell settings apart.
    """
    tables = []
    varied = _add_folds(experiments, varied)
    for experiment in experiments:
        params = sorted(experiment.params.items())
        assignment = json.dumps({name: value for name, value in params if name.startswith(_ASSIGNMENT)})
        setting = _describe_setting(experiment, varied)
        for family, folds in experiment.folds.items():
            more = {"experiment": experiment.name, "family": family, "setting": setting, "assignment": assignment}
            tables.append(folds.assign(**more))
    if not tables:
        return pd.DataFrame(columns=_COLUMNS)
    return pd.concat(tables, ignore_index=True).drop_duplicates(["family", "setting", "fold"])


def join_mean_curves(
    experiments: list[Experiment], varied: list[str], curves: dict[str, dict[str, pd.DataFrame]]
) -> pd.DataFrame:
    """run (family and setting), split, epoch, accuracy, loss: the mean over the folds of every cross-validation.

    curves: experiment to family to its mean curves.
    """
    tables = [pd.DataFrame(columns=["run", "split", "epoch", "accuracy", "loss"])]
    varied = _add_folds(experiments, varied)
    for experiment in experiments:
        for family, table in curves.get(experiment.name, {}).items():
            tables.append(table.assign(run=f"{family}: {_describe_setting(experiment, varied)}"))
    return pd.concat(tables[1:] or tables, ignore_index=True).drop_duplicates(["run", "split", "epoch"])


def _add_folds(experiments: list[Experiment], varied: list[str]) -> list[str]:
    """The number of folds tells cross-validations apart, though it does not tell models apart."""
    counts = {json.dumps(experiment.params.get(FOLDS)) for experiment in experiments if experiment.folds}
    return [*varied, FOLDS] if len(counts) > 1 else varied


def _describe_setting(experiment: Experiment, varied: list[str]) -> str:
    return ", ".join(f"{name}={show_setting(experiment, name)}" for name in varied) or "as it is"


def summarize_settings(folds: pd.DataFrame) -> list[dict[str, Any]]:
    """family, setting, and mean and standard deviation over its folds, for every cross-validation."""
    return [
        {"family": family, "setting": setting, **describe_folds(part)}
        for (family, setting), part in (folds.groupby(["family", "setting"], sort=True) if len(folds) else ())
    ]


def compare_folds(folds: pd.DataFrame) -> list[dict[str, Any]]:
    """Every pair of settings of a family that were cross-validated on the same folds, tested by the corrected resampled
    t-test; the better setting is first."""
    rows = []
    for family, part in folds.groupby("family", sort=True):
        accuracy = part.pivot_table(index="fold", columns="setting", values="accuracy")
        assignments = part.groupby("setting")["assignment"].first()
        share = float((part["images"] / part["training_images"]).mean())
        for a, b in combinations(accuracy.columns, 2):
            both = accuracy[[a, b]].dropna()
            if len(both) < 2 or assignments[a] != assignments[b]:
                continue
            first, second = (a, b) if both[a].mean() >= both[b].mean() else (b, a)
            result = compare_settings(both[first], both[second], test_share=share)
            rows.append({"family": family, "first": first, "second": second, "folds": len(both), **result})
    return rows
