import base64
import configparser
import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from dvc_render.html import render_html
from dvc_render.vega import VegaRenderer

from pipeline.report.page import make_policy
from pipeline.report.plots_page import render_plots_page, save_plots_page
from pipeline.runtime.paths import PLOTS_PAGE as PAGE

ROOT = Path(__file__).parents[3]


class Reader(HTMLParser):
    """Tags as a browser sees them, and all scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data


@pytest.fixture(scope="module")
def page() -> str:
    return render_plots_page()


@pytest.mark.parametrize("placeholder", ["{plot_divs}", "{refresh_tag}"])
def test_what_dvc_fills_in_is_there_once(page, placeholder):
    assert page.count(placeholder) == 1


def test_dvc_can_insert_no_scripts_from_the_network(page):
    assert "{scripts}" not in page


def test_no_script_and_no_stylesheet_is_loaded(page):
    for tag, attributes in Reader(page).tags:
        assert tag not in {"iframe", "object", "embed", "base"}
        assert "src" not in attributes
        assert (attributes.get("href") or "data:").startswith("data:")
    assert "@import" not in page.partition("<script>")[0]


def test_the_complete_library_is_in_it(page):
    [script] = Reader(page).scripts
    assert len(script) > 500_000
    assert "window.vegaEmbed" in script
    assert page.count("<script>") == page.count("</script>") == 1


def test_its_policy_names_its_one_script_and_allows_no_text_to_become_code(page):
    [script] = Reader(page).scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policies = [attributes["content"] for tag, attributes in Reader(page).tags if "http-equiv" in attributes]
    assert policies == [make_policy(script, "'self' file: data: blob:")]
    assert f"script-src 'self' file: 'sha256-{digest}';" in policies[0]
    assert "unsafe-eval" not in policies[0]


def test_dvc_draws_in_it(page, tmp_path):
    (tmp_path / "template.html").write_text(page, encoding="utf-8")
    points = [{"x": x, "y": x * x, "rev": "workspace"} for x in range(3)]
    plot = VegaRenderer(points, "a plot", template="linear", x="x", y="y")
    render_html([plot], tmp_path / "index.html", tmp_path / "template.html")
    drawn = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "{plot_divs}" not in drawn
    assert "{refresh_tag}" not in drawn
    *calls, library = Reader(drawn).scripts
    assert library in page
    assert any("vegaEmbed(" in call for call in calls)
    template = drawn[drawn.index("<template") : drawn.index("</template>")]
    assert all(call in template for call in calls)  # where a browser runs none
    assert not [attributes for tag, attributes in Reader(drawn).tags if tag == "script" and "src" in attributes]


class TestSaving:
    """Where .dvc/config says that the page is."""

    def test_it_is_where_dvc_looks_for_it(self):
        config = configparser.ConfigParser()
        config.read(ROOT / ".dvc" / "config")
        assert (ROOT / ".dvc" / config["plots"]["html_template"]).resolve() == (ROOT / PAGE).resolve()

    @pytest.mark.ci
    def test_it_is_written_completely_and_only_if_it_is_not_there(self, page, tmp_path):
        file = tmp_path / "new" / "plots.html"
        save_plots_page(file)  # renders it anew: the same version gives the same bytes
        written = file.stat().st_mtime_ns
        save_plots_page(file)
        assert file.read_text(encoding="utf-8") == page
        assert file.stat().st_mtime_ns == written
        file.write_text("half")
        save_plots_page(file)
        assert file.read_text(encoding="utf-8") == page


@pytest.mark.parametrize("file", sorted((ROOT / ".dvc/plots").glob("*.json")), ids=lambda file: file.stem)
def test_a_template_has_a_panel_per_experiment_as_vs_code_needs(file):
    """Its extension takes a plot for one of several panels if it is a facet; others it colours by experiment."""
    template = json.loads(file.read_text(encoding="utf-8"))
    assert template["facet"]["column"]["field"] == "rev"
    assert template["data"] == {"values": "<DVC_METRIC_DATA>"}
