"""One table of all families for each chart that `dvc plots` draws: metrics/plots. Pure."""

import pandas as pd

from pipeline.evaluation.results import Results
from pipeline.evaluation.roc_pr import MEAN
from pipeline.report.tables import CURVE_COLUMNS


def join_curves(curves: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """CURVE_COLUMNS of all families. curves: family to split, epoch, accuracy, loss."""
    return pd.concat([table.assign(family=family) for family, table in curves.items()])[CURVE_COLUMNS]


def join_tables(results: dict[str, Results], name: str) -> pd.DataFrame:
    """family, and the columns of one table of every family's results: of roc and pr only the mean over classes, of
    reliability only what predict gives, after calibration."""
    tables = [getattr(result, name).assign(family=family) for family, result in results.items()]
    table = pd.concat(tables, ignore_index=True)
    if name in ("roc", "pr"):
        table = table[table["label"] == MEAN].drop(columns="label")
    if name == "reliability":
        table = table[table["state"] == "after"].drop(columns="state")
    return table[["family", *table.columns.drop("family")]]
