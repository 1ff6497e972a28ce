"""What the page of a comparison says: the best of each family, what each parameter does, how the runs learnt."""

from typing import Any

import pandas as pd

from pipeline.report.charts.experiments import draw_curves_of_runs, draw_effects, draw_parallel
from pipeline.report.charts.folds import draw_fold_boxes
from pipeline.report.experiment_tables import (
    UNKNOWN,
    divide_varied,
    find_varied,
    fold_seeds,
    get_best_runs,
    get_varied,
    join_curves_of_runs,
    make_run_table,
    measure_effects,
    number_images,
)
from pipeline.report.experiments import Experiment, ExperimentStore
from pipeline.report.fold_tables import compare_folds, join_folds, join_mean_curves, summarize_settings
from pipeline.report.tables import to_records

_METRICS = ("accuracy", "loss")
_MOST_DRAWN = 4  # sets of images that get charts: those with the most experiments


def describe_comparison(experiments: list[Experiment], store: ExperimentStore) -> dict[str, Any]:
    """What compare.html needs: each set of images apart, as accuracies on different images don't rank. store: where the
    learning curves are, which only the best runs need."""
    sets = number_images(experiments)
    parts: dict[str, list[Experiment]] = {}
    for experiment in experiments:
        parts.setdefault(sets.get(experiment.held_out.images, UNKNOWN), []).append(experiment)
    drawn = sorted(parts, key=lambda name: -len(parts[name]))[:_MOST_DRAWN]
    described = [_describe_set(name, part, store if name in drawn else None) for name, part in parts.items()]
    return {
        "num_experiments": len(experiments),
        "num_models": sum(len(part["runs"]) for part in described),
        "varied": find_varied(experiments),
        "sets": len(sets),
        "parts": described,
    }


def _describe_set(name: str, experiments: list[Experiment], store: ExperimentStore | None) -> dict[str, Any]:
    """Runs that compare. name: of the set of images. store: None where there are too many sets for charts of each."""
    runs = make_run_table(experiments)
    varied, (_, hidden) = get_varied(runs), divide_varied(experiments)
    tables = {
        "name": name,
        "held_out": next((e.held_out for e in experiments if e.held_out.class_names), None),
        "varied": varied,
        "others": hidden,
        "best": to_records(fold_seeds(runs).drop_duplicates("family")),
        "runs": to_records(runs),
    }
    if store is None:
        return {**tables, "effects": None, "curves": {}, "fold_boxes": {}}
    best = set(get_best_runs(runs)["experiment"])
    curves = join_curves_of_runs(runs, {e.name: store.load_curves(e) for e in experiments if e.name in best})
    return {
        **tables,
        "effects": draw_effects(measure_effects(runs)) if varied else None,
        "parallel": draw_parallel(runs, varied) if varied else None,
        "curves": _draw_curves(curves),
        **describe_cross_validations(experiments, store),
    }


def describe_cross_validations(experiments: list[Experiment], store: ExperimentStore) -> dict[str, Any]:
    """Charts and tests of the experiments that have folds; empty where none has."""
    varied = find_varied([experiment for experiment in experiments if experiment.folds])
    folds = join_folds(experiments, varied)
    means = join_mean_curves(experiments, varied, {e.name: store.load_mean_curves(e) for e in experiments if e.folds})
    return {
        "fold_boxes": {metric: draw_fold_boxes(folds, metric) for metric in _METRICS} if len(folds) else {},
        "fold_curves": _draw_curves(means),
        "fold_settings": summarize_settings(folds),
        "fold_tests": compare_folds(folds) if len(folds) else [],
    }


def _draw_curves(curves: pd.DataFrame) -> dict[str, str]:
    """Metric to chart; none without a curve."""
    return {metric: draw_curves_of_runs(curves, metric) for metric in _METRICS} if len(curves) else {}
