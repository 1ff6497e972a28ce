"""Labels that are probably wrong. Pure."""

import warnings

import pandas as pd

from pipeline.evaluation.results import Results
from pipeline.report.prediction_table import get_labels, get_probabilities

LABEL_COLUMNS = ["name", "split", "label", "suggested", "label_probability", "suggested_probability"]


def find_label_issues(result: Results) -> pd.DataFrame:
    """LABEL_COLUMNS: images of test and val whose label is probably wrong, the most suspicious first.

    By confident learning (Northcutt et al. 2021, arXiv:1911.00068; cleanlab), over probabilities of images that the family
    was not trained on.
    """
    splits = {"test": result.predictions, "val": result.val_predictions}
    issues = pd.concat([_find_in_split(split, table) for split, table in splits.items()], ignore_index=True)
    return issues.sort_values(["label_probability", "name"], kind="stable", ignore_index=True)[LABEL_COLUMNS]


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
