"""Which family the report recommends, from the evaluations alone."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config.sections import Evaluate
from pipeline.evaluation.measures import make_cost_matrix, measure_images, pick_measure
from pipeline.evaluation.results import load_table
from pipeline.report.prediction_table import get_labels, get_probabilities
from pipeline.report.tables import choose_family, make_summary
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import EVALUATIONS


def find_chosen(families: Sequence[str], images: Mapping[str, int], rules: Evaluate, folder: Path = EVALUATIONS) -> str:
    """images: of training, by class, in the order of the classes. Raises PipelineError where a family is not evaluated."""
    measure = pick_measure(rules.choose_by, images)
    costs = make_cost_matrix(rules.costs, list(images)) if measure == "cost" else None
    rows = {}
    for family in families:
        file = folder / family / "metrics.json"
        if not file.exists():
            raise PipelineError(
                f"{file} is not here: expected the evaluation of every family, of which the best is chosen; run "
                f"`dvc repro evaluate@{family}`"
            )
        table = load_table(folder / family / "val_predictions.csv") if costs is not None else None
        rows[family] = {**json.loads(file.read_text()), "val_cost": measure_cost(table, costs)}
    return choose_family(make_summary(rows, measure), measure)


def measure_cost(val_predictions: pd.DataFrame | None, costs: np.ndarray | None) -> float | None:
    """The mean cost of a validation image; None without costs."""
    if costs is None or val_predictions is None:
        return None
    labels, probabilities = get_labels(val_predictions), get_probabilities(val_predictions)
    return round(-float(measure_images("cost", labels, probabilities, costs).mean()), 6)
