"""The families' results, joined into tables. Pure."""

from typing import Any

import pandas as pd

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
]
CURVE_COLUMNS = ["family", "split", "epoch", "accuracy", "loss"]
HEADLINES = ["test_accuracy", "val_accuracy", "test_macro_f1"]


def make_summary(figures: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """SUMMARY_COLUMNS, a row a family, the highest test accuracy first; equal ones in alphabetical order."""
    table = pd.DataFrame([{"family": family, **values} for family, values in figures.items()], columns=SUMMARY_COLUMNS)
    table["best_epoch"] = table["best_epoch"].astype("Int64")
    return table.sort_values(["test_accuracy", "family"], ascending=[False, True], ignore_index=True)


def choose_family(summary: pd.DataFrame) -> str:
    """The family to use: the highest validation accuracy, ties by lower validation loss. The test split has no say."""
    return str(
        summary.sort_values(["val_accuracy", "val_loss", "family"], ascending=[False, True, True])["family"].iloc[0]
    )


def make_comparison(summary: pd.DataFrame) -> pd.DataFrame:
    """family, split, accuracy: three rows a family, for charts."""
    long = summary.melt("family", ["train_accuracy", "val_accuracy", "test_accuracy"], "split", "accuracy")
    return long.assign(split=long["split"].str.removesuffix("_accuracy"))


def join_curves(curves: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """family, split, epoch, accuracy, loss: the curves of all families in one table, for one chart."""
    return pd.concat([table.assign(family=family) for family, table in curves.items()])[CURVE_COLUMNS]


def make_timings(readings: dict[str, dict[str, float]]) -> pd.DataFrame:
    """family and its clock readings in seconds, a row a family; nothing where there was none."""
    return pd.DataFrame([{"family": family, **seconds} for family, seconds in readings.items()])
