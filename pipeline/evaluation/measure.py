"""All metrics that evaluate reports of a family, from its probabilities for train, val and test. Pure."""

from collections.abc import Mapping
from typing import Any, TypeAlias, cast

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from pipeline.evaluation.calibration import compute_calibration, make_reliability_table
from pipeline.evaluation.conformal import SetRule, make_sets, measure_sets, measure_sets_by_class
from pipeline.evaluation.intervals import compute_accuracy_interval, compute_class_intervals
from pipeline.evaluation.measures import measure_images, pick_measure
from pipeline.evaluation.metric_types import FamilyMetrics
from pipeline.evaluation.metrics import (
    compute_basic_metrics,
    compute_classification_metrics,
    judge_fit,
    make_class_table,
)
from pipeline.evaluation.temperature import apply_temperature
from pipeline.training.scores import DIGITS

Split: TypeAlias = tuple[np.ndarray, np.ndarray]  # labels, int (n,), and probabilities, float (n, classes)


def compute_metrics(predicted: Mapping[str, Split], temperature: float, rule: SetRule) -> FamilyMetrics:
    """predicted: by split, train, val and test in this order. temperature: fitted on val. rule: of prediction sets."""
    labels, probabilities = predicted["test"]
    calibrated = apply_temperature(probabilities, temperature)
    metrics: dict[str, Any] = {
        f"{split}_{name}": value
        for split, pair in predicted.items()
        for name, value in compute_basic_metrics(*pair).items()
    }
    metrics |= {f"test_{name}": value for name, value in compute_classification_metrics(labels, probabilities).items()}
    metrics |= compute_intervals(labels, probabilities)
    metrics |= compute_calibration_metrics(labels, probabilities, calibrated)
    metrics |= measure_sets(labels, make_sets(calibrated, rule)) | {"asked_coverage": rule.coverage}
    more = compute_classification_metrics(*predicted["val"])
    metrics |= {"temperature": temperature, "verdict": _judge(predicted["train"], predicted["val"])}
    metrics |= {f"val_{name}": more[name] for name in ("balanced_accuracy", "roc_auc")}
    return cast(FamilyMetrics, metrics)


def _judge(train: Split, val: Split) -> str:
    """By accuracy, or by balanced accuracy where classes are so unequal that a family can be accurate and know nothing."""
    counts = np.bincount(train[0])
    measure = pick_measure(None, {str(label): int(n) for label, n in enumerate(counts) if n})
    on_train, on_val = (round(float(measure_images(measure, *split).mean()), DIGITS) for split in (train, val))
    shares = counts[counts > 0] / counts.sum()
    return judge_fit(on_train, on_val, shares.max() if measure == "accuracy" else 1 / len(shares))


def compute_intervals(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """test_<metric>_low and _high: 95 % intervals of accuracy, macro F1 and balanced accuracy."""
    matrix = confusion_matrix(labels, probabilities.argmax(axis=1), labels=np.arange(probabilities.shape[1]))
    intervals = {"accuracy": compute_accuracy_interval(int(np.trace(matrix)), len(labels))}
    intervals |= compute_class_intervals(matrix)
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
    return {
        "test_ece": before["ece"],
        "test_brier": before["brier"],
        "test_ece_calibrated": after["ece"],
        "test_brier_calibrated": after["brier"],
        "test_loss_calibrated": compute_basic_metrics(labels, calibrated)["loss"],
    }


def make_test_class_table(test: Split, class_names: list[str], temperature: float, rule: SetRule) -> pd.DataFrame:
    """`make_class_table`, with set_coverage and set_size; see `measure_sets_by_class`."""
    sets = make_sets(apply_temperature(test[1], temperature), rule)
    return make_class_table(*test, class_names).join(measure_sets_by_class(test[0], sets))


def make_calibration_table(labels: np.ndarray, probabilities: np.ndarray, temperature: float) -> pd.DataFrame:
    """The reliability tables before and after calibration, one below the other; state says which."""
    calibrated = apply_temperature(probabilities, temperature)
    tables = {"before": probabilities, "after": calibrated}
    return pd.concat([make_reliability_table(labels, values).assign(state=state) for state, values in tables.items()])
