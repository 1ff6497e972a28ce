"""ROC and precision-recall curves, thinned out for charts. Pure."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve, roc_curve

_POINTS = 60  # per curve: more would be invisible
_DIGITS = 5
MEAN = ""  # the label of the mean over classes


def make_roc_table(labels: np.ndarray, probabilities: np.ndarray, class_names: list[str]) -> pd.DataFrame:
    """label, false_positive_rate, true_positive_rate: the ROC curve of each class against the rest, and with an empty label
    the mean over classes at the same false positive rates. A class to which none or all of the images belong has no curve."""
    return _make_table(labels, probabilities, class_names, _trace_roc, ("false_positive_rate", "true_positive_rate"))


def make_pr_table(labels: np.ndarray, probabilities: np.ndarray, class_names: list[str]) -> pd.DataFrame:
    """label, recall, precision: the same for precision and recall; precision is the highest at that recall or more, so that the
    curve is one of steps: between two recalls, the precision of the higher one."""
    return _make_table(labels, probabilities, class_names, _trace_pr, ("recall", "precision"), _step)


def _make_table(
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: list[str],
    trace: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    columns: tuple[str, str],
    interpolate: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray] = np.interp,
) -> pd.DataFrame:
    grid = np.linspace(0, 1, _POINTS)
    heights, tables = [], []
    for number, name in enumerate(class_names):
        is_class = labels == number
        if is_class.any() and not is_class.all():
            x, y = trace(is_class, probabilities[:, number])
            heights.append(interpolate(grid, x, y))
            tables.append(_frame(name, *_thin(x, y), columns))
    if heights:
        tables.append(_frame(MEAN, grid, np.mean(heights, axis=0), columns))
    empty = pd.DataFrame(columns=["label", *columns])
    return pd.concat(tables, ignore_index=True) if tables else empty


def _trace_roc(is_class: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y, _ = roc_curve(is_class, score)
    return x, y


def _trace_pr(is_class: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    precision, recall, _ = precision_recall_curve(is_class, score)
    precision[-1] = 0  # scikit-learn adds a point at recall 0, which no threshold reaches
    x, first = np.unique(recall[::-1], return_index=True)
    return x, np.maximum.accumulate(precision)[::-1][first]


def _step(at: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return y[np.searchsorted(x, at - 1e-12)]  # a grid point and a recall that are equal but for rounding


def _thin(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most _POINTS points, evenly spaced along the curve: both ends remain, and steps remain steps."""
    if len(x) <= _POINTS:
        return x, y
    way = np.concatenate([[0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    chosen = np.unique(np.searchsorted(way, np.linspace(0, way[-1], _POINTS)).clip(0, len(x) - 1))
    return x[chosen], y[chosen]


def _frame(label: str, x: np.ndarray, y: np.ndarray, columns: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame({"label": label, columns[0]: x.round(_DIGITS), columns[1]: y.round(_DIGITS)})
