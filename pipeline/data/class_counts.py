"""How many images each class has from stage to stage, and whether the splits share one distribution of classes. Pure."""

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency

from pipeline.data.examination import Homogeneity
from pipeline.data.splits import SPLIT_NAMES

Counts = dict[str, dict[str, int]]  # split to class to images


def count_classes(found: pd.Series, kept: pd.Series, counts: Counts) -> pd.DataFrame:
    """label, stage, images: files of each class in the source (found), images after pruning (kept), images in each split.

    found, kept: one label per file. A class that was merged or dropped has only the row `found`.
    """
    stages = [("found", found.value_counts()), ("kept", kept.value_counts())]
    stages += [(split, pd.Series(counts[split])) for split in SPLIT_NAMES]
    rows = [(label, stage, int(n)) for stage, values in stages for label, n in sorted(values.items()) if label]
    return pd.DataFrame(rows, columns=["label", "stage", "images"])


def compare_splits(counts: Counts) -> Homogeneity:
    """Whether the classes of train, val and test can come from one distribution."""
    table = np.array([[counts[split][label] for label in counts["train"]] for split in SPLIT_NAMES])
    statistic, p, freedom, expected = chi2_contingency(table)
    return Homogeneity(
        chi_squared=round(float(statistic), 4),
        degrees_of_freedom=int(freedom),
        p=round(float(p), 6),
        least_expected=round(float(expected.min()), 2),
    )
