"""Results of families as evaluate leaves them, of labels and probabilities that a test has chosen."""

from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.calibration import apply_temperature, fit_temperature, make_reliability_table
from pipeline.evaluation.metrics import (
    compute_classification_metrics,
    compute_figures,
    judge_fit,
    make_class_table,
    make_confusion_table,
    make_prediction_table,
)
from pipeline.evaluation.results import Results
from pipeline.evaluation.roc_pr import make_pr_table, make_roc_table
from stages.evaluate import compute_calibration_metrics, compute_intervals

OUTSIDE = ["name", "label", "predicted", "confidence", "distance", "is_far", "reason"]

Split = tuple[np.ndarray, np.ndarray]  # labels, int (n,), and probabilities, (n, classes)


def make_probabilities(
    predicted: list[int] | np.ndarray, num_classes: int, confidence: float | Any = 0.8
) -> np.ndarray:
    """float (n, classes): `confidence`, one or a number an image, for the class named; the others share the rest."""
    named = np.arange(num_classes) == np.asarray(predicted)[:, None]
    sure = np.broadcast_to(confidence, len(named))[:, None]
    return np.where(named, sure, (1 - sure) / (num_classes - 1))


def guess(labels: np.ndarray, num_classes: int, *, wrong: float, confidence: float = 0.8, seed: int = 0) -> np.ndarray:
    """Probabilities of a family that names each image rightly but for a share, taken for the class that comes next."""
    misses = np.random.default_rng(seed).random(len(labels)) < wrong
    return make_probabilities((labels + misses) % num_classes, num_classes, confidence)


def tabulate(split: str, labels: np.ndarray, probabilities: np.ndarray, class_names: list[str]) -> pd.DataFrame:
    """The table of predictions of a split; names are <split>/<class>/<number>.png."""
    ids = [f"{split}-id-{i}" for i in range(len(labels))]
    names = [f"{split}/{class_names[label]}/{i}.png" for i, label in enumerate(labels)]
    return make_prediction_table(ids, names, labels, probabilities, class_names)


def make_results(class_names: list[str], test: Split, val: Split | None = None, **changes: Any) -> Results:
    """val: as test, if not given; training too. changes: of Results; of its figures where they have no such field."""
    val = val or test
    (labels, probabilities), (val_labels, val_probabilities) = test, val
    confusion = make_confusion_table(labels, probabilities.argmax(axis=1), class_names)
    temperature = fit_temperature(val_labels, val_probabilities)
    calibrated = apply_temperature(probabilities, temperature)
    figures: dict[str, Any] = {}
    for name, split in (("train", val), ("val", val), ("test", test)):
        figures |= {f"{name}_{key}": value for key, value in compute_figures(*split).items()}
    figures |= {f"test_{key}": value for key, value in compute_classification_metrics(labels, probabilities).items()}
    figures |= compute_intervals(labels, probabilities, confusion)
    figures |= compute_calibration_metrics(labels, probabilities, calibrated)
    figures |= {
        "temperature": temperature,
        "verdict": judge_fit(figures["train_accuracy"], figures["val_accuracy"], len(class_names)),
        "parameters": 1000,
        "trainable_parameters": 900,
        "model_bytes": 5000,
        "best_epoch": 2,
        "model_sha256": "0" * 64,
    }
    curves = [(split, epoch, 0.5, 1 / epoch) for split in ("train", "val") for epoch in (1, 2)]
    layers = [("input_layer", "InputLayer", 8, 8, 3, 0), ("dense", "Dense", 1, 1, len(class_names), 1000)]
    content: dict[str, Any] = {
        "classes": make_class_table(labels, probabilities, class_names),
        "confusion": confusion,
        "predictions": tabulate("test", labels, probabilities, class_names),
        "val_predictions": tabulate("val", val_labels, val_probabilities, class_names),
        "curves": pd.DataFrame(curves, columns=["split", "epoch", "accuracy", "loss"]),
        "roc": make_roc_table(labels, probabilities, class_names),
        "pr": make_pr_table(labels, probabilities, class_names),
        "reliability": pd.concat(
            [
                make_reliability_table(labels, probabilities).assign(state="before"),
                make_reliability_table(labels, calibrated).assign(state="after"),
            ]
        ),
        "layers": pd.DataFrame(layers, columns=["layer", "kind", "rows", "columns", "channels", "parameters"]),
        "outside": pd.DataFrame(columns=[*OUTSIDE, *(f"p:{name}" for name in class_names)]),
        "heat_maps": np.zeros((0, 1, 1), np.float16),
        "augmented": np.zeros((0, 1, 8, 8, 3), np.uint8),
    }
    figures |= {name: value for name, value in changes.items() if name not in content}
    return Results(**content | {name: changes[name] for name in changes.keys() & content}, figures=figures)
