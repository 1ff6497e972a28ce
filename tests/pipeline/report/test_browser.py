"""The pages in a browser that opens the files: no server, no network."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from dvc_render.html import render_html
from dvc_render.vega import VegaRenderer

from stages.report import report
from tests.pipeline.report.project import EVIL, export, make_project

ROOT = Path(__file__).parents[3]
BROWSER = shutil.which("chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --enable-logging=stderr --virtual-time-budget=3000 --dump-dom"
)

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
        return self.dom[self.dom.index('<div id="costs">') : self.dom.index('<h3 id="production">')]

    def rows(self, part: str) -> list[list[str]]:
        """The cells of the tables in a part of the page."""
        return [
            re.findall(r"(?s)<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"(?s)<tr[^>]*>(.*?)</tr>", part)
        ]


def open_page(file: Path, profile: Path) -> View:
    command = [BROWSER, *FLAGS.split(), f"--user-data-dir={profile}", file.resolve().as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, check=True)
    return View(done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line])


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What report writes in a small project."""
    with pytest.MonkeyPatch.context() as patch:
        make_project(tmp_path_factory.mktemp("browser"), patch)
        export("linear_svm")
        report()
        yield Path("metrics").resolve()


@pytest.fixture(scope="module")
def view(metrics: Path, tmp_path_factory: pytest.TempPathFactory) -> View:
    """The page as it is, with its run."""
    return open_page(metrics / "report.html", tmp_path_factory.mktemp("view") / "profile")


@pytest.fixture
def page(metrics: Path, tmp_path: Path) -> Path:
    """A copy of the page with run.js beside it, which a test may change."""
    for name in ("report.html", "run.js"):
        shutil.copy(metrics / name, tmp_path)
    return tmp_path / "report.html"


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return tmp_path / "profile"


@pytest.mark.ci
class TestRun:
    def test_what_the_run_cost_is_in_a_table(self, view):
        head, *rows = view.rows(view.costs)
        assert head[:4] == ["Family", "Training, s", "Trainable parameters", "One image, ms"]
        assert rows == [
            ["linear_svm", "4.5", "900", "12.50", "1,234", "2.50", "–", "–"],
            ["underfit", "–", "900", *"––", "2.50", *"––"],
        ]
        assert '<tr class="chosen"><td>linear_svm</td>' in view.costs
        assert view.costs.count("<svg") == 1
        assert view.console == []

    def test_what_an_ensemble_costs_is_beside_its_verdict(self, page, profile):
        page.write_text(page.read_text().replace("</main>", '<p>Time<span id="ensemble-cost"></span>.</p></main>'))
        run = page.parent / "run.js"
        content = json.loads(run.read_text().removeprefix("showRun(").removesuffix(");\n"))
        content["costs"].append(content["costs"][0] | {"family": "ensemble", "milliseconds": 50.0})
        run.write_text(f"showRun({json.dumps(content)});\n")
        view = open_page(page, profile)
        said = re.sub(r"<[^>]*>", "", view.dom[view.dom.index("<p>Time") :].partition("</p>")[0])
        assert said == "Time: 50 ms for one image, 4 times that of linear_svm alone."
        assert view.rows(view.costs)[-1][:4] == ["ensemble", "4.5", "900", "50.00"]
        assert view.console == []

    def test_where_it_ran_is_among_the_facts(self, view):
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


class TestExports:
    def part(self, view: View) -> str:
        return view.dom[view.dom.index('<h3 id="production">') : view.dom.index("<h3>Architectures</h3>")]

    def test_what_the_gate_found_and_what_files_cost(self, view):
        rows = [[re.sub(r"<[^>]*>", " ", cell) for cell in row] for row in view.rows(self.part(view))]
        assert [row[:3] for row in rows[1:3]] == [
            ["onnx", "1.23", "100.0&nbsp;%"],
            ["litert_int8", "1.23", "100.0&nbsp;%"],
        ]
        assert [row[-1] for row in rows[1:3]] == ["kept", "refused: accuracy is 0.25 lower than the model's"]
        assert rows[4] == ["keras", "1", "0.50", "12.0", "24.0", "64.0", "80.0", "1.0", "100"]
        assert rows[5] == ["onnx", "1", "0.50", "2.50", "5.00", "64.0", "80.0", "4.8", "100"]

    def test_without_a_run_the_gate_alone_is_shown(self, page, profile):
        (page.parent / "run.js").unlink()
        part = self.part(open_page(page, profile))
        assert part.count("<table") == 1
        assert '<div data-costs="linear_svm"></div>' in part
        assert '<p class="note" id="measured"></p>' in part


class TestPage:
    def test_no_name_becomes_a_picture_or_a_script(self, view):
        assert "<title>Which model? linear_svm" in view.dom
        assert all(
            tag.startswith('src="data:image/jpeg;base64,') for tag in re.findall(r"<img[^>]*?(src=\S*)", view.dom)
        )
        assert view.dom.count("&lt;img src=x") > 10

    def test_it_has_every_section_and_every_kind_of_picture(self, view):
        sections = ["which", "sure", "samples", "wrong", "data", "cost", "outside", "again"]
        assert re.findall(r'<h2 id="(\w+)"', view.dom) == sections
        for words in ("looked in its mistakes", "How training sees them", "Ensemble of all families", "cat/one.png"):
            assert words in view.dom

    def test_an_error_would_be_seen(self, page, profile):
        (page.parent / "run.js").write_text("showRun({});\nnoSuchFunction();\n")
        assert any("noSuchFunction" in line for line in open_page(page, profile).console)


INJECTED = "<img src=x onerror=\"document.title='ran'\"><script>document.title='ran'</script>"


class TestPolicy:
    """Should a name ever become markup, the browser runs nothing of it."""

    def test_a_page_runs_its_own_script_alone(self, page, profile):
        page.write_text(page.read_text().replace("</main>", f"{INJECTED}</main>"))
        with (page.parent / "run.js").open("a") as run:
            run.write("\ntry { eval(\"document.title='ran'\"); } catch (error) { console.log(error.name); }\n")
        view = open_page(page, profile)
        assert "<title>Which model? linear_svm" in view.dom
        assert view.costs.count("<svg") == 1  # run.js itself was run
        assert any("EvalError" in line for line in view.console)
        assert (
            len([line for line in view.console if "Content Security Policy" in line]) == 3
        )  # picture, its handler, script


class TestPlotsOfDvc:
    @pytest.fixture
    def draw(self, metrics, tmp_path, profile):
        def draw(*plots: VegaRenderer) -> View:
            render_html(list(plots), tmp_path / "index.html", metrics.parent / ".cache/plots.html")
            return open_page(tmp_path / "index.html", profile)

        return draw

    def test_they_are_drawn_without_the_network_and_without_making_code(self, draw):
        points = [{"x": x, "y": x * x, "label": "a", "predicted": "a", "count": 1, "rev": "w"} for x in range(3)]
        points[0]["y"] = float("nan")
        templates = sorted(file.stem for file in (ROOT / ".dvc" / "plots").glob("*.json"))
        plots = [
            VegaRenderer(points, f"a {name}", template=name, template_dir=str(ROOT / ".dvc" / "plots"), x="x", y="y")
            for name in ("linear", *templates)
        ]
        view = draw(*plots)
        assert view.dom.count("vega-embed") >= len(plots)
        assert len(re.findall(r"<canvas|<svg[^>]*marks", view.dom)) >= len(plots)
        # DVC's own templates are of an older Vega-Lite, of which its library warns.
        assert not [
            line for line in view.console if re.search("Uncaught|Failed to load|Security Policy|EvalError", line)
        ]

    def test_a_name_that_ends_dvcs_script_runs_nothing(self, draw):
        points = [{"x": 1, "y": 1, "rev": f"</script></div></template>{INJECTED}"}]
        view = draw(VegaRenderer(points, "a plot", template="linear", x="x", y="y"))
        assert "<title>DVC plots</title>" in view.dom
        assert any("Content Security Policy" in line for line in view.console)
