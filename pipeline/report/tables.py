"""The families' metrics as tables: the summary, and what follows from it. Pure, but for reading the summary back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config.types import Measure
from pipeline.evaluation.ensemble import ENSEMBLE
from pipeline.evaluation.measures import LESS_IS_BETTER
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
    "val_macro_f1",
    "val_balanced_accuracy",
    "val_roc_auc",
    "val_loss_calibrated",
    "val_cost",
    "p_guess",
    "chosen",
]
# What a choice is made by, on val.
COLUMN_OF: dict[Measure, str] = {
    "accuracy": "val_accuracy",
    "balanced_accuracy": "val_balanced_accuracy",
    "macro_f1": "val_macro_f1",
    "log_loss": "val_loss_calibrated",
    "roc_auc": "val_roc_auc",
    "cost": "val_cost",
}
CURVE_COLUMNS = ["family", "split", "epoch", "accuracy", "loss"]
HEADLINES = ["test_accuracy", "val_accuracy", "test_macro_f1"]


def to_records(table: pd.DataFrame) -> list[dict[Any, Any]]:
    """One dict per row, with None where a value is missing."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def make_summary(metrics: Mapping[str, Mapping[str, Any]], measure: Measure = "accuracy") -> pd.DataFrame:
    """SUMMARY_COLUMNS: one row per family, the highest test accuracy first; equal ones in alphabetical order. What is not
    defined is missing, such as an ensemble's training accuracy. metrics: family to name to value. measure: by which the family
    to use is chosen."""
    table = pd.DataFrame([{"family": family, **values} for family, values in metrics.items()], columns=SUMMARY_COLUMNS)
    words = ("family", "verdict", "chosen")
    numbers = {name: pd.to_numeric(table[name]) for name in SUMMARY_COLUMNS if name not in words}
    table = table.assign(**numbers).astype({"best_epoch": "Int64"})
    table = table.assign(chosen=table["family"] == choose_family(table, measure))
    return table.sort_values(["test_accuracy", "family"], ascending=[False, True], ignore_index=True)


def rank_families(summary: pd.DataFrame) -> list[str]:
    """The families without their ensemble, the highest test accuracy first."""
    return [name for name in summary["family"] if name != ENSEMBLE]


def choose_family(summary: pd.DataFrame, measure: Measure = "accuracy") -> str:
    """The family to use: the best by a measure on val; ties are broken by lower validation loss. The test split plays no
    part."""
    families = summary[summary["family"] != ENSEMBLE]
    ranked = families.sort_values(
        [COLUMN_OF[measure], "val_loss", "family"], ascending=[measure in LESS_IS_BETTER, True, True]
    )
    return str(ranked["family"].iloc[0])


def get_chosen(summary: pd.DataFrame) -> str:
    """The family that the report recommends. Raises PipelineError if the summary was written before it said so."""
    if "chosen" not in summary:
        raise PipelineError("metrics/summary.csv has no column chosen: expected one; run `dvc repro report`")
    return str(summary.loc[summary["chosen"].astype(bool), "family"].iloc[0])


def load_summary(file: Path) -> pd.DataFrame:
    """metrics/summary.csv. Raises PipelineError if there is none."""
    try:
        return pd.read_csv(file, dtype={"family": "str"}, keep_default_na=True)
    except FileNotFoundError as error:
        raise PipelineError(
            f"{file} is not here: expected the report's comparison; run `dvc repro`, or name a family with --family"
        ) from error


def make_comparison(summary: pd.DataFrame) -> pd.DataFrame:
    """family, split, accuracy: three rows per family, for charts."""
    families = summary[summary["family"] != ENSEMBLE]
    long = families.melt("family", ["train_accuracy", "val_accuracy", "test_accuracy"], "split", "accuracy")
    return long.assign(split=long["split"].str.removesuffix("_accuracy"))


def make_timings(readings: dict[str, dict[str, float]]) -> pd.DataFrame:
    """family and its readings, in seconds, images per second and MB: one row per family; missing where there is no reading."""
    return pd.DataFrame([{"family": family, **seconds} for family, seconds in readings.items()])
