"""The pages in a browser that opens the files: no server, no network."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dvc_render.html import render_html
from dvc_render.vega import VegaRenderer

from pipeline.data.tfrecords import Record, list_shards, load_dataset_facts, read_records
from pipeline.evaluation.metrics import make_prediction_table
from pipeline.evaluation.results import save_results
from stages.download import download
from stages.examine import examine
from stages.preprocess import preprocess
from stages.prune import prune
from stages.report import report
from stages.split import split
from tests.clone import draw_pictures
from tests.conftest import Project
from tests.results import OUTSIDE, Split, guess, make_results

BROWSER = shutil.which("chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --enable-logging=stderr --virtual-time-budget=3000 --dump-dom"
)
EVIL = "<img src=x onerror=document.title='pwned'>"
CLASS_NAMES = [EVIL, "NA", "cat"]
SIZE = 32
READINGS = {"images_per_second_1": 80.0, "images_per_second_32": 1234.0, "train_seconds": 4.5}

pytestmark = pytest.mark.skipif(BROWSER is None, reason="chromium is not installed: it opens the pages")


@dataclass(frozen=True)
class View:
    """dom: the page after its scripts. console: what the browser complains of."""

    dom: str
    console: list[str]

    def within(self, start: str, end: str) -> str:
        """The text of a part of the page, cells apart."""
        part = self.dom[self.dom.index(start) :]
        return " | ".join(re.sub(r"<[^>]*>", "\n", part[: part.index(end)]).split("\n"))

    @property
    def costs(self) -> str:
        return self.dom[self.dom.index('<div id="costs">') : self.dom.index("<h3>Architectures</h3>")]

    def rows(self, part: str) -> list[list[str]]:
        """The cells of the tables in a part of the page."""
        return [
            re.findall(r"(?s)<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"(?s)<tr[^>]*>(.*?)</tr>", part)
        ]


def open_page(file: Path, profile: Path) -> View:
    command = [BROWSER, *FLAGS.split(), f"--user-data-dir={profile}", file.resolve().as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, check=True)
    return View(done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line])


def guess_split(name: str, wrong: float) -> tuple[Split, pd.DataFrame]:
    """Labels and probabilities for the images of a split, and the table of predictions."""
    records: list[Record] = [record for file in list_shards(name) for record in read_records(file, SIZE)]
    labels = np.array([record.label for record in records])
    probabilities = guess(labels, len(CLASS_NAMES), wrong=wrong)
    ids, names = [record.image_id for record in records], [record.name for record in records]
    return (labels, probabilities), make_prediction_table(ids, names, labels, probabilities, CLASS_NAMES)


def evaluate(family: str, *, wrong: float, timed: bool) -> None:
    """Writes what evaluate writes, for a family that guesses."""
    (test, predictions), (val, val_predictions) = guess_split("test", wrong), guess_split("val", wrong)
    digest = family.encode().hex().ljust(64, "0")
    row = {"name": "cat/one.png", "label": "cat", "predicted": "NA", "confidence": 0.5, "distance": 1.5, "is_far": True}
    outside = pd.DataFrame([row | {"reason": ""}], columns=[*OUTSIDE, *(f"p:{name}" for name in CLASS_NAMES)])
    results = make_results(
        CLASS_NAMES,
        test,
        val,
        predictions=predictions,
        val_predictions=val_predictions,
        outside=outside,
        heat_maps=np.ones((2, 2, 2), np.float16),
        augmented=np.zeros((2, 3, SIZE, SIZE, 3), np.uint8),
        model_sha256=digest,
        model_bytes=2_500_000,
    )
    save_results(family, results)
    if timed:
        Path("metrics", family, "timings.json").write_text(json.dumps(READINGS | {"model": digest}))


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The report of a small project: two families, one of them timed; one class has a tag for a name."""
    folder = tmp_path_factory.mktemp("browser")
    (folder / "project").mkdir()
    draw_pictures(folder / "pictures", classes=CLASS_NAMES, count=40)
    draw_pictures(folder / "project/data/watch/outside", classes=["cat"], count=1)
    (folder / "project/data/watch/outside/cat/0.png").rename(folder / "project/data/watch/outside/cat/one.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "project")
        patch.setattr("pipeline.runtime.processes.num_cores", lambda: 1)
        Project(folder / "project").set(
            families=["linear_svm", "underfit"],
            data__source="folder",
            data__path=str(folder / "pictures"),
            preprocess__image_size=SIZE,
            preprocess__num_workers=1,
        )
        for stage in (download, prune, split, preprocess, examine):
            stage()
        assert load_dataset_facts().class_names == CLASS_NAMES
        evaluate("linear_svm", wrong=0.3, timed=True)
        evaluate("underfit", wrong=0.6, timed=False)
        report()
        yield folder / "project/metrics"


@pytest.fixture
def page(metrics: Path, tmp_path: Path) -> Path:
    """A copy of the page with run.js beside it, which a test may change."""
    for name in ("report.html", "run.js"):
        shutil.copy(metrics / name, tmp_path)
    return tmp_path / "report.html"


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return tmp_path / "profile"


class TestRun:
    def test_what_the_run_cost_is_in_a_table(self, page, profile):
        view = open_page(page, profile)
        head, *rows = view.rows(view.costs)
        assert head[:3] == ["Family", "Training, s", "One image, ms"]
        assert rows == [["linear_svm", "4.5", "12.5", "1,234", "2.5", "–", "–"], ["underfit", *"–––", "2.5", *"––"]]
        assert '<tr class="chosen"><td>linear_svm</td>' in view.costs
        assert view.costs.count("<svg") == 1
        assert view.console == []

    def test_where_it_ran_is_among_the_facts(self, page, profile):
        view = open_page(page, profile)
        facts = dict(view.rows(view.dom[view.dom.index('id="facts"') :]))
        assert {"Processor", "Memory", "System", "Commit", "Training seed"} <= set(facts)
        assert facts["Parameters changed since that commit"] == "none"

    def test_without_a_run_the_page_says_where_the_timings_are(self, page, profile):
        (page.parent / "run.js").unlink()
        view = open_page(page, profile)
        assert "appear here if <code>run.js</code> is beside this file" in view.costs
        assert "<table" not in view.costs
        assert "Processor" not in view.within('id="facts"', "</table>")
        assert not [line for line in view.console if "Uncaught" in line]

    def test_the_run_of_another_page_is_not_shown(self, page, profile):
        run = page.parent / "run.js"
        run.write_text(re.sub(r'"key": "[0-9a-f]{16}"', '"key": "0123456789abcdef"', run.read_text()))
        view = open_page(page, profile)
        assert "appear here if <code>run.js</code> is beside this file" in view.costs
        assert "<table" not in view.costs
        assert "Processor" not in view.within('id="facts"', "</table>")
        assert view.console == []

    def test_names_in_it_are_only_text(self, page, profile):
        run = page.parent / "run.js"
        run.write_text(run.read_text().replace('"family": "underfit"', f'"family": {json.dumps(EVIL)}'))
        view = open_page(page, profile)
        assert "&lt;img src=x" in view.costs
        assert "<img" not in view.costs
        assert view.console == []


class TestPage:
    def test_no_name_becomes_a_picture_or_a_script(self, page, profile):
        view = open_page(page, profile)
        assert "<title>Which model? linear_svm" in view.dom
        assert all(
            tag.startswith('src="data:image/jpeg;base64,') for tag in re.findall(r"<img[^>]*?(src=\S*)", view.dom)
        )
        assert view.dom.count("&lt;img src=x") > 10

    def test_it_has_every_section_and_every_kind_of_picture(self, page, profile):
        view = open_page(page, profile)
        assert re.findall(r'<h2 id="(\w+)"', view.dom) == [
            "which",
            "sure",
            "samples",
            "wrong",
            "data",
            "cost",
            "outside",
            "again",
        ]
        for words in ("looked in its mistakes", "How training sees them", "Ensemble of all families", "cat/one.png"):
            assert words in view.dom

    def test_an_error_would_be_seen(self, page, profile):
        (page.parent / "run.js").write_text("showRun({});\nnoSuchFunction();\n")
        assert any("noSuchFunction" in line for line in open_page(page, profile).console)


def test_dvc_draws_its_plots_without_the_network(metrics, tmp_path, profile):
    points = [{"x": x, "y": x * x, "rev": "workspace"} for x in range(3)]
    plot = VegaRenderer(points, "a plot", template="linear", x="x", y="y")
    render_html([plot], tmp_path / "index.html", metrics.parent / ".cache/plots.html")
    view = open_page(tmp_path / "index.html", profile)
    assert "vega-embed" in view.dom
    assert re.search(r"<canvas|<svg[^>]*marks", view.dom)
    # DVC's own templates are of an older Vega-Lite, of which its library warns.
    assert not [line for line in view.console if "Uncaught" in line or "Failed to load" in line]
