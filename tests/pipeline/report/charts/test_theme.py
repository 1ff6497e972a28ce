import re
from pathlib import Path

import pytest

from pipeline.report import charts
from pipeline.report.charts import theme
from pipeline.report.charts.models import draw_curves
from pipeline.report.charts.theme import sort_values
from tests.pipeline.report.charts.svg import read_texts
from tests.pipeline.report.charts.tables import make_curves

REPORT = Path(charts.__file__).parents[1]
COLOUR = re.compile(r"#[0-9a-fA-F]{6}\b")


def test_every_colour_of_a_chart_is_named_in_the_theme():
    for file in REPORT.rglob("*.py"):
        assert COLOUR.search(file.read_text()) is None or file == Path(theme.__file__), file


def test_a_page_has_its_colours_in_one_place_for_each_scheme():
    """Light and dark, in base.html."""
    colours = {
        file.name: [line for line in file.read_text().splitlines() if COLOUR.search(line)]
        for file in (REPORT / "templates").glob("*.html")
    }
    assert {name for name, lines in colours.items() if lines} == {"base.html"}
    assert [line.split()[0] for line in colours["base.html"]] == [":root", ":root"]


@pytest.mark.parametrize("epochs", [2, 3, 4, 8])
def test_few_epochs_are_each_labelled_once(epochs):
    written = read_texts(draw_curves(make_curves(["cat"], epochs), "loss", ["cat"])).split("\n")
    assert [int(text) for text in written if text.isdigit()][:epochs] == list(range(1, epochs + 1))


def test_a_thousand_epochs_can_be_drawn():
    assert read_texts(draw_curves(make_curves(["cat"], 1000), "loss", ["cat"]))


@pytest.mark.parametrize("loss", [0.0, 1.0, 1e-9, 1e9])
def test_any_loss_can_be_drawn(loss):
    table = make_curves(["cat"])
    table.loc[0, "loss"] = loss
    assert read_texts(draw_curves(table, "loss", ["cat"]))


def test_the_eleventh_name_has_the_colour_of_the_first():
    names = [str(number) for number in range(11)]
    scale = theme.name_colour("family", names).to_dict()["scale"]
    assert scale["domain"] == names
    assert len(set(scale["range"])) == 10
    assert scale["range"][10] == scale["range"][0]


def test_numbers_are_sorted_by_size_before_words():
    assert sort_values(["sgd", "10", "null", "9", "1e-3", "adam"]) == ["1e-3", "9", "10", "adam", "null", "sgd"]
