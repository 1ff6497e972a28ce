"""What the page says of errors that cost differently: what the most probable answers cost, and the cheapest ones."""

from typing import TypedDict

from pipeline.evaluation.decisions import Decisions, compare_decisions
from pipeline.evaluation.metrics import make_confusion_table
from pipeline.evaluation.results import Results
from pipeline.evaluation.temperature import apply_temperature
from pipeline.report.charts.mistakes import draw_confusion
from pipeline.report.findings import Findings
from pipeline.report.prediction_table import get_labels, get_probabilities


class CostRow(TypedDict):
    """See `Decisions`."""

    family: str
    probable: float
    least: float
    changed: int
    p: float


class CostFacts(TypedDict):
    """rows: one per family, the best first. confusion: SVG, of the chosen family's cheapest answers."""

    rows: list[CostRow]
    confusion: str


def describe_costs(findings: Findings, results: dict[str, Results], class_names: list[str]) -> CostFacts | None:
    """On test images. None where all errors cost the same."""
    if findings.costs is None:
        return None
    decisions = {family: _compare(results[family], findings) for family in findings.ranked}
    answers, chosen = decisions[findings.chosen].answers, results[findings.chosen]
    confusion = make_confusion_table(get_labels(chosen.predictions), answers, class_names)
    return {
        "rows": [
            {"family": family, "probable": d.probable, "least": d.least, "changed": d.changed, "p": d.p}
            for family, d in decisions.items()
        ],
        "confusion": draw_confusion(confusion, class_names),
    }


def _compare(result: Results, findings: Findings) -> Decisions:
    assert findings.costs is not None
    calibrated = apply_temperature(get_probabilities(result.predictions), result.metrics["temperature"])
    return compare_decisions(get_labels(result.predictions), calibrated, findings.costs)
