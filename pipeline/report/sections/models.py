"""What the page says of the families: which one, how sure that is, how far its probabilities can be trusted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.calibration import apply_temperature, compute_calibration
from pipeline.evaluation.ensemble import ENSEMBLE, fit_weights, mix
from pipeline.evaluation.intervals import compare_families, compute_accuracy_interval
from pipeline.evaluation.metrics import compute_classification_metrics, compute_figures
from pipeline.evaluation.results import Results
from pipeline.report.charts import (
    draw_architecture,
    draw_class_scores,
    draw_comparison,
    draw_curves,
    draw_operating_curve,
    draw_reliability,
)
from pipeline.report.tables import choose_family, make_comparison, to_records

_ARCHITECTURES = 12  # families whose layers are drawn


@dataclass(frozen=True)
class Ensemble:
    """weights: by family. figures: as of a family. hits: bool (n,), by test image."""

    weights: dict[str, float]
    figures: dict[str, Any]
    hits: np.ndarray


def get_probabilities(predictions: pd.DataFrame) -> np.ndarray:
    """float64 (n, classes) of a table of predictions, classes in the order of its columns."""
    return predictions.filter(regex=r"^p:").to_numpy(np.float64)


def get_labels(predictions: pd.DataFrame) -> np.ndarray:
    """int (n,), numbers in the order of the table's classes."""
    names = [name.removeprefix("p:") for name in predictions.columns if name.startswith("p:")]
    return predictions["label"].map({name: number for number, name in enumerate(names)}).to_numpy()


def get_hits(predictions: pd.DataFrame) -> np.ndarray:
    """bool (n,), which images are named rightly."""
    return (predictions["label"] == predictions["predicted"]).to_numpy()


def combine(results: dict[str, Results]) -> Ensemble | None:
    """The families' calibrated probabilities, averaged with the weights that suit the validation images best; None for a
    family alone."""
    if len(results) < 2:
        return None
    val, test = (
        {
            family: apply_temperature(get_probabilities(getattr(result, split)), result.figures["temperature"])
            for family, result in results.items()
        }
        for split in ("val_predictions", "predictions")
    )
    first = next(iter(results.values()))
    val_labels, labels = get_labels(first.val_predictions), get_labels(first.predictions)
    weights = fit_weights(val_labels, val)
    mixed = {"val": (val_labels, mix(val, weights)), "test": (labels, mix(test, weights))}
    figures: dict[str, Any] = {}
    for split, (truth, probabilities) in mixed.items():
        figures |= {f"{split}_{name}": value for name, value in compute_figures(truth, probabilities).items()}
    probabilities = mixed["test"][1]
    for part in (compute_classification_metrics(labels, probabilities), compute_calibration(labels, probabilities)):
        figures |= {f"test_{name}": value for name, value in part.items()}
    hits = probabilities.argmax(axis=1) == labels
    low, high = compute_accuracy_interval(int(hits.sum()), len(hits))
    members = [results[family].figures for family, weight in weights.items() if weight > 0]
    figures |= {"test_accuracy_low": low, "test_accuracy_high": high, "temperature": 1.0}
    for name in ("parameters", "trainable_parameters", "model_bytes"):
        figures[name] = sum(member[name] for member in members)
    return Ensemble(weights, figures, hits)


def compare(results: dict[str, Results], ensemble: Ensemble | None, reference: str) -> pd.DataFrame:
    """Every family, and the ensemble, with `reference`; see pipeline.evaluation.intervals."""
    hits = {family: get_hits(result.predictions) for family, result in results.items()}
    if ensemble is not None:
        hits[ENSEMBLE] = ensemble.hits
    return compare_families(hits, reference)


def describe_models(
    summary: pd.DataFrame,
    curves: pd.DataFrame,
    comparisons: pd.DataFrame,
    results: dict[str, Results],
    ensemble: Ensemble | None,
    class_names: list[str],
) -> dict[str, Any]:
    """What the page's first sections need."""
    rows = to_records(summary)
    families = [name for name in summary["family"] if name != ENSEMBLE]
    chosen = choose_family(summary)
    result = results[chosen]
    scores = pd.concat([results[name].classes.assign(family=name) for name in families])
    ranking = comparisons.sort_values("difference", ascending=False, kind="stable")
    versus = {row["family"]: row for row in ranking.to_dict("records")}
    intervals = summary[["family", "test_accuracy", "test_accuracy_low", "test_accuracy_high"]]
    return {
        "rows": rows,
        "chosen": next(row for row in rows if row["family"] == chosen),
        "figures": result.figures,
        "versus": versus,
        "ties": [name for name in families if name in versus and not versus[name]["distinguishable"]],
        "beaten_by": [name for name in families if name in versus and _is_better(versus[name])],
        "ensemble": describe_ensemble(ensemble, versus.get(ENSEMBLE)),
        "comparison": draw_comparison(make_comparison(summary), intervals, list(summary["family"])),
        "accuracy_curves": draw_curves(curves, "accuracy", families),
        "loss_curves": draw_curves(curves, "loss", families),
        "class_scores": draw_class_scores(scores, families, class_names),
        "classes": to_records(result.classes),
        "roc": draw_operating_curve(result.roc, "false_positive_rate", "true_positive_rate"),
        "pr": draw_operating_curve(result.pr, "recall", "precision"),
        "reliability": draw_reliability(result.reliability),
        "calibrations": [
            {"family": name, **{key: results[name].figures[key] for key in _CALIBRATION}} for name in families
        ],
        "architectures": {
            name: {
                "picture": draw_architecture(results[name].layers),
                "layers": results[name].layers.to_dict("records"),
            }
            for name in families[:_ARCHITECTURES]
        },
    }


_CALIBRATION = (
    "temperature",
    "test_ece",
    "test_ece_calibrated",
    "test_brier",
    "test_brier_calibrated",
    "test_loss",
    "test_loss_calibrated",
)


def _is_better(row: dict[Any, Any]) -> bool:
    return bool(row["distinguishable"] and row["difference"] > 0)


def describe_ensemble(ensemble: Ensemble | None, versus: dict[Any, Any] | None) -> dict[str, Any] | None:
    """weights, accuracy, and a verdict against the chosen family: better, worse or tied."""
    if ensemble is None or versus is None:
        return None
    verdict = "tied" if not versus["distinguishable"] else "better" if versus["difference"] > 0 else "worse"
    weights = {family: weight for family, weight in ensemble.weights.items() if weight >= 0.005}
    ranked = dict(sorted(weights.items(), key=lambda pair: -pair[1]))
    return {"weights": ranked, "verdict": verdict, "accuracy": ensemble.figures["test_accuracy"], **versus}
