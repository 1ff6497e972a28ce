"""Figures from labels and probabilities. Pure: arrays in, tables out. What is not defined, such as the ROC AUC of a class
without images, is None (null in files, an empty cell in tables), never a warning."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
    roc_auc_score,
)

from pipeline.training.scores import DIGITS, compute_accuracy_and_loss


def compute_figures(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """accuracy, loss (mean cross-entropy, nats) and macro_f1 (mean over classes of F1, 0 where a class is never hit).

    labels: int (n,), n ≥ 1. probabilities: float (n, classes), rows sum to 1.
    """
    predicted, classes = probabilities.argmax(axis=1), np.arange(probabilities.shape[1])
    macro_f1 = f1_score(labels, predicted, labels=classes, average="macro", zero_division=0)
    return compute_accuracy_and_loss(labels, probabilities) | {"macro_f1": round(float(macro_f1), DIGITS)}


def compute_classification_metrics(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float | None]:
    """The figures of a split beyond `compute_figures`; arguments as there.

    balanced_accuracy: mean recall of the classes that have images. macro_*, weighted_*: means over all classes, and
    weighted by their images. top2_accuracy, top5_accuracy: the true class is among the first so many; None unless there are
    more classes than that. kappa: Cohen's (1960). mcc: Matthews' correlation for several classes (Gorodkin 2004). roc_auc,
    pr_auc: mean over the classes of one against the rest, where it is defined; pr_auc is the average precision.
    """
    num_classes = probabilities.shape[1]
    matrix = confusion_matrix(labels, probabilities.argmax(axis=1), labels=np.arange(num_classes))
    figures = compute_matrix_figures(matrix)
    for top in (2, 5):
        figures[f"top{top}_accuracy"] = compute_top_accuracy(labels, probabilities, top) if num_classes > top else None
    areas = compute_areas(labels, probabilities)
    for name in ("roc_auc", "pr_auc"):
        figures[name] = _mean([value for value in areas[name] if value is not None])
    return {name: None if value is None else round(float(value), DIGITS) for name, value in figures.items()}


def compute_matrix_figures(matrix: np.ndarray) -> dict[str, float | None]:
    """What `compute_classification_metrics` takes from the counts alone. matrix: int (classes, classes), rows are true classes."""
    true, predicted, hits = matrix.sum(axis=1), matrix.sum(axis=0), np.diag(matrix)
    total, right = float(matrix.sum()), float(hits.sum())
    recall, precision = hits / np.maximum(true, 1), hits / np.maximum(predicted, 1)
    f1 = 2 * hits / np.maximum(true + predicted, 1)
    share = true / max(total, 1)
    expected = float((true * predicted).sum())
    spread = float(total**2 - (predicted.astype(float) ** 2).sum()) * float(total**2 - (true.astype(float) ** 2).sum())
    by_chance = expected / total**2
    return {
        "balanced_accuracy": _mean(list(recall[true > 0])),
        "macro_precision": float(precision.mean()),
        "macro_recall": float(recall.mean()),
        "weighted_precision": float((precision * share).sum()),
        "weighted_recall": float((recall * share).sum()),
        "weighted_f1": float((f1 * share).sum()),
        "kappa": (right / total - by_chance) / (1 - by_chance) if by_chance < 1 else None,
        "mcc": (right * total - expected) / spread**0.5 if spread > 0 else None,
    }


def compute_top_accuracy(labels: np.ndarray, probabilities: np.ndarray, top: int) -> float:
    """Share of images whose true class is among the `top` most probable; of equal probabilities the first class counts."""
    first = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return float((first == labels[:, None]).any(axis=1).mean())


def compute_areas(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, list[float | None]]:
    """roc_auc and pr_auc of each class against the rest; None where all images or none are of it."""
    areas: dict[str, list[float | None]] = {"roc_auc": [], "pr_auc": []}
    for number in range(probabilities.shape[1]):
        is_it, score = labels == number, probabilities[:, number]
        defined = bool(is_it.any() and not is_it.all())
        areas["roc_auc"].append(round(float(roc_auc_score(is_it, score)), DIGITS) if defined else None)
        areas["pr_auc"].append(round(float(average_precision_score(is_it, score)), DIGITS) if defined else None)
    return areas


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def judge_fit(train_accuracy: float, val_accuracy: float, num_classes: int) -> str:
    """underfitted, overfitted, both or balanced.

    The rule: overfitted, if training accuracy is more than 0.10 above validation; underfitted, if training accuracy has
    gone less than half the way from guessing (one over the number of classes) to 1. The test split has no part in it.
    """
    guessing = 1 / num_classes
    # Rounded as the figures are: 0.8 - 0.7 is above 0.1 otherwise, and 0.2 + 0.5 * 0.8 above 0.6.
    under = train_accuracy < round(guessing + 0.5 * (1 - guessing), DIGITS)
    over = round(train_accuracy - val_accuracy, DIGITS) > 0.10
    return "both" if under and over else "underfitted" if under else "overfitted" if over else "balanced"


def make_class_table(labels: np.ndarray, probabilities: np.ndarray, class_names: list[str]) -> pd.DataFrame:
    """label, precision, recall, f1, support, roc_auc, pr_auc: a row a class. 0 where nothing was predicted, as
    scikit-learn's report; the last two are empty for a class that has no image, or all."""
    numbers = np.arange(len(class_names))
    columns: Any = precision_recall_fscore_support(
        labels, probabilities.argmax(axis=1), labels=numbers, zero_division=0
    )
    table = pd.DataFrame(dict(zip(("precision", "recall", "f1", "support"), columns, strict=True)))
    table.insert(0, "label", class_names)
    areas = {name: np.array(values, float) for name, values in compute_areas(labels, probabilities).items()}
    return table.assign(**areas).round(DIGITS)


def make_confusion_table(labels: np.ndarray, predicted: np.ndarray, class_names: list[str]) -> pd.DataFrame:
    """label, predicted, images, share: a row a pair of classes. share: of the images of `label`, 0 to 1."""
    matrix = confusion_matrix(labels, predicted, labels=np.arange(len(class_names)))
    totals = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    pairs = [(label, other) for label in class_names for other in class_names]
    table = pd.DataFrame(pairs, columns=["label", "predicted"])
    return table.assign(images=matrix.ravel(), share=np.round(matrix / totals, DIGITS).ravel())


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
            "confidence": np.round(probabilities.max(axis=1).astype(np.float64), DIGITS),
        }
    )
    columns = {
        f"p:{name}": np.round(probabilities[:, i].astype(np.float64), DIGITS) for i, name in enumerate(class_names)
    }
    return pd.concat([table, pd.DataFrame(columns)], axis=1)
