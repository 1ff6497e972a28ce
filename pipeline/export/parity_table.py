"""parity.csv, what the gate has found, a row per format."""

from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd

from pipeline.config.types import ExportFormat
from pipeline.data.manifest import read_table, save_table
from pipeline.export.contract import LABELS_FILE
from pipeline.export.decode_script import DECODE_FILE
from pipeline.export.formats import FORMATS
from pipeline.export.parity import Parity
from pipeline.models.contract import CONTRACT_FILE
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import EXPORTED

PARITY_FILE = "parity.csv"
_COLUMNS = [field.name for field in fields(Parity)]
_TEXTS = ("format", "file", "status", "reason")


def save_parity(rows: list[Parity], folder: Path) -> None:
    """Writes parity.csv, a row per format; see Parity."""
    table = pd.DataFrame([asdict(row) for row in rows]).astype({"refusal_disagreements": "Int64"})
    save_table(table, folder / PARITY_FILE)


def load_parity(family: str, parent: Path = EXPORTED) -> pd.DataFrame | None:
    """A row per format, see Parity, with numbers missing where a file has none; None where the family is not exported."""
    file = parent / family / PARITY_FILE
    if not file.exists():
        return None
    empty = {name: [""] for name in _COLUMNS if name not in _TEXTS}
    table = read_table(file, keep_default_na=False, na_values=empty)
    return table.reindex(columns=_COLUMNS)  # an older version's table has fewer


def load_kept(family: str, name: str | None = None) -> pd.DataFrame:
    """The one row, see Parity, of a format that the gate has kept: of `name`, or of onnx, or else of the first. Raises
    PipelineError where there is none."""
    table = load_parity(family)
    if table is None:
        raise PipelineError(
            f"{EXPORTED / family} has no exported file: expected one; run `dvc exp run -S 'export.formats=[onnx]' -S "
            f"'export.families=[{family}]'`"
        )
    kept = table[table["status"] == "kept"]
    wanted = name or ("onnx" if "onnx" in set(kept["format"]) else next(iter(kept["format"]), ""))
    if wanted not in set(kept["format"]):
        there = ", ".join(kept["format"]) or "none"
        raise PipelineError(f"--format: {family} is not exported as {wanted or 'anything'}: expected one of {there}")
    return kept[kept["format"] == wanted]


def list_files(folder: Path, name: ExportFormat) -> list[Path]:
    """What a program needs of `folder` for one format, sorted."""
    file = folder / FORMATS[name].file
    parts = [part for part in file.rglob("*") if part.is_file()] if file.is_dir() else [file]
    beside = [file.with_suffix(".bin")] if file.suffix == ".xml" else []
    return sorted([*parts, *beside, *(folder / name for name in (CONTRACT_FILE, DECODE_FILE, LABELS_FILE))])
