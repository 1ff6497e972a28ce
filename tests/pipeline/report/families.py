"""Families that err where a test wants them to, and what the report finds in them."""

from typing import Any

import numpy as np

from pipeline.config.sections import Evaluate
from pipeline.config.types import Measure
from pipeline.evaluation.results import Results
from pipeline.report.findings import Findings, make_findings
from tests.results import guess, make_probabilities, make_results

NAMES = ["cat", "dog", "emu"]
LABELS = np.arange(60) % 3
VAL_LABELS = np.arange(45) % 3


def make_family(*, wrong: float, val_wrong: float | None = None, seed: int = 0, **changes: Any) -> Results:
    """A family that misclassifies these shares of the test and of the validation images."""
    val_wrong = wrong if val_wrong is None else val_wrong
    test = LABELS, guess(LABELS, 3, wrong=wrong, seed=seed)
    return make_results(NAMES, test, (VAL_LABELS, guess(VAL_LABELS, 3, wrong=val_wrong, seed=seed + 1)), **changes)


def find(
    results: dict[str, Results], choose_by: Measure | None = None, costs: dict | None = None, **images: int
) -> Findings:
    """images: of training, by class; as many of each unless a test says otherwise."""
    rules = Evaluate(
        outside_path=None, choose_by=choose_by, costs=costs or {}, label_folds=5, coverage=0.9, false_alarms=0.05
    )
    return make_findings(results, dict.fromkeys(NAMES, 100) | images, rules)


def make_half_blind(knows: int) -> Results:
    """Certain and right about every second image; of the others it knows nothing, and leans to a wrong class."""

    def see(labels: np.ndarray) -> np.ndarray:
        known = np.arange(len(labels)) % 2 == knows
        return make_probabilities(np.where(known, labels, (labels + 1) % 3), 3, np.where(known, 0.98, 0.36))

    return make_results(NAMES, (LABELS, see(LABELS)), (VAL_LABELS, see(VAL_LABELS)))
