"""data/examination: what `examine` has found, for the report."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.runtime.paths import EXAMINATION

NEAR_COLUMNS = ["name", "split", "label", "train_name", "train_label", "similarity"]
_TEXT = dict.fromkeys(["name", "split", "label", "mode", "train_name", "train_label", "stage"], "str")


@dataclass(frozen=True)
class Examination:
    """The tables and facts that stages.examine describes."""

    classes: pd.DataFrame
    images: pd.DataFrame
    near_duplicates: pd.DataFrame
    facts: dict[str, Any]


def load_examination(folder: Path = EXAMINATION) -> Examination:
    """Class names stay text, whatever they look like."""
    tables = {
        name: pd.read_csv(folder / f"{name}.csv", dtype=_TEXT, keep_default_na=False)
        for name in ("classes", "images", "near_duplicates")
    }
    return Examination(**tables, facts=json.loads((folder / "facts.json").read_text()))
