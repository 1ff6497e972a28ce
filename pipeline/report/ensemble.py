"""The families' ensemble, made of what evaluate left of each; and every family, and the ensemble, against the chosen one."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.calibration import apply_temperature, compute_calibration
from pipeline.evaluation.ensemble import ENSEMBLE, fit_weights, mix
from pipeline.evaluation.intervals import compare_families, compute_accuracy_interval
from pipeline.evaluation.metrics import compute_basic_metrics, compute_classification_metrics
from pipeline.evaluation.results import Results
from pipeline.report.prediction_table import get_hits, get_labels, get_probabilities

_SUMS = ("parameters", "trainable_parameters", "model_bytes")  # of all members


@dataclass(frozen=True)
class Ensemble:
    """weights: by family. metrics: those of a family, but for training. hits: bool (n,), by test image."""

    weights: dict[str, float]
    metrics: dict[str, Any]
    hits: np.ndarray


def combine(results: dict[str, Results]) -> Ensemble | None:
    """Averages the families' calibrated probabilities with the weights that suit the validation images best; None for a
    family alone."""
    if len(results) < 2:
        return None
    val, test = _calibrate(results, "val_predictions"), _calibrate(results, "predictions")
    first = next(iter(results.values()))
    val_labels, labels = get_labels(first.val_predictions), get_labels(first.predictions)
    weights = fit_weights(val_labels, val)
    probabilities = mix(test, weights)
    metrics = _name_metrics("val", compute_basic_metrics(val_labels, mix(val, weights)))
    for part in (compute_basic_metrics, compute_classification_metrics, compute_calibration):
        metrics |= _name_metrics("test", part(labels, probabilities))
    hits = probabilities.argmax(axis=1) == labels
    low, high = compute_accuracy_interval(int(hits.sum()), len(hits))
    metrics |= {"test_accuracy_low": low, "test_accuracy_high": high, "temperature": 1.0}
    members = [results[family].metrics for family, weight in weights.items() if weight > 0]
    metrics |= {name: sum(member[name] for member in members) for name in _SUMS}
    return Ensemble(weights, metrics, hits)


def _calibrate(results: dict[str, Results], table: str) -> dict[str, np.ndarray]:
    """Family to its calibrated probabilities, (n, classes). table: predictions or val_predictions."""
    return {
        family: apply_temperature(get_probabilities(getattr(result, table)), result.metrics["temperature"])
        for family, result in results.items()
    }


def _name_metrics(split: str, metrics: dict[str, Any]) -> dict[str, Any]:
    return {f"{split}_{name}": value for name, value in metrics.items()}


def compare_with_chosen(results: dict[str, Results], ensemble: Ensemble | None, chosen: str) -> pd.DataFrame:
    """Every other family, and the ensemble, against the chosen one on the same test images; see `compare_families`."""
    hits = {family: get_hits(result.predictions) for family, result in results.items()}
    if ensemble is not None:
        hits[ENSEMBLE] = ensemble.hits
    return compare_families(hits, chosen)
