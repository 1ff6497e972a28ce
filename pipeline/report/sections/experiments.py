"""What the page of a comparison says: the best of each family, what each parameter does, how the runs learnt."""

from typing import Any

import pandas as pd

from pipeline.report.charts.experiments import draw_curves_of_runs, draw_effects, draw_parallel
from pipeline.report.charts.folds import draw_fold_boxes
from pipeline.report.experiment_tables import (
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


def describe_comparison(experiments: list[Experiment], store: ExperimentStore) -> dict[str, Any]:
    """What compare.html needs. store: where the learning curves are, which only the best runs need."""
    runs = make_run_table(experiments)
    varied, (_, hidden) = get_varied(runs), divide_varied(experiments)
    drawn = set(get_best_runs(runs)["experiment"])
    curves = join_curves_of_runs(runs, {e.name: store.load_curves(e) for e in experiments if e.name in drawn})
    return {
        "num_experiments": len(experiments),
        "varied": varied,
        "others": hidden,
        "sets": len(number_images(experiments)),
        "best": to_records(fold_seeds(runs).drop_duplicates("family")),
        "runs": to_records(runs),
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
