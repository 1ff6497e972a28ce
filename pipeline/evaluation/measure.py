"""All metrics that evaluate reports of a family, from its probabilities for train, val and test. Pure."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from pipeline.evaluation.calibration import apply_temperature, compute_calibration, make_reliability_table
from pipeline.evaluation.intervals import compute_accuracy_interval, compute_bootstrap_intervals
from pipeline.evaluation.metrics import compute_basic_metrics, compute_classification_metrics, judge_fit

Split: TypeAlias = tuple[np.ndarray, np.ndarray]  # labels, int (n,), and probabilities, float (n, classes)


def compute_metrics(predicted: Mapping[str, Split], temperature: float) -> dict[str, Any]:
    """train_*, val_* and test_* metrics, temperature and verdict. predicted: by split. temperature: fitted on val."""
    labels, probabilities = predicted["test"]
    metrics: dict[str, Any] = {
        f"{split}_{name}": value
        for split, pair in predicted.items()
        for name, value in compute_basic_metrics(*pair).items()
    }
    metrics |= {f"test_{name}": value for name, value in compute_classification_metrics(labels, probabilities).items()}
    metrics |= compute_intervals(labels, probabilities)
    metrics |= compute_calibration_metrics(labels, probabilities, apply_temperature(probabilities, temperature))
    verdict = judge_fit(metrics["train_accuracy"], metrics["val_accuracy"], probabilities.shape[1])
    return metrics | {"temperature": temperature, "verdict": verdict}


def compute_intervals(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """test_<metric>_low and _high: 95 % intervals of accuracy, macro F1 and balanced accuracy."""
    matrix = confusion_matrix(labels, probabilities.argmax(axis=1), labels=np.arange(probabilities.shape[1]))
    intervals = {"accuracy": compute_accuracy_interval(int(np.trace(matrix)), len(labels))}
    intervals |= compute_bootstrap_intervals(matrix)
    return {
        f"test_{name}_{end}": value
        for name, interval in intervals.items()
        for end, value in zip(("low", "high"), interval, strict=True)
    }


def compute_calibration_metrics(
    labels: np.ndarray, probabilities: np.ndarray, calibrated: np.ndarray
) -> dict[str, float]:
    """test_ece and test_brier, and after calibration test_ece_calibrated, test_brier_calibrated and test_loss_calibrated."""
    before, after = compute_calibration(labels, probabilities), compute_calibration(labels, calibrated)
    after["loss"] = compute_basic_metrics(labels, calibrated)["loss"]
    return {f"test_{name}": value for name, value in before.items()} | {
        f"test_{name}_calibrated": value for name, value in after.items()
    }


def make_calibration_table(labels: np.ndarray, probabilities: np.ndarray, temperature: float) -> pd.DataFrame:
    """The reliability tables before and after calibration, one below the other; state says which."""
    calibrated = apply_temperature(probabilities, temperature)
    tables = {"before": probabilities, "after": calibrated}
    return pd.concat([make_reliability_table(labels, values).assign(state=state) for state, values in tables.items()])
