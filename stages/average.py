"""Averages the folds of a family's cross-validation: metrics/crossval/<family>, with metrics, a page, suspected labels."""

import json
import logging

from pipeline.config.families import check_family
from pipeline.config.reader import load_params
from pipeline.data.manifest import save_table
from pipeline.data.splits import load_splits
from pipeline.evaluation.cv_summary import (
    average_curves,
    describe_folds,
    join_fold_curves,
    load_fold_predictions,
    load_folds,
)
from pipeline.report.label_issues import find_held_out_suspects
from pipeline.report.page import render_page
from pipeline.report.sections.folds import describe_cross_validation
from pipeline.runtime.cli import run_family_verb
from pipeline.runtime.files import folder_aside, write_aside
from pipeline.runtime.paths import CROSSVAL, CROSSVAL_METRICS

logger = logging.getLogger(__name__)


def average(family: str) -> None:
    params = load_params()
    check_family(family)
    folds = load_folds(CROSSVAL / family, params.crossval.folds)
    curves = join_fold_curves(folds.curves)
    mean, summary = average_curves(curves), describe_folds(folds.metrics)
    folder = CROSSVAL_METRICS / family
    with folder_aside(folder / "plots") as partial:
        save_table(curves, partial / "curves.csv")
        save_table(mean, partial / "mean.csv")
    save_table(folds.metrics, folder / "folds.csv")
    issues = find_held_out_suspects(load_fold_predictions(CROSSVAL / family, params.crossval.folds), load_splits())
    save_table(issues, folder / "label_issues.csv")
    with write_aside(folder / "summary.json") as partial:
        partial.write_text(json.dumps(summary, indent=1) + "\n")
    content = describe_cross_validation(folds.metrics, curves, mean)
    page = render_page(
        "crossval.html",
        family=family,
        summary=summary,
        num_issues=len(issues),
        augment=params.crossval.augment,
        **content,
    )
    with write_aside(folder / "report.html") as partial:
        partial.write_text(page, encoding="utf-8")
    accuracy = f"{summary['accuracy_mean']:.4f} ± {summary['accuracy_sd']:.4f}"
    logger.info("%s: accuracy %s over %s folds; see %s", family, accuracy, summary["folds"], folder / "report.html")


if __name__ == "__main__":
    run_family_verb(average, __doc__)
