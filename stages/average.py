"""Averages the folds of one family's cross-validation: metrics/crossval/<family>, with metrics, curves and a page."""

import json
import logging

from pipeline.config.families import check_family
from pipeline.config.reader import load_params
from pipeline.data.manifest import save_table
from pipeline.evaluation.cv_summary import average_curves, describe_folds, join_fold_curves, load_folds
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
    with write_aside(folder / "summary.json") as partial:
        partial.write_text(json.dumps(summary, indent=1) + "\n")
    content = describe_cross_validation(folds.metrics, curves, mean)
    page = render_page("crossval.html", family=family, summary=summary, augment=params.crossval.augment, **content)
    with write_aside(folder / "report.html") as partial:
        partial.write_text(page, encoding="utf-8")
    accuracy = f"{summary['accuracy_mean']:.4f} ± {summary['accuracy_sd']:.4f}"
    logger.info("%s: accuracy %s over %s folds; see %s", family, accuracy, summary["folds"], folder / "report.html")


if __name__ == "__main__":
    run_family_verb(average, __doc__)
