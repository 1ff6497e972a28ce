"""Compares the families: metrics/summary.csv, metrics/report.html, and the overlays that `dvc plots show` draws."""

import logging

from pipeline.config.reader import load_params
from pipeline.config.sections import Params
from pipeline.data.examination import load_examination
from pipeline.data.manifest import save_table
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.evaluation.results import Results, check_evaluations, load_results, remove_leftovers
from pipeline.report.cards import open_album
from pipeline.report.findings import Findings, make_findings
from pipeline.report.outputs import save_metrics, save_plots
from pipeline.report.page import render_page, save_page
from pipeline.report.run_facts import compute_key, describe_origin, describe_settings
from pipeline.report.run_script import write_run
from pipeline.report.sections.class_reports import describe_class_reports
from pipeline.report.sections.data import describe_augmentation, describe_data
from pipeline.report.sections.data_issues import describe_data_issues
from pipeline.report.sections.exports import describe_exports, list_export_costs
from pipeline.report.sections.mistakes import describe_mistakes
from pipeline.report.sections.models import describe_models
from pipeline.report.sections.outside import describe_outside
from pipeline.report.sections.phases import describe_phases
from pipeline.report.sections.reading import describe_reading
from pipeline.report.sections.sample_predictions import describe_samples
from pipeline.report.sections.slices import describe_slices
from pipeline.report.tables import HEADLINES, make_timings
from pipeline.runtime.cli import run_verb
from pipeline.runtime.paths import METRICS
from pipeline.runtime.timings import load_readings

logger = logging.getLogger(__name__)


def report() -> None:
    params = load_params()
    remove_leftovers(params.families)
    results = {family: load_results(family) for family in params.families}
    check_evaluations(results, facts := load_dataset_facts())
    digests = {family: result.metrics["model_sha256"] for family, result in results.items()}
    findings, key = make_findings(results, facts.counts["train"], params.evaluate), compute_key(digests)
    save_metrics(findings)
    save_plots(findings, results)
    save_page(METRICS / "report.html", render_report(params, results, findings, key))
    timings = make_timings({family: load_readings(family, digest) for family, digest in digests.items()})
    save_table(timings, METRICS / "timings.csv")
    origin, exports = describe_origin(digests, params.runtime), list_export_costs(digests)
    write_run(METRICS / "run.js", key, timings, findings.summary, origin, exports, findings.weights)
    logger.info("timings:\n%s", timings.to_string(index=False))
    print(findings.summary[["family", *HEADLINES, "train_accuracy", "parameters"]].to_string(index=False))
    print(f"report: {METRICS / 'report.html'}")


def render_report(params: Params, results: dict[str, Results], findings: Findings, key: str) -> str:
    """The page, section by section."""
    facts, examination = load_dataset_facts(), load_examination()
    album, chosen = open_album(facts.resize, params.preprocess.range), results[findings.chosen]
    return render_page(
        "report.html",
        **describe_models(findings, results, facts.class_names),
        **describe_phases(findings),
        **describe_class_reports(results, findings.ranked),
        **describe_samples(chosen.predictions, album, params.train.seed),
        **describe_mistakes(findings.chosen, results, findings.ranked, facts.class_names, album),
        **describe_data_issues(findings, examination.near_duplicates, results, album),
        **describe_data(facts, examination, params.preprocess.range),
        **describe_reading(params.split.group),
        **describe_settings(params),
        slices=describe_slices(chosen.predictions, examination.images, chosen.look_alikes, album),
        **describe_exports(findings.ranked),
        augmented=describe_augmentation(results),
        outside=describe_outside(chosen.outside, params.preprocess.range),
        key=key,
    )


if __name__ == "__main__":
    run_verb(report, __doc__)
