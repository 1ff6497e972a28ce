"""Writes metrics/: the tables and JSON that people, `dvc metrics` and `dvc plots` read."""

import json

from pipeline.data.manifest import save_table
from pipeline.evaluation.plot_text import make_drawable
from pipeline.evaluation.results import Results
from pipeline.report.findings import Findings
from pipeline.report.plot_tables import join_tables
from pipeline.report.plots_page import save_plots_page
from pipeline.report.tables import HEADLINES, make_comparison
from pipeline.runtime.files import folder_aside, write_aside
from pipeline.runtime.paths import METRICS


def save_metrics(findings: Findings) -> None:
    """Writes summary.csv and summary.json, comparisons.csv, label_issues.csv, ensemble.json."""
    summary, ensemble = findings.summary, findings.ensemble
    save_table(summary, METRICS / "summary.csv")
    with write_aside(METRICS / "summary.json") as partial:
        headlines = {row["family"]: {key: row[key] for key in HEADLINES} for row in summary.to_dict("records")}
        partial.write_text(json.dumps(headlines, indent=1) + "\n")
    save_table(findings.comparisons, METRICS / "comparisons.csv")
    save_table(findings.issues, METRICS / "label_issues.csv")
    with write_aside(METRICS / "ensemble.json") as partial:
        content = {"weights": ensemble.weights} | ensemble.metrics if ensemble else {"weights": {}}
        partial.write_text(json.dumps(content, indent=1) + "\n")


def save_plots(findings: Findings, results: dict[str, Results]) -> None:
    """Writes plots/, one table of all families per chart, and the page in which `dvc plots` draws them."""
    with folder_aside(METRICS / "plots") as folder:
        save_table(findings.curves, folder / "curves.csv")
        save_table(make_comparison(findings.summary), folder / "comparison.csv")
        for name in ("roc", "pr", "reliability", "classes"):
            save_table(make_drawable(join_tables(results, name)), folder / f"{name}.csv")
    save_plots_page()
