"""What the report finds in the results: which family to use, how the others compare, which labels look wrong. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.config.sections import Evaluate
from pipeline.config.types import Measure
from pipeline.evaluation.ensemble import ENSEMBLE
from pipeline.evaluation.guessing import Versus, compare_with_guessing, guess
from pipeline.evaluation.measures import make_cost_matrix, pick_measure
from pipeline.evaluation.results import Results
from pipeline.report.choice import measure_on_val
from pipeline.report.ensemble import Ensemble, combine, compare_with_chosen, get_used_probabilities
from pipeline.report.label_issues import find_label_issues
from pipeline.report.plot_tables import join_curves
from pipeline.report.prediction_table import get_labels
from pipeline.report.tables import choose_family, make_summary, rank_families


@dataclass(frozen=True)
class Guessing:
    """label: what guessing answers. accuracy: of always answering it, on test. is_tie: whether other classes are as frequent in
    training. versus: family to how it compares. measure: by which families are chosen and compared. is_unequal: whether the
    classes are so unequal that accuracy misleads."""

    measure: Measure
    label: str
    accuracy: float
    is_tie: bool
    versus: dict[str, Versus]
    is_unequal: bool


@dataclass(frozen=True)
class Findings:
    """summary: SUMMARY_COLUMNS, one row per family and one for the ensemble. chosen: the family to use. ranked: all families,
    the highest test accuracy first. comparisons: see `compare_with_chosen`. curves: of all families. issues:
    LABEL_COLUMNS, by the chosen family, and in train by `fold_family`, which is "" where no family has out-of-fold predictions
    (see `pick_fold_family`). unpredicted: classes that the chosen family gives to no test image."""

    summary: pd.DataFrame
    chosen: str
    ranked: list[str]
    ensemble: Ensemble | None
    comparisons: pd.DataFrame
    curves: pd.DataFrame
    issues: pd.DataFrame
    fold_family: str
    guessing: Guessing
    unpredicted: list[str]
    costs: np.ndarray | None

    @property
    def weights(self) -> dict[str, float]:
        """Of families in their ensemble; none without one."""
        return self.ensemble.weights if self.ensemble else {}


def make_findings(results: dict[str, Results], images: Mapping[str, int], rules: Evaluate) -> Findings:
    """results: by family, at least one. images: of training, by class, in the order of the classes. Raises PipelineError if
    evaluate.costs names no class."""
    names = list(images)
    measure = pick_measure(rules.choose_by, images)
    costs = make_cost_matrix(rules.costs, names) if rules.costs or measure == "cost" else None
    ensemble = combine(results)
    guessing = compare_all(results, measure, images, costs)
    rows = {
        family: {
            **result.metrics,
            **measure_on_val(result.val_predictions, result.metrics["temperature"], costs),
            "p_guess": guessing.versus[family].p,
        }
        for family, result in results.items()
    }
    summary = make_summary(rows | ({ENSEMBLE: {**ensemble.metrics}} if ensemble else {}), measure)
    chosen = choose_family(summary, measure)
    fold_family = pick_fold_family(results, summary, measure)
    predicted = set(results[chosen].predictions["predicted"])
    return Findings(
        summary=summary,
        chosen=chosen,
        ranked=rank_families(summary),
        ensemble=ensemble,
        comparisons=compare_with_chosen(results, ensemble, chosen, measure, costs),
        curves=join_curves({family: result.curves for family, result in results.items()}),
        issues=find_label_issues(results[chosen], results.get(fold_family)),
        fold_family=fold_family,
        guessing=guessing,
        unpredicted=[name for name in names if name not in predicted],
        costs=costs if rules.costs else None,
    )


def pick_fold_family(results: Mapping[str, Results], summary: pd.DataFrame, measure: Measure) -> str:
    """The best family, by the measure on val, of those that have out-of-fold predictions of the training images; the chosen one
    if it has. "" where none has."""
    having = [family for family, result in results.items() if len(result.train_predictions)]
    return choose_family(summary[summary["family"].isin(having)], measure) if having else ""


def compare_all(
    results: dict[str, Results], measure: Measure, images: Mapping[str, int], costs: np.ndarray | None
) -> Guessing:
    """Every family against guessing, on test."""
    names, prior = list(images), np.array(list(images.values()), float) / sum(images.values())
    # The prior of log loss answers with all classes; the most frequent one stands for it in words.
    label = names[int(guess(measure, prior, costs).argmax())]
    truth = next(iter(results.values())).predictions["label"]
    versus = {
        family: compare_with_guessing(
            measure, get_labels(result.predictions), get_used_probabilities(result, measure, costs), prior, costs
        )
        for family, result in results.items()
    }
    is_unequal = pick_measure(None, images) != "accuracy"
    is_tie = sorted(images.values())[-2:] == [max(images.values())] * 2
    return Guessing(measure, label, float((truth == label).mean()), is_tie, versus, is_unequal)
