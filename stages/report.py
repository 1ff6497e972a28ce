"""Compares the families: metrics/summary.csv, metrics/report.html, and the overlays that `dvc plots show` draws."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config.reader import load_params
from pipeline.config.sections import Params
from pipeline.data.examination import load_examination
from pipeline.data.manifest import save_table
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.evaluation.ensemble import ENSEMBLE
from pipeline.evaluation.results import Results, load_results, remove_leftovers
from pipeline.report.page import render_page
from pipeline.report.plots_page import save_plots_page
from pipeline.report.run_facts import write_run
from pipeline.report.sections.data import describe_augmentation, describe_data
from pipeline.report.sections.mistakes import describe_doubts, describe_mistakes, find_label_issues, open_album
from pipeline.report.sections.models import Ensemble, combine, compare, describe_models
from pipeline.report.sections.outside import describe_outside
from pipeline.report.tables import (
    HEADLINES,
    choose_family,
    join_curves,
    join_tables,
    make_comparison,
    make_summary,
    make_timings,
)
from pipeline.runtime.cli import run_verb
from pipeline.runtime.files import folder_aside, write_aside
from pipeline.runtime.paths import MANIFEST, METRICS
from pipeline.runtime.timings import load_readings


def report() -> None:
    params, facts, examination = load_params(), load_dataset_facts(), load_examination()
    families = params.families
    remove_leftovers(families)
    results = {family: load_results(family) for family in families}
    ensemble = combine(results)
    figures = {family: result.figures for family, result in results.items()}
    summary = make_summary(figures | ({ENSEMBLE: ensemble.figures} if ensemble else {}))
    chosen = choose_family(summary)
    comparisons = compare(results, ensemble, chosen)
    issues = find_label_issues(results[chosen])
    curves = join_curves({family: result.curves for family, result in results.items()})
    save_figures(summary, comparisons.assign(reference=chosen), issues, ensemble)
    save_plots(summary, curves, results)
    ranked = [name for name in summary["family"] if name != ENSEMBLE]
    album = open_album(facts.resize)
    key = compute_key(figures)
    page = render_page(
        "report.html",
        **describe_models(summary, curves, comparisons, results, ensemble, facts.class_names),
        **describe_mistakes(chosen, results, ranked, facts.class_names, album),
        **describe_doubts(issues, examination.near_duplicates, results, ranked, album),
        **describe_data(facts, examination),
        augmented=describe_augmentation(results),
        outside=describe_outside(results[chosen].outside),
        source=params.data.source,
        overrides=describe_overrides(params),
        facts=describe_run(params.train.seed),
        key=key,
    )
    with write_aside(METRICS / "report.html") as partial:
        partial.write_text(page, encoding="utf-8")
    timings = make_timings({name: load_readings(name, figures[name]["model_sha256"]) for name in families})
    save_table(timings, METRICS / "timings.csv")
    with write_aside(METRICS / "run.js") as partial:
        write_run(partial, key, timings, summary, families)
    print(summary[["family", *HEADLINES, "train_accuracy", "parameters"]].to_string(index=False))
    print(timings.to_string(index=False))
    print(f"report: {METRICS / 'report.html'}")


def save_figures(
    summary: pd.DataFrame, comparisons: pd.DataFrame, issues: pd.DataFrame, ensemble: Ensemble | None
) -> None:
    """Writes what people and `dvc metrics` read."""
    save_table(summary, METRICS / "summary.csv")
    with write_aside(METRICS / "summary.json") as partial:
        headlines = {row["family"]: {key: row[key] for key in HEADLINES} for row in summary.to_dict("records")}
        partial.write_text(json.dumps(headlines, indent=1) + "\n")
    save_table(comparisons, METRICS / "comparisons.csv")
    save_table(issues, METRICS / "label_issues.csv")
    with write_aside(METRICS / "ensemble.json") as partial:
        content = {"weights": ensemble.weights} | ensemble.figures if ensemble else {"weights": {}}
        partial.write_text(json.dumps(content, indent=1) + "\n")


def save_plots(summary: pd.DataFrame, curves: pd.DataFrame, results: dict[str, Results]) -> None:
    """Writes what `dvc plots` draws, all families in one table each."""
    with folder_aside(METRICS / "plots") as folder:
        save_table(curves, folder / "curves.csv")
        save_table(make_comparison(summary), folder / "comparison.csv")
        for name in ("roc", "pr", "reliability", "classes"):
            save_table(join_tables(results, name), folder / f"{name}.csv")
    save_plots_page()


def compute_key(figures: dict[str, dict[str, Any]]) -> str:
    """Which models the page is about, 16 hex digits."""
    text = " ".join(f"{family} {values['model_sha256']}" for family, values in sorted(figures.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def describe_overrides(params: Params) -> dict[str, str]:
    """What `train` sets for all families, against what the studies have published."""
    neutral = {"seed", "cache_gb", "shuffle_buffer"}
    found: dict[str, str] = {}
    for name, value in params.train.model_dump().items():
        entries = {f"{name}.{key}": v for key, v in value.items()} if isinstance(value, dict) else {name: value}
        found |= {f"train.{key}": str(v) for key, v in entries.items() if v is not None and key not in neutral}
    return found


def describe_run(seed: int) -> dict[str, str]:
    """What one needs to get the same figures again, and what is the same for every machine that does."""
    packages = ("tensorflow", "keras", "scikit-learn", "numpy", "pillow", "dvc", "dvclive")
    return {
        "Data (sha256 of data/manifest.csv)": hashlib.sha256(Path(MANIFEST).read_bytes()).hexdigest(),
        "Training seed": str(seed),
        "Versions": ", ".join(f"{name} {version(name)}" for name in packages),
    }


if __name__ == "__main__":
    run_verb(report, __doc__)
