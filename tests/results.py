"""Results of families as evaluate leaves them, from labels and probabilities that a test chooses."""

from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.conformal import SetRule
from pipeline.evaluation.measure import Split, compute_metrics, make_calibration_table, make_test_class_table
from pipeline.evaluation.metrics import make_class_table, make_confusion_table, make_prediction_table
from pipeline.evaluation.results import Results
from pipeline.evaluation.roc_pr import make_pr_table, make_roc_table
from pipeline.evaluation.temperature import fit_temperature

RULE = SetRule(0.95, threshold=0.1)
OUTSIDE = ["name", "label", "predicted", "confidence", "distance", "is_far", "reason"]

REFUSALS = [
    ("test", "distance", True, 20, None, 0.05),
    ("noise", "distance", True, 20, 0.99, 0.9),
    ("test", "confidence", False, 20, None, 0.04),
    ("noise", "confidence", False, 20, 0.7, 0.25),
]


def make_probabilities(
    predicted: list[int] | np.ndarray, num_classes: int, confidence: float | Any = 0.8
) -> np.ndarray:
    """float (n, classes): `confidence`, one or a number per image, for the predicted class; the others share the rest."""
    chosen = np.arange(num_classes) == np.asarray(predicted)[:, None]
    sure = np.broadcast_to(confidence, len(chosen))[:, None]
    return np.where(chosen, sure, (1 - sure) / (num_classes - 1))


def guess(labels: np.ndarray, num_classes: int, *, wrong: float, confidence: float = 0.8, seed: int = 0) -> np.ndarray:
    """Probabilities of a family that misclassifies a share of the images, as the class that comes next."""
    misses = np.random.default_rng(seed).random(len(labels)) < wrong
    return make_probabilities((labels + misses) % num_classes, num_classes, confidence)


def tabulate(split: str, labels: np.ndarray, probabilities: np.ndarray, class_names: list[str]) -> pd.DataFrame:
    """The table of predictions of a split; names are <split>/<class>/<number>.png."""
    ids = [f"{split}-id-{i}" for i in range(len(labels))]
    names = [f"{split}/{class_names[label]}/{i}.png" for i, label in enumerate(labels)]
    return make_prediction_table(ids, names, labels, probabilities, class_names)


def make_metrics(test: Split, val: Split, temperature: float) -> dict[str, Any]:
    """Those of a small model that was trained on images like those of val."""
    model = {"parameters": 1000, "trainable_parameters": 900, "model_bytes": 5000, "best_epoch": 2}
    metrics = compute_metrics({"train": val, "val": val, "test": test}, temperature, RULE)
    return metrics | model | {"model_sha256": "0" * 64}


def make_results(class_names: list[str], test: Split, val: Split | None = None, **changes: Any) -> Results:
    """val: as test, unless given; training is as val. changes: of fields of Results, or of its metrics."""
    val = val or test
    labels, probabilities = test
    temperature = fit_temperature(*val)
    curves = [(split, epoch, 0.5, 1 / epoch) for split in ("train", "val") for epoch in (1, 2)]
    layers = [("input_layer", "InputLayer", 8, 8, 3, 0), ("dense", "Dense", 1, 1, len(class_names), 1000)]
    content: dict[str, Any] = {
        "classes": make_test_class_table(test, class_names, temperature, RULE),
        "classes_train": make_class_table(*val, class_names),
        "confusion": make_confusion_table(labels, probabilities.argmax(axis=1), class_names),
        "predictions": tabulate("test", *test, class_names),
        "val_predictions": tabulate("val", *val, class_names),
        "train_predictions": tabulate("train", *val, class_names).head(0),
        "curves": pd.DataFrame(curves, columns=["split", "epoch", "accuracy", "loss"]),
        "roc": make_roc_table(labels, probabilities, class_names),
        "pr": make_pr_table(labels, probabilities, class_names),
        "reliability": make_calibration_table(labels, probabilities, temperature),
        "layers": pd.DataFrame(layers, columns=["layer", "kind", "rows", "columns", "channels", "parameters"]),
        "outside": pd.DataFrame(columns=[*OUTSIDE, *(f"p:{name}" for name in class_names)]),
        "refusals": pd.DataFrame(REFUSALS, columns=["kind", "score", "is_used", "images", "auroc", "refused"]),
        "look_alikes": pd.DataFrame(columns=["name", "alike"]),
        "heat_maps": np.zeros((0, 1, 1), np.float16),
        "augmented": np.zeros((0, 1, 8, 8, 3), np.uint8),
        "contract": None,
    }
    metrics = make_metrics(test, val, temperature)
    metrics |= {name: value for name, value in changes.items() if name not in content}
    return Results(**content | {name: changes[name] for name in changes.keys() & content}, metrics=metrics)
