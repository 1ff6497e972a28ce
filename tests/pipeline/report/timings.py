"""Timings of families, and the summary beside them."""

import pandas as pd

from pipeline.report.tables import make_timings

OTHERS = {"images_per_second_32": 800.0, "train_seconds": 4.5, "train_peak_mb": 900.0, "evaluate_peak_mb": 700.0}


def make_summary_of(**accuracy: float) -> pd.DataFrame:
    """The columns of a summary that costs need, by test accuracy."""
    rows = [(family, value, 1000, 900, 2_500_000) for family, value in accuracy.items()]
    return pd.DataFrame(rows, columns=["family", "test_accuracy", "parameters", "trainable_parameters", "model_bytes"])


def make_readings(**rates: float | None) -> pd.DataFrame:
    """Timings of families by images per second, one at a time; None: no reading."""
    return make_timings(
        {family: {} if rate is None else OTHERS | {"images_per_second_1": rate} for family, rate in rates.items()}
    )
