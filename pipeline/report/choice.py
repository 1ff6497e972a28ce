"""Which family the report recommends, from the evaluations alone."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config.sections import Evaluate
from pipeline.config.types import Measure
from pipeline.evaluation.decisions import use_probabilities
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
        rows[family] = json.loads(file.read_text())
        if measure in ("log_loss", "cost"):
            table = load_table(folder / family / "val_predictions.csv")
            rows[family] |= measure_on_val(table, rows[family]["temperature"], costs)
    return choose_family(make_summary(rows, measure), measure)


def measure_on_val(
    val_predictions: pd.DataFrame, temperature: float, costs: np.ndarray | None
) -> dict[str, float | None]:
    """val_loss_calibrated, and val_cost, the mean cost of the answers that cost least, None without costs: of validation."""
    labels, probabilities = get_labels(val_predictions), get_probabilities(val_predictions)

    def measure(name: Measure) -> float:
        used = use_probabilities(name, probabilities, temperature, costs)
        return round(-float(measure_images(name, labels, used, costs).mean()), 6)

    return {"val_loss_calibrated": measure("log_loss"), "val_cost": None if costs is None else measure("cost")}
