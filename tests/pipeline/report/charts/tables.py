"""Tables to draw, of families and parameters that a test names."""

from typing import Any

import numpy as np
import pandas as pd


def make_names(count: int, kind: str) -> list[str]:
    return [f"{kind} {number}" for number in range(count)]


def make_curves(families: list[str], epochs: int = 3) -> pd.DataFrame:
    """Learning curves of each family."""
    rows = [
        (family, split, epoch, 0.5 + 0.1 * epoch / epochs, 2.0**-epoch)
        for family in families
        for split in ("train", "val")
        for epoch in range(1, epochs + 1)
    ]
    return pd.DataFrame(rows, columns=["family", "split", "epoch", "accuracy", "loss"])


def make_costs(families: list[str]) -> pd.DataFrame:
    """Every second family is on the front."""
    numbers = np.arange(1, len(families) + 1)
    return pd.DataFrame(
        {"family": families, "accuracy": 0.05 * numbers, "milliseconds": numbers**2, "on_front": numbers % 2 == 0}
    )


def make_trials(**values: list[Any]) -> pd.DataFrame:
    """One trial per value of each parameter; every third is pruned, every seventh failed."""
    count = len(next(iter(values.values())))
    states = ["failed" if n % 7 == 6 else "pruned" if n % 3 == 1 else "finished" for n in range(count)]
    accuracy = [None if state == "failed" else (n * 7 % 10) / 10 for n, state in enumerate(states)]
    scores = pd.Series(
        [a if state == "finished" else None for a, state in zip(accuracy, states, strict=True)], dtype=float
    )
    table = {"trial": range(1, count + 1), "state": states, "accuracy": accuracy, "best": scores.cummax().ffill()}
    return pd.DataFrame(table | values)
