"""What the page shows of single predictions: some test images, classified correctly and not."""

from typing import Any

import pandas as pd

from pipeline.report.cards import Album, make_cards
from pipeline.report.prediction_table import pick_predictions

_COUNT = 12  # images


def describe_samples(predictions: pd.DataFrame, album: Album, seed: int) -> dict[str, Any]:
    """The cards of some test images of the chosen family, mistakes first, drawn by `seed`."""
    return {"samples": make_cards(pick_predictions(predictions, _COUNT, seed), album), "sample_seed": seed}
