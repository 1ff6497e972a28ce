"""The families' ensemble, made of what evaluate left of each; and how families compare: each, and the ensemble, with the chosen
one, and the fine-tuned with the frozen."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from pipeline.config.families import DISTILLED, FINE_TUNED
from pipeline.config.types import Measure
from pipeline.evaluation.calibration import compute_calibration
from pipeline.evaluation.decisions import use_probabilities
from pipeline.evaluation.ensemble import ENSEMBLE, fit_weights, mix
from pipeline.evaluation.intervals import compare_pairs, compute_accuracy_interval
from pipeline.evaluation.measures import measure_images
from pipeline.evaluation.metric_types import EnsembleMetrics, Size
from pipeline.evaluation.metrics import compute_basic_metrics, compute_classification_metrics
from pipeline.evaluation.results import Results
from pipeline.evaluation.temperature import apply_temperature
from pipeline.report.prediction_table import get_labels, get_probabilities


@dataclass(frozen=True)
class Ensemble:
    """weights: by family. metrics: those of a family, but for training. probabilities: float64 (n, classes), of test."""

    weights: dict[str, float]
    metrics: EnsembleMetrics
    probabilities: np.ndarray


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
    metrics |= _name_metrics("test", compute_basic_metrics(labels, probabilities))
    metrics |= _name_metrics("test", compute_classification_metrics(labels, probabilities))
    metrics |= _name_metrics("test", compute_calibration(labels, probabilities))
    hits = probabilities.argmax(axis=1) == labels
    low, high = compute_accuracy_interval(int(hits.sum()), len(hits))
    metrics |= {"test_accuracy_low": low, "test_accuracy_high": high, "temperature": 1.0}
    members = [results[family].metrics for family, weight in weights.items() if weight > 0]
    sizes: Size = {
        "parameters": sum(member["parameters"] for member in members),
        "trainable_parameters": sum(member["trainable_parameters"] for member in members),
        "model_bytes": sum(member["model_bytes"] for member in members),
    }
    metrics |= sizes
    return Ensemble(weights, cast(EnsembleMetrics, metrics), probabilities)


def _calibrate(results: dict[str, Results], table: str) -> dict[str, np.ndarray]:
    """Family to its calibrated probabilities, (n, classes). table: predictions or val_predictions."""
    return {
        family: apply_temperature(get_probabilities(getattr(result, table)), result.metrics["temperature"])
        for family, result in results.items()
    }


def get_used_probabilities(result: Results, measure: Measure, costs: np.ndarray | None) -> np.ndarray:
    """Of the test images, see `use_probabilities`."""
    return use_probabilities(measure, get_probabilities(result.predictions), result.metrics["temperature"], costs)


def _name_metrics(split: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{split}_{name}": value for name, value in metrics.items()}


def compare_with_chosen(
    results: dict[str, Results],
    ensemble: Ensemble | None,
    chosen: str,
    measure: Measure = "accuracy",
    costs: np.ndarray | None = None,
) -> pd.DataFrame:
    """Every other family, and the ensemble, against the chosen one on the same test images, and every fine-tuned family
    against its frozen one; see `compare_pairs`. p-values are corrected for all of these together."""
    labels = get_labels(results[chosen].predictions)
    probabilities = {family: get_used_probabilities(result, measure, costs) for family, result in results.items()}
    if ensemble is not None:
        probabilities[ENSEMBLE] = use_probabilities(measure, ensemble.probabilities, 1.0, costs)
    pairs = [(family, chosen) for family in probabilities if family != chosen]
    variants = [*find_phases(results), *find_phases(results, DISTILLED)]
    pairs += [(variant, plain) for plain, variant in variants if chosen not in (plain, variant)]
    hits = {family: table.argmax(axis=1) == labels for family, table in probabilities.items()}
    if measure == "accuracy":
        return compare_pairs(hits, pairs)
    parts = {family: measure_images(measure, labels, table, costs) for family, table in probabilities.items()}
    return compare_pairs(hits, pairs, parts)


def find_phases(families: Iterable[str], suffix: str = FINE_TUNED) -> list[tuple[str, str]]:
    """The families that are here both frozen and fine-tuned, or with another suffix, as pairs of names, in the order of those
    without it."""
    names = list(families)
    return [(name, name + suffix) for name in names if name + suffix in names]
