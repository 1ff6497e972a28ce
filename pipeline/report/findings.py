"""What the report finds in the results: which family to use, how the others compare, which labels look wrong. Pure."""

from dataclasses import dataclass

import pandas as pd

from pipeline.evaluation.ensemble import ENSEMBLE
from pipeline.evaluation.results import Results
from pipeline.report.ensemble import Ensemble, combine, compare_with_chosen
from pipeline.report.label_issues import find_label_issues
from pipeline.report.plot_tables import join_curves
from pipeline.report.tables import choose_family, make_summary, rank_families


@dataclass(frozen=True)
class Findings:
    """summary: SUMMARY_COLUMNS, one row per family and one for the ensemble. chosen: the family to use. ranked: all families,
    the highest test accuracy first. comparisons: every other family against the chosen one. curves: of all families. issues:
    LABEL_COLUMNS, by the chosen family."""

    summary: pd.DataFrame
    chosen: str
    ranked: list[str]
    ensemble: Ensemble | None
    comparisons: pd.DataFrame
    curves: pd.DataFrame
    issues: pd.DataFrame


def make_findings(results: dict[str, Results]) -> Findings:
    """results: by family, at least one."""
    ensemble = combine(results)
    metrics = {family: result.metrics for family, result in results.items()}
    summary = make_summary(metrics | ({ENSEMBLE: ensemble.metrics} if ensemble else {}))
    chosen = choose_family(summary)
    return Findings(
        summary=summary,
        chosen=chosen,
        ranked=rank_families(summary),
        ensemble=ensemble,
        comparisons=compare_with_chosen(results, ensemble, chosen),
        curves=join_curves({family: result.curves for family, result in results.items()}),
        issues=find_label_issues(results[chosen]),
    )
