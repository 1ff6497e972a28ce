"""The families' results, joined into tables. Pure, but for reading one back."""

from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.evaluation.ensemble import ENSEMBLE
from pipeline.evaluation.roc_pr import MEAN
from pipeline.runtime.errors import PipelineError

SUMMARY_COLUMNS = [
    "family",
    "test_accuracy",
    "val_accuracy",
    "train_accuracy",
    "test_macro_f1",
    "test_loss",
    "val_loss",
    "train_loss",
    "parameters",
    "trainable_parameters",
    "best_epoch",
    "test_accuracy_low",
    "test_accuracy_high",
    "test_balanced_accuracy",
    "test_roc_auc",
    "test_ece",
    "temperature",
    "verdict",
    "model_bytes",
]
CURVE_COLUMNS = ["family", "split", "epoch", "accuracy", "loss"]
HEADLINES = ["test_accuracy", "val_accuracy", "test_macro_f1"]


def to_records(table: pd.DataFrame) -> list[dict[Any, Any]]:
    """A dict a row, None where a value is missing."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def make_summary(figures: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """SUMMARY_COLUMNS, a row a family, the highest test accuracy first; equal ones in alphabetical order. What is not
    defined is missing, as an ensemble's training accuracy."""
    table = pd.DataFrame([{"family": family, **values} for family, values in figures.items()], columns=SUMMARY_COLUMNS)
    words = ("family", "verdict")
    numbers = {name: pd.to_numeric(table[name]) for name in SUMMARY_COLUMNS if name not in words}
    table = table.assign(**numbers).astype({"best_epoch": "Int64"})
    return table.sort_values(["test_accuracy", "family"], ascending=[False, True], ignore_index=True)


def choose_family(summary: pd.DataFrame) -> str:
    """The family to use: the highest validation accuracy, ties by lower validation loss. The test split has no say."""
    families = summary[summary["family"] != ENSEMBLE]
    return str(
        families.sort_values(["val_accuracy", "val_loss", "family"], ascending=[False, True, True])["family"].iloc[0]
    )


def load_summary(file: Path) -> pd.DataFrame:
    """metrics/summary.csv. Raises PipelineError where it is not there."""
    try:
        return pd.read_csv(file, dtype={"family": "str"}, keep_default_na=True)
    except FileNotFoundError as error:
        raise PipelineError(
            f"{file} is not here: expected the report's comparison; run `dvc repro`, or name one with --family"
        ) from error


def make_comparison(summary: pd.DataFrame) -> pd.DataFrame:
    """family, split, accuracy: three rows a family, for charts."""
    families = summary[summary["family"] != ENSEMBLE]
    long = families.melt("family", ["train_accuracy", "val_accuracy", "test_accuracy"], "split", "accuracy")
    return long.assign(split=long["split"].str.removesuffix("_accuracy"))


def join_curves(curves: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """family, split, epoch, accuracy, loss: the curves of all families in one table, for one chart."""
    return pd.concat([table.assign(family=family) for family, table in curves.items()])[CURVE_COLUMNS]


def join_tables(results: dict[str, Any], name: str) -> pd.DataFrame:
    """family, and the columns of one table of every family's results, for one chart: of curves the mean over classes alone,
    of reliability what predict gives, after calibration."""
    tables = [getattr(result, name).assign(family=family) for family, result in results.items()]
    table = pd.concat(tables, ignore_index=True)
    if name in ("roc", "pr"):
        table = table[table["label"] == MEAN].drop(columns="label")
    if name == "reliability":
        table = table[table["state"] == "after"].drop(columns="state")
    return table[["family", *table.columns.drop("family")]]


def make_timings(readings: dict[str, dict[str, float]]) -> pd.DataFrame:
    """family and its readings, in seconds, images a second and MB, a row a family; nothing where there was none."""
    return pd.DataFrame([{"family": family, **seconds} for family, seconds in readings.items()])
