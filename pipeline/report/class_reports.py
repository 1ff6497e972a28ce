"""Classification reports, as scikit-learn's, from the tables by class that evaluate leaves. Pure."""

from typing import Any

import pandas as pd

SCORES = ["precision", "recall", "f1"]


def make_class_report(classes: pd.DataFrame, accuracy: float) -> dict[str, Any]:
    """The scores of each class, accuracy, and their means over classes: unweighted and weighted by images.

    classes: label, precision, recall, f1, support (images), one row per class, at least one image in all. Returns classes (one
    dict per row), accuracy, support (of all classes), macro and weighted (precision, recall, f1), each 0 to 1.
    """
    support = classes["support"]
    return {
        "classes": classes[["label", *SCORES, "support"]].to_dict("records"),
        "accuracy": accuracy,
        "support": int(support.sum()),
        "macro": classes[SCORES].mean().to_dict(),
        "weighted": classes[SCORES].mul(support, axis=0).sum().div(support.sum()).to_dict(),
    }
