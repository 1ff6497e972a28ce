"""Metrics and tables of labels and probabilities. Pure: arrays in, numbers and tables out.

What is undefined, such as the ROC AUC of a class without images, is None (null in files, an empty cell in tables), without a
warning.
"""

from typing import Any, cast

import numpy as np
import pandas as pd
from sklearn.metrics import (
    average_precision_score,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    matthews_corrcoef,
    precision_recall_fscore_support,
    recall_score,
    roc_auc_score,
)

from pipeline.evaluation.metric_types import BasicMetrics, ClassificationMetrics
from pipeline.training.scores import DIGITS, compute_accuracy_and_loss


def compute_basic_metrics(labels: np.ndarray, probabilities: np.ndarray) -> BasicMetrics:
    """accuracy, loss (mean cross-entropy, nats) and macro_f1 (mean of the classes' F1, which is 0 without a true positive).

    labels: int (n,), n ≥ 1. probabilities: float (n, classes), rows sum to 1.
    """
    predicted, classes = probabilities.argmax(axis=1), np.arange(probabilities.shape[1])
    macro_f1 = f1_score(labels, predicted, labels=classes, average="macro", zero_division=0)
    return {**compute_accuracy_and_loss(labels, probabilities), "macro_f1": round(float(macro_f1), DIGITS)}


def compute_classification_metrics(labels: np.ndarray, probabilities: np.ndarray) -> ClassificationMetrics:
    """The metrics of a split beyond `compute_basic_metrics`; arguments as there.

    balanced_accuracy: mean recall of the classes that have images. macro_*, weighted_*: means over all classes, unweighted
    and weighted by their images. top2_accuracy, top5_accuracy: the true class is among the 2 or 5 most probable; None unless
    there are more classes than that. kappa: Cohen's (1960). mcc: Matthews' correlation for several classes (Gorodkin 2004).
    roc_auc, pr_auc: mean over the classes, one-versus-rest, for which it is defined; pr_auc is the average precision.
    """
    num_classes = probabilities.shape[1]
    metrics = compute_label_metrics(labels, probabilities.argmax(axis=1), num_classes)
    for top in (2, 5):
        metrics[f"top{top}_accuracy"] = compute_top_accuracy(labels, probabilities, top) if num_classes > top else None
    for name, values in compute_areas(labels, probabilities).items():
        defined = [value for value in values if value is not None]
        metrics[name] = float(np.mean(defined)) if defined else None
    rounded = {name: None if value is None else round(float(value), DIGITS) for name, value in metrics.items()}
    return cast(ClassificationMetrics, rounded)


def compute_label_metrics(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> dict[str, float | None]:
    """Those of `compute_classification_metrics` that depend on the predicted classes only. labels, predicted: int (n,)."""
    true, named = np.unique(labels), np.unique(predicted)
    settings: dict[str, Any] = {"labels": np.arange(num_classes), "zero_division": 0}
    macro, weighted = (
        precision_recall_fscore_support(labels, predicted, average=average, **settings)
        for average in ("macro", "weighted")
    )
    return {
        # balanced_accuracy_score is the same, but warns where a predicted class has no images.
        "balanced_accuracy": recall_score(labels, predicted, labels=true, average="macro"),
        "macro_precision": macro[0],
        "macro_recall": macro[1],
        "weighted_precision": weighted[0],
        "weighted_recall": weighted[1],
        "weighted_f1": weighted[2],
        # Undefined are 0 / 0: for kappa if there is one class only, for mcc already if one of the two has one only.
        "kappa": cohen_kappa_score(labels, predicted) if len(np.union1d(true, named)) > 1 else None,
        "mcc": matthews_corrcoef(labels, predicted) if min(len(true), len(named)) > 1 else None,
    }


def compute_top_accuracy(labels: np.ndarray, probabilities: np.ndarray, top: int) -> float:
    """Share of images whose true class is among the `top` most probable; of equal probabilities the first class counts."""
    # Not top_k_accuracy_score: there the last of equal probabilities counts, while argmax takes the first; float32
    # probabilities are often equal, at 0.
    first = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return float((first == labels[:, None]).any(axis=1).mean())


def compute_areas(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, list[float | None]]:
    """roc_auc and pr_auc of each class against the rest; None where none or all of the images belong to it."""
    areas: dict[str, list[float | None]] = {"roc_auc": [], "pr_auc": []}
    for number in range(probabilities.shape[1]):
        is_class, score = labels == number, probabilities[:, number]
        defined = bool(is_class.any() and not is_class.all())
        areas["roc_auc"].append(round(float(roc_auc_score(is_class, score)), DIGITS) if defined else None)
        areas["pr_auc"].append(round(float(average_precision_score(is_class, score)), DIGITS) if defined else None)
    return areas


def judge_fit(train_accuracy: float, val_accuracy: float, chance: float) -> str:
    """underfitted, overfitted, both or balanced.

    Overfitted: training accuracy is more than 0.10 above validation accuracy. Underfitted: training accuracy is less than
    halfway from chance to 1. The test split takes no part. chance: what guessing gives; accuracies may be balanced ones.
    """
    # Rounded as metrics are: otherwise 0.8 - 0.7 is above 0.1, and 0.2 + 0.5 * 0.8 above 0.6.
    under = train_accuracy < round(chance + 0.5 * (1 - chance), DIGITS)
    over = round(train_accuracy - val_accuracy, DIGITS) > 0.10
    return "both" if under and over else "underfitted" if under else "overfitted" if over else "balanced"


def make_class_table(labels: np.ndarray, probabilities: np.ndarray, class_names: list[str]) -> pd.DataFrame:
    """label, precision, recall, f1, support, roc_auc, pr_auc: one row per class. As in scikit-learn's report, scores of a
    class that is never predicted are 0; the last two are empty for a class that has no images, or all."""
    numbers = np.arange(len(class_names))
    columns: Any = precision_recall_fscore_support(
        labels, probabilities.argmax(axis=1), labels=numbers, zero_division=0
    )
    table = pd.DataFrame(dict(zip(("precision", "recall", "f1", "support"), columns, strict=True)))
    table.insert(0, "label", class_names)
    areas = {name: np.array(values, float) for name, values in compute_areas(labels, probabilities).items()}
    return table.assign(**areas).round(DIGITS)


def make_confusion_table(labels: np.ndarray, predicted: np.ndarray, class_names: list[str]) -> pd.DataFrame:
    """label, predicted, images, share: one row per pair of classes. share: of the images of `label`, 0 to 1."""
    matrix = confusion_matrix(labels, predicted, labels=np.arange(len(class_names)))
    totals = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    pairs = [(label, other) for label in class_names for other in class_names]
    table = pd.DataFrame(pairs, columns=["label", "predicted"])
    return table.assign(images=matrix.ravel(), share=np.round(matrix / totals, DIGITS).ravel())


def make_prediction_table(
    image_ids: list[str], names: list[str], labels: np.ndarray, probabilities: np.ndarray, class_names: list[str]
) -> pd.DataFrame:
    """image_id, name, label, predicted, confidence, and `p:<class>` for each class: one row per image."""
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
