"""What the page says of pretrained families that were trained in two ways: frozen, and fine-tuned."""

from typing import Any

from pipeline.report.ensemble import find_phases
from pipeline.report.findings import Findings
from pipeline.report.tables import to_records


def describe_phases(findings: Findings) -> dict[str, Any]:
    """One dict per family that is here in both phases: name, frozen and tuned (rows of the summary), versus (how the
    fine-tuned one compares with the frozen one)."""
    rows = {row["family"]: row for row in to_records(findings.summary)}
    pairs = find_phases(family for family in rows)
    return {
        "phases": [
            {"name": frozen, "frozen": rows[frozen], "tuned": rows[tuned], "versus": _compare(findings, tuned, frozen)}
            for frozen, tuned in pairs
        ]
    }


def _compare(findings: Findings, tuned: str, frozen: str) -> dict[Any, Any]:
    """The row of the comparisons, turned round where the frozen family was compared with the fine-tuned one."""
    table = findings.comparisons
    for family, reference in ((tuned, frozen), (frozen, tuned)):
        found = to_records(table[(table["family"] == family) & (table["reference"] == reference)])
        if found:
            return found[0] if family == tuned else _turn(found[0])
    raise ValueError(f"{tuned} and {frozen} were not compared")


def _turn(row: dict[Any, Any]) -> dict[Any, Any]:
    return row | {
        "family": row["reference"],
        "reference": row["family"],
        "only_family": row["only_reference"],
        "only_reference": row["only_family"],
        "difference": -row["difference"] + 0.0,
    }
