"""Labels that are probably wrong. Pure."""

import warnings
from collections.abc import Mapping

import pandas as pd

from pipeline.evaluation.results import Results
from pipeline.report.prediction_table import get_labels, get_probabilities

_FOUND = ["name", "split", "label", "suggested", "label_probability", "suggested_probability"]
# correct_label is empty: a person fills it in, and prune.relabel reads it.
LABEL_COLUMNS = [*_FOUND, "correct_label"]


def find_label_issues(result: Results, folds: Results | None = None) -> pd.DataFrame:
    """LABEL_COLUMNS: images whose label is probably wrong, the most suspicious first: of test and val by `result`, of train by
    the out-of-fold predictions of `folds`."""
    splits = {"test": result.predictions, "val": result.val_predictions}
    return find_suspects(splits if folds is None else {**splits, "train": folds.train_predictions})


def find_suspects(predictions: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """LABEL_COLUMNS: images whose label is probably wrong, the most suspicious first.

    By confident learning (Northcutt et al. 2021, arXiv:1911.00068; cleanlab), split by split. predictions: split to
    predictions of images that the model was not trained on.
    """
    found = [_find_in_split(split, table) for split, table in predictions.items() if len(table)]
    issues = pd.concat(found, ignore_index=True)
    issues = issues.sort_values(["label_probability", "name"], kind="stable", ignore_index=True)
    return issues.assign(correct_label="")[LABEL_COLUMNS]


def find_held_out_suspects(predictions: pd.DataFrame, splits: pd.DataFrame) -> pd.DataFrame:
    """LABEL_COLUMNS: the same in train and val, by a cross-validation.

    predictions: of all folds. splits: name and split, as in data/splits.csv.
    """
    split = predictions["name"].map(dict(zip(splits["name"], splits["split"], strict=True)))
    return find_suspects({name: predictions[split == name].reset_index(drop=True) for name in ("train", "val")})


def _find_in_split(split: str, predictions: pd.DataFrame) -> pd.DataFrame:
    from cleanlab.filter import find_label_issues as find  # slow to import

    labels, probabilities = get_labels(predictions), get_probabilities(predictions)
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a class has few images is said elsewhere
        rows = find(labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    found = predictions.iloc[rows]
    return pd.DataFrame(
        {
            "name": found["name"],
            "split": split,
            "label": found["label"],
            "suggested": found["predicted"],
            "label_probability": probabilities[rows, labels[rows]].round(6),
            "suggested_probability": found["confidence"],
        }
    )
