"""data/examination: what `examine` finds, for the report."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from pipeline.data.manifest import read_table, save_table
from pipeline.runtime.files import folder_aside
from pipeline.runtime.paths import EXAMINATION

NEAR_COLUMNS = ["name", "split", "label", "train_name", "train_label", "similarity"]
FAULT_COLUMNS = ["name", "label", "fault", "value"]
_TABLES = ("classes", "images", "near_duplicates", "faults", "pixels")
_TEXT = dict.fromkeys(["name", "split", "label", "mode", "train_name", "train_label", "stage", "fault"], "str")


@dataclass(frozen=True)
class Homogeneity:
    """Pearson's chi-squared test of homogeneity. least_expected: the smallest expected count; below 5, p is only rough."""

    chi_squared: float
    degrees_of_freedom: int
    p: float
    least_expected: float


@dataclass(frozen=True)
class ExaminationFacts(Homogeneity):
    """near_duplicate: the cosine similarity, 0 to 1, from which two images are listed."""

    near_duplicate: float


@dataclass(frozen=True)
class Examination:
    """classes: label, stage (found, kept, or a split), images. images: name, split, label, brightness, contrast, width,
    height, mode, one row per image. near_duplicates: NEAR_COLUMNS, one row per image of test or val that train has nearly.
    faults: FAULT_COLUMNS, one row per image and fault. pixels: PIXEL_COLUMNS of `pipeline.data.pixel_values`."""

    classes: pd.DataFrame
    images: pd.DataFrame
    near_duplicates: pd.DataFrame
    faults: pd.DataFrame
    pixels: pd.DataFrame
    facts: ExaminationFacts


def save_examination(examination: Examination, folder: Path = EXAMINATION) -> None:
    """Writes one CSV file per table, and facts.json; complete or not at all."""
    with folder_aside(folder) as partial:
        for name in _TABLES:
            save_table(getattr(examination, name), partial / f"{name}.csv")
        (partial / "facts.json").write_text(json.dumps(asdict(examination.facts), indent=1) + "\n")


def load_examination(folder: Path = EXAMINATION) -> Examination:
    """What `save_examination` wrote. Class names stay text, whatever they look like."""
    tables = {name: read_table(folder / f"{name}.csv", dtype=_TEXT, keep_default_na=False) for name in _TABLES}
    return Examination(**tables, facts=ExaminationFacts(**json.loads((folder / "facts.json").read_text())))
