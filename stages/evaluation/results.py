"""What evaluate hands to the report: data/evaluations/<family>/, one folder a family, the same files in each."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from stages.dataset.manifest import save_table
from stages.files import folder_aside, remove, write_aside

EVALUATIONS = Path("data/evaluations")
METRICS = Path("metrics")
_PUBLISHED = ("metrics.json", "classes.csv", "confusion.csv", "predictions.csv")


@dataclass(frozen=True)
class Results:
    """figures: name to number. classes, confusion, predictions: see stages.evaluation.metrics. curves: split (train or
    val), epoch (from 1), accuracy, loss."""

    figures: dict[str, Any]
    classes: pd.DataFrame
    confusion: pd.DataFrame
    predictions: pd.DataFrame
    curves: pd.DataFrame


def save_results(family: str, results: Results) -> None:
    """Writes data/evaluations/<family>/ for the report and metrics/<family>/ for people."""
    with folder_aside(EVALUATIONS / family) as folder:
        (folder / "metrics.json").write_text(json.dumps(results.figures, indent=1) + "\n")
        for name in ("classes", "confusion", "predictions", "curves"):
            save_table(getattr(results, name), folder / f"{name}.csv")
    for name in _PUBLISHED:
        with write_aside(METRICS / family / name) as partial:
            shutil.copyfile(EVALUATIONS / family / name, partial)


def load_results(family: str, folder: Path = EVALUATIONS) -> Results:
    """What `save_results` wrote. Class names stay text, whatever they look like."""
    text = dict.fromkeys(["image_id", "name", "label", "predicted"], "str")
    classes, confusion, predictions = (
        pd.read_csv(folder / family / f"{name}.csv", dtype=text, keep_default_na=False)
        for name in ("classes", "confusion", "predictions")
    )
    figures = json.loads((folder / family / "metrics.json").read_text())
    return Results(figures, classes, confusion, predictions, pd.read_csv(folder / family / "curves.csv"))


def load_curves(record: Path) -> pd.DataFrame:
    """split, epoch, accuracy, loss from a dvclive folder."""
    parts = []
    for split, name in (("train", "train"), ("val", "eval")):
        lines = record / "plots" / "metrics" / name
        accuracy, loss = (pd.read_csv(lines / f"{metric}.tsv", sep="\t") for metric in ("accuracy", "loss"))
        both = accuracy.merge(loss, on="step")
        parts.append(both.assign(split=split, epoch=both["step"] + 1))
    return pd.concat(parts)[["split", "epoch", "accuracy", "loss"]].round(6)


def remove_leftovers(families: list[str], folder: Path = EVALUATIONS) -> None:
    """Deletes results of families that nobody asks for any more: DVC leaves them, and they would change the folder's hash."""
    for path in folder.iterdir():
        if path.name not in families:
            remove(path)
