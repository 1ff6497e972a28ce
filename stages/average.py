"""Averages the folds of one family's cross-validation: metrics/crossval/<family>, figures, curves and a page to look at."""

import json

import pandas as pd

from pipeline.config.families import check_family
from pipeline.config.reader import load_params
from pipeline.data.manifest import save_table
from pipeline.evaluation.cv_summary import average_curves, describe_folds, load_folds
from pipeline.report.charts import draw_fold_curves, draw_folds
from pipeline.report.page import render_page
from pipeline.runtime.cli import run_family_verb
from pipeline.runtime.files import folder_aside, write_aside
from pipeline.runtime.paths import CROSSVAL, CROSSVAL_METRICS


def average(family: str) -> None:
    params = load_params()
    check_family(family)
    folds = load_folds(CROSSVAL / family, params.crossval.folds)
    curves = pd.concat([table.assign(fold=fold) for fold, table in folds.curves.items()], ignore_index=True)
    summary = describe_folds(folds.figures)
    with folder_aside(CROSSVAL_METRICS / family / "plots") as folder:
        save_table(curves, folder / "curves.csv")
        save_table(average_curves(curves), folder / "mean.csv")
    save_table(folds.figures, CROSSVAL_METRICS / family / "folds.csv")
    with write_aside(CROSSVAL_METRICS / family / "summary.json") as partial:
        partial.write_text(json.dumps(summary, indent=1) + "\n")
    page = render_page(
        "crossval.html",
        family=family,
        summary=summary,
        folds=folds.figures.to_dict("records"),
        boxes=draw_folds(folds.figures),
        curves={metric: draw_fold_curves(curves, average_curves(curves), metric) for metric in ("accuracy", "loss")},
        augment=params.crossval.augment,
    )
    with write_aside(CROSSVAL_METRICS / family / "report.html") as partial:
        partial.write_text(page, encoding="utf-8")
    print(
        f"{family}: accuracy {summary['accuracy_mean']:.4f} ± {summary['accuracy_sd']:.4f} over {summary['folds']} folds; "
        f"see {CROSSVAL_METRICS / family / 'report.html'}"
    )


if __name__ == "__main__":
    run_family_verb(average, __doc__)
