"""What the page says of the families: which one to use, how sure that is, how far its probabilities can be trusted."""

import math
from collections.abc import Mapping
from typing import Any, TypedDict

import pandas as pd

from pipeline.config.types import Measure
from pipeline.evaluation.conformal import count_images_needed
from pipeline.evaluation.ensemble import ENSEMBLE
from pipeline.evaluation.intervals import compute_accuracy_interval
from pipeline.evaluation.measures import LESS_IS_BETTER
from pipeline.evaluation.metric_types import Metrics
from pipeline.evaluation.results import Results
from pipeline.report.charts.architecture import draw_architecture
from pipeline.report.charts.models import (
    draw_class_scores,
    draw_comparison,
    draw_curves,
    draw_operating_curve,
)
from pipeline.report.charts.reliability import FEW, draw_reliability
from pipeline.report.ensemble import Ensemble
from pipeline.report.findings import Findings
from pipeline.report.sections.costs import describe_costs
from pipeline.report.sections.refusals import describe_refusals
from pipeline.report.sections.zero_shot import describe_zero_shot
from pipeline.report.tables import COLUMN_OF, make_comparison, to_records

_ARCHITECTURES = 12  # families whose layers are drawn
_POINT, _TWO_SIDED = 0.01, 1.96  # a difference that nobody minds; standard deviations of 95 %
# Each measure as the page calls it.
_NAMES: dict[Measure, str] = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "roc_auc": "ROC AUC",
    "cost": "mean cost",
}


class GuessingFacts(TypedDict):
    """measure: its name. column: of the summary, by which families are chosen; None for accuracy, which is there anyway. value,
    guess: of the chosen family and of guessing, as the measure is read. is_share: from 0 to 1. label, accuracy, is_tie,
    is_unequal: see `Guessing`. versus: family to whether it is distinguishably better than guessing. images_needed, is_dealt:
    see `Versus`. is_dealing: whether answers can be dealt out by this measure."""

    measure: str
    column: str | None
    value: float
    guess: float
    is_share: bool
    is_better: bool
    label: str
    accuracy: float
    is_tie: bool
    versus: dict[str, bool]
    images_needed: int | None
    is_dealt: bool
    is_dealing: bool
    is_unequal: bool


def describe_models(findings: Findings, results: dict[str, Results], class_names: list[str]) -> dict[str, Any]:
    """What the page's first sections need."""
    families = findings.ranked
    return {
        **describe_choice(findings, results[findings.chosen]),
        **describe_chosen(results[findings.chosen]),
        "accuracy_curves": draw_curves(findings.curves, "accuracy", families),
        "loss_curves": draw_curves(findings.curves, "loss", families),
        "class_scores": draw_class_scores(
            pd.concat([results[name].classes.assign(family=name) for name in families]), families, class_names
        ),
        "calibrations": [{"family": name, **results[name].metrics} for name in families],
        "mirrored": [name for name in families if results[name].metrics.get("tta") == "flip"],
        "sets": [describe_sets(name, results[name].metrics, len(results[name].predictions)) for name in families],
        "refusals": describe_refusals(results, families),
        "given_up": {
            name: results[name].metrics["given_up"] for name in families if "given_up" in results[name].metrics
        },
        "guessing": describe_guessing(findings),
        "zero_shot": describe_zero_shot(results[name].metrics for name in families),
        "error_costs": describe_costs(findings, results, class_names),
        "unpredicted": findings.unpredicted,
        "architectures": {name: describe_architecture(results[name].layers) for name in families[:_ARCHITECTURES]},
    }


class SetFacts(TypedDict):
    """A family's prediction sets on test images: see `pipeline.evaluation.conformal.measure_sets`. low, high: of coverage."""

    family: str
    coverage: float
    low: float
    high: float
    size: float
    single: float


def describe_sets(family: str, metrics: Metrics, images: int) -> SetFacts:
    """images: in the test split."""
    coverage = metrics["test_set_coverage"]
    low, high = compute_accuracy_interval(round(coverage * images), images)
    return {
        "family": family,
        "coverage": coverage,
        "low": low,
        "high": high,
        "size": metrics["test_set_size"],
        "single": metrics["test_set_single"],
    }


def describe_choice(findings: Findings, chosen: Results) -> dict[str, Any]:
    """The families' scores, the chosen one, and how the others compare with it. chosen: its results."""
    summary, families = findings.summary, findings.ranked
    rows = to_records(summary)
    comparisons = findings.comparisons
    ranking = comparisons[comparisons["reference"] == findings.chosen].sort_values(
        "difference", ascending=False, kind="stable"
    )
    versus = {row["family"]: row for row in to_records(ranking)}
    ties = [
        name
        for name in families
        if name in versus and not versus[name]["distinguishable"] and findings.guessing.versus[name].is_better
    ]
    intervals = summary[["family", "test_accuracy", "test_accuracy_low", "test_accuracy_high"]]
    return {
        "rows": rows,
        "chosen": next(row for row in rows if row["family"] == findings.chosen),
        "versus": versus,
        "all_worse": all(row["distinguishable"] for name, row in versus.items() if name in families),
        "as_good": [name for name in ties if _is_as_good(versus[name], len(chosen.predictions))],
        "ties": [name for name in ties if not _is_as_good(versus[name], len(chosen.predictions))],
        "beaten_by": [name for name in families if name in versus and _is_better(versus[name])],
        "ensemble": describe_ensemble(findings.ensemble, versus.get(ENSEMBLE)),
        "least_for_sets": count_images_needed(chosen.metrics["asked_coverage"]),
        "comparison": draw_comparison(make_comparison(summary), intervals, list(summary["family"])),
    }


def _is_as_good(versus: Mapping[str, Any], images: int) -> bool:
    """Whether the family, which can't be told from the chosen one, is right for at most one in a hundred images less: by the
    95 % interval of the difference of two shares of the same images."""
    mine, other = versus["only_family"], versus["only_reference"]
    difference = (mine - other) / images
    spread = math.sqrt(max(mine + other - images * difference**2, 0)) / images
    return difference - _TWO_SIDED * spread >= -_POINT


def describe_guessing(findings: Findings) -> GuessingFacts:
    """What guessing gives, and whether the chosen family and the others are better."""
    guessing, chosen = findings.guessing, findings.guessing.versus[findings.chosen]
    sign = -1 if guessing.measure in LESS_IS_BETTER else 1
    return {
        "measure": _NAMES[guessing.measure],
        "column": None if guessing.measure == "accuracy" else COLUMN_OF[guessing.measure],
        "value": sign * chosen.value,
        "guess": sign * chosen.guess,
        "is_share": sign > 0,
        "is_better": chosen.is_better,
        "label": guessing.label,
        "accuracy": guessing.accuracy,
        "versus": {family: versus.is_better for family, versus in guessing.versus.items()},
        "images_needed": chosen.images_needed,
        "is_dealt": chosen.is_dealt,
        "is_dealing": guessing.measure not in ("log_loss", "roc_auc"),
        "is_tie": guessing.is_tie,
        "is_unequal": guessing.is_unequal,
    }


def describe_chosen(result: Results) -> dict[str, Any]:
    """More about the chosen family: metrics, metrics by class, curves, calibration."""
    return {
        "metrics": result.metrics,
        "classes": to_records(result.classes),
        "roc": draw_operating_curve(result.roc, "false_positive_rate", "true_positive_rate"),
        "pr": draw_operating_curve(result.pr, "recall", "precision"),
        "reliability": draw_reliability(result.reliability),
        "few_images": FEW,
    }


def describe_architecture(layers: pd.DataFrame) -> dict[str, Any]:
    return {"picture": draw_architecture(layers), "layers": layers.to_dict("records")}


def _is_better(row: dict[Any, Any]) -> bool:
    return bool(row["distinguishable"] and row["difference"] > 0)


def describe_ensemble(ensemble: Ensemble | None, versus: dict[Any, Any] | None) -> dict[str, Any] | None:
    """weights, accuracy, and a verdict against the chosen family: better, worse or tied."""
    if ensemble is None or versus is None:
        return None
    verdict = "tied" if not versus["distinguishable"] else "better" if versus["difference"] > 0 else "worse"
    weights = {family: weight for family, weight in ensemble.weights.items() if weight >= 0.005}
    ranked = dict(sorted(weights.items(), key=lambda pair: -pair[1]))
    return {"weights": ranked, "verdict": verdict, "accuracy": ensemble.metrics["test_accuracy"], **versus}
