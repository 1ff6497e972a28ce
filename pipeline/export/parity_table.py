"""parity.csv, what the gate has found, a row per format."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from pipeline.data.manifest import read_table, save_table
from pipeline.export.parity import Parity
from pipeline.runtime.paths import EXPORTED

PARITY_FILE = "parity.csv"


def save_parity(rows: list[Parity], folder: Path) -> None:
    """Writes parity.csv, a row per format; see Parity."""
    save_table(pd.DataFrame([asdict(row) for row in rows]), folder / PARITY_FILE)


def load_parity(family: str, parent: Path = EXPORTED) -> pd.DataFrame | None:
    """A row per format, see Parity; None where the family is not exported."""
    file = parent / family / PARITY_FILE
    return read_table(file, keep_default_na=False) if file.exists() else None
