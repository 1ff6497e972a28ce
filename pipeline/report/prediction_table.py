"""Columns and rows of a table of predictions; see `pipeline.evaluation.metrics.make_prediction_table`. Pure."""

import numpy as np
import pandas as pd

from pipeline.data.manifest import hash_uniform


def get_probabilities(predictions: pd.DataFrame) -> np.ndarray:
    """float64 (n, classes), classes in the order of the columns."""
    return predictions.filter(regex=r"^p:").to_numpy(np.float64)


def get_labels(predictions: pd.DataFrame) -> np.ndarray:
    """int (n,): the true class as its number in the order of the columns."""
    names = [name.removeprefix("p:") for name in predictions.columns if name.startswith("p:")]
    return predictions["label"].map({name: number for number, name in enumerate(names)}).to_numpy()


def get_hits(predictions: pd.DataFrame) -> np.ndarray:
    """bool (n,): whether each image is classified correctly."""
    return (predictions["label"] == predictions["predicted"]).to_numpy()


def pick_predictions(predictions: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """A sample of `count` rows, mistakes first: half of them are mistakes if there are as many. It is drawn by a hash of
    the seed and the image's content, so it is the same each time, whatever the order of the rows."""
    order = predictions.iloc[np.argsort(hash_uniform(predictions["image_id"], f"sample:{seed}"), kind="stable")]
    is_correct = get_hits(order)
    wrong = order[~is_correct].head(max(count // 2, count - int(is_correct.sum())))
    return pd.concat([wrong, order[is_correct]]).head(count)
