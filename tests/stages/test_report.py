import contextlib
import io
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from pipeline.config.reader import load_params
from pipeline.evaluation.ensemble import ENSEMBLE
from pipeline.evaluation.results import load_results
from pipeline.report.tables import HEADLINES, SUMMARY_COLUMNS
from pipeline.runtime.logging import configure_logging
from stages.report import report
from tests.pipeline.report.project import make_project

METRICS = Path("metrics")
WRITTEN = (
    "summary.csv", "summary.json", "comparisons.csv", "label_issues.csv", "ensemble.json", "timings.csv", "report.html",
    "run.js", "plots/curves.csv", "plots/comparison.csv", "plots/roc.csv", "plots/pr.csv", "plots/reliability.csv",
    "plots/classes.csv",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What report printed, and what it logged."""

    out: str
    err: str


def run_report() -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        configure_logging()
        report()
    return Outcome(out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """The report of two families that guess. The tests are moved into its project."""
    with pytest.MonkeyPatch.context() as patch:
        make_project(tmp_path_factory.mktemp("report"), patch)
        yield run_report()


def test_the_answer_is_on_stdout_and_the_timings_are_on_stderr(reported):
    lines = reported.out.splitlines()
    assert lines[0].split() == ["family", *HEADLINES, "train_accuracy", "parameters"]
    assert {line.split()[0] for line in lines[1:-1]} == {"linear_svm", "underfit", ENSEMBLE}
    assert lines[-1] == "report: metrics/report.html"
    assert "train_seconds" not in reported.out
    assert reported.err.startswith("timings:\n")
    assert "train_seconds" in reported.err


@pytest.mark.usefixtures("reported")
class TestFiles:
    def test_headlines_are_those_of_the_summary(self):
        summary = pd.read_csv(METRICS / "summary.csv").set_index("family")
        headlines = json.loads((METRICS / "summary.json").read_text())
        assert list(summary.reset_index().columns) == SUMMARY_COLUMNS
        assert headlines == summary[HEADLINES].to_dict("index")

    def test_every_other_family_is_compared_with_the_chosen_one(self):
        comparisons = pd.read_csv(METRICS / "comparisons.csv")
        assert set(comparisons["family"]) == {"underfit", ENSEMBLE}
        assert set(comparisons["reference"]) == {"linear_svm"}

    def test_the_ensemble_has_weights_and_metrics(self):
        ensemble = json.loads((METRICS / "ensemble.json").read_text())
        assert set(ensemble["weights"]) == {"linear_svm", "underfit"}
        assert (
            ensemble["test_accuracy"]
            == pd.read_csv(METRICS / "summary.csv").set_index("family").loc[ENSEMBLE, "test_accuracy"]
        )

    @pytest.mark.parametrize("name", ["roc", "pr", "reliability", "classes", "curves", "comparison"])
    def test_every_family_is_in_every_table_of_plots(self, name):
        assert set(pd.read_csv(METRICS / f"plots/{name}.csv")["family"]) == {"linear_svm", "underfit"}

    def test_the_page_has_every_family_s_report_and_the_pairs_of_those_not_chosen(self):
        page = (METRICS / "report.html").read_text()
        for family in ("linear_svm", "underfit"):
            accuracy = load_results(family).metrics["test_accuracy"]
            assert re.search(rf"<summary>{family}: [\d.]+.% on train, {100 * accuracy:.1f}.% on test</summary>", page)
        assert re.search(r"<summary>underfit: .*mistaken for", page)
        assert not re.search(r"<summary>linear_svm: .*mistaken for", page)

    def test_the_page_shows_samples_of_the_chosen_family(self):
        page = (METRICS / "report.html").read_text()
        samples = page[page.index('<h2 id="samples">') : page.index('<h2 id="wrong">')]
        predictions = load_results("linear_svm").predictions
        mistakes = int((predictions["label"] != predictions["predicted"]).sum())
        assert len(re.findall(r'<li><img src="data:image/jpeg', samples)) == 12
        assert samples.count('class="wrong"') == min(6, mistakes)

    def test_reporting_again_gives_the_same_bytes(self):
        before = {name: (METRICS / name).read_bytes() for name in WRITTEN}
        run_report()
        assert {name: (METRICS / name).read_bytes() for name in WRITTEN} == before


@pytest.mark.usefixtures("reported")
def test_a_single_family_has_no_ensemble(tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(Path.cwd(), tmp_path / "project"))
    params = load_params()
    monkeypatch.setattr("stages.report.load_params", lambda: params.model_copy(update={"families": ["linear_svm"]}))
    run_report()
    assert json.loads((METRICS / "ensemble.json").read_text()) == {"weights": {}}
    assert pd.read_csv(METRICS / "summary.csv")["family"].tolist() == ["linear_svm"]
