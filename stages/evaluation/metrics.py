"""Figures from labels and probabilities. Pure: arrays in, tables out."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

_SMALLEST = 1e-7  # float32 probabilities end about here; log(0) would make one image decide the loss
_DIGITS = 6  # of figures in files: more are noise between machines


def compute_figures(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """accuracy, loss (mean cross-entropy, nats) and macro_f1 (mean over classes of F1, 0 where a class is never hit).

    labels: int (n,), n ≥ 1. probabilities: float (n, classes), rows sum to 1.
    """
    predicted = probabilities.argmax(axis=1)
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    classes = np.arange(probabilities.shape[1])
    figures = {
        "accuracy": np.mean(predicted == labels),
        "loss": -np.mean(np.log(np.clip(chosen, _SMALLEST, 1.0))),
        "macro_f1": f1_score(labels, predicted, labels=classes, average="macro", zero_division=0),
    }
    return {name: round(float(value), _DIGITS) for name, value in figures.items()}


def make_class_table(labels: np.ndarray, predicted: np.ndarray, class_names: list[str]) -> pd.DataFrame:
    """label, precision, recall, f1, support: a row a class. 0 where nothing was predicted, as scikit-learn's report."""
    numbers = np.arange(len(class_names))
    columns: Any = precision_recall_fscore_support(labels, predicted, labels=numbers, zero_division=0)
    table = pd.DataFrame(dict(zip(("precision", "recall", "f1", "support"), columns, strict=True)))
    table.insert(0, "label", class_names)
    return table.round(_DIGITS)


def make_confusion_table(labels: np.ndarray, predicted: np.ndarray, class_names: list[str]) -> pd.DataFrame:
    """label, predicted, images, share: a row a pair of classes. share: of the images of `label`, 0 to 1."""
    matrix = confusion_matrix(labels, predicted, labels=np.arange(len(class_names)))
    totals = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    pairs = [(label, other) for label in class_names for other in class_names]
    table = pd.DataFrame(pairs, columns=["label", "predicted"])
    return table.assign(images=matrix.ravel(), share=np.round(matrix / totals, _DIGITS).ravel())


def make_prediction_table(
    image_ids: list[str], names: list[str], labels: np.ndarray, probabilities: np.ndarray, class_names: list[str]
) -> pd.DataFrame:
    """image_id, name, label, predicted, confidence, and `p:<class>` for each class: a row an image."""
    predicted = probabilities.argmax(axis=1)
    table = pd.DataFrame(
        {
            "image_id": image_ids,
            "name": names,
            "label": [class_names[number] for number in labels],
            "predicted": [class_names[number] for number in predicted],
            "confidence": np.round(probabilities.max(axis=1).astype(np.float64), _DIGITS),
        }
    )
    columns = {
        f"p:{name}": np.round(probabilities[:, i].astype(np.float64), _DIGITS) for i, name in enumerate(class_names)
    }
    return pd.concat([table, pd.DataFrame(columns)], axis=1)
