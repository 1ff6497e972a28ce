"""What the page says of exported files: what they are worth, and, from run.js, what they cost."""

from dataclasses import asdict
from typing import Any

from pipeline.export.costs import load_costs
from pipeline.export.parity_table import load_parity
from pipeline.report.tables import to_records


def describe_exports(families: list[str]) -> dict[str, Any]:
    """exports: family, in the order of `families`, to one dict per format, the columns of parity.csv; only those with files."""
    tables = {family: load_parity(family) for family in families}
    return {"exports": {family: to_records(table) for family, table in tables.items() if table is not None}}


def list_export_costs(digests: dict[str, str]) -> list[dict[str, Any]]:
    """One dict per family, format and number of threads, for run.js: see Cost. digests: family to its model's SHA-256."""
    return [
        {"family": family, **asdict(cost)} for family, digest in digests.items() for cost in load_costs(family, digest)
    ]
