"""What the page says of "none of these": how often a family refuses test images, and pictures of no class."""

from typing import Any, TypedDict

import pandas as pd

from pipeline.evaluation.results import Results
from pipeline.report.tables import to_records


class Refusals(TypedDict):
    """kinds: of pictures of no class. rows: one dict per family and score: family, score, is_used, alarms (share of test images
    refused), found: kind to (auroc, share refused). refuses: whether any picture was refused by a score in use."""

    kinds: list[str]
    rows: list[dict[str, Any]]
    refuses: bool


def describe_refusals(results: dict[str, Results], families: list[str]) -> Refusals:
    """The score that a family refuses by comes first."""
    tables = {family: results[family].refusals for family in families}
    kinds = list(dict.fromkeys(kind for table in tables.values() for kind in table["kind"] if kind != "test"))
    rows = [row for family, table in tables.items() for row in _describe(family, table)]
    refuses = any((table.loc[table["is_used"].astype(bool), "refused"] > 0).any() for table in tables.values())
    return {"kinds": kinds, "rows": rows, "refuses": refuses}


def _describe(family: str, table: pd.DataFrame) -> list[dict[str, Any]]:
    records = to_records(table)
    scores = sorted({record["score"]: record["is_used"] for record in records}.items(), key=lambda pair: not pair[1])
    return [
        {
            "family": family,
            "score": score,
            "is_used": is_used,
            "alarms": next(r["refused"] for r in records if r["score"] == score and r["kind"] == "test"),
            "found": {
                r["kind"]: (r["auroc"], r["refused"]) for r in records if r["score"] == score and r["kind"] != "test"
            },
        }
        for score, is_used in scores
    ]
