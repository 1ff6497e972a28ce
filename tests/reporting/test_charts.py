from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from stages.evaluation.metrics import make_confusion_table
from stages.reporting.charts import draw_class_scores, draw_comparison, draw_confusion, draw_counts, draw_curves

SVG = "{http://www.w3.org/2000/svg}"
ODD = ["<script>alert(1)</script>", 'a,b & "c"', "null", "1", "Käfer 猫"]


def make_names(count: int, kind: str) -> list[str]:
    return [f"{kind} {number}" for number in range(count)]


def make_curves(families: list[str], epochs: int = 3) -> pd.DataFrame:
    rows = [
        (family, split, epoch, 0.5 + 0.1 * epoch / epochs, 2.0**-epoch)
        for family in families
        for split in ("train", "val")
        for epoch in range(1, epochs + 1)
    ]
    return pd.DataFrame(rows, columns=["family", "split", "epoch", "accuracy", "loss"])


def comparison(families: list[str]) -> str:
    rows = [(family, split, 0.5) for family in families for split in ("train", "val", "test")]
    return draw_comparison(pd.DataFrame(rows, columns=["family", "split", "accuracy"]), families)


def confusion(class_names: list[str]) -> str:
    labels = np.arange(3 * len(class_names)) % len(class_names)
    return draw_confusion(make_confusion_table(labels, np.roll(labels, 1), class_names), class_names)


def class_scores(families: list[str], class_names: list[str]) -> str:
    rows = [(family, label, 0.5) for family in families for label in class_names]
    return draw_class_scores(pd.DataFrame(rows, columns=["family", "label", "f1"]), families, class_names)


def counts(class_names: list[str]) -> str:
    rows = [(label, split, 10, i) for i, split in enumerate(("train", "val", "test")) for label in class_names]
    return draw_counts(pd.DataFrame(rows, columns=["label", "split", "images", "position"]), class_names)


def curves(families: list[str], metric: str = "loss", epochs: int = 3) -> str:
    return draw_curves(make_curves(families, epochs), metric, families)


def texts(svg: str) -> str:
    """All that is written in a chart; raises where it is no SVG."""
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert float(root.attrib["width"]) > 0
    assert float(root.attrib["height"]) > 0
    return "\n".join(element.text or "" for element in root.iter(f"{SVG}text"))


CHARTS: dict[str, Callable[[list[str]], str]] = {
    "comparison": comparison,
    "accuracy curves": lambda names: curves(names, "accuracy"),
    "loss curves": curves,
    "confusion": confusion,
    "class scores, families": lambda names: class_scores(names, ["cat", "dog"]),
    "class scores, classes": lambda names: class_scores(["underfit"], names),
    "counts": counts,
}
EVERY_CHART = pytest.mark.parametrize("draw", CHARTS.values(), ids=CHARTS.keys())


@EVERY_CHART
@pytest.mark.parametrize("count", [2, 10])
def test_few_families_or_classes_are_all_named(draw, count):
    names = make_names(count, "kind")
    written = texts(draw(names))
    assert all(name in written for name in names)


@pytest.mark.parametrize("chart", ["comparison", "accuracy curves", "loss curves", "class scores, families"])
def test_one_family_can_be_drawn_alone(chart):
    assert "only" in texts(CHARTS[chart](["only"]))


@pytest.mark.parametrize("chart", ["confusion", "counts", "class scores, classes"])
def test_a_hundred_classes_can_be_drawn(chart):
    assert texts(CHARTS[chart](make_names(100, "class")))


def test_curves_of_a_thousand_epochs_can_be_drawn():
    texts(curves(make_names(10, "family"), epochs=1000))


@EVERY_CHART
def test_any_name_is_only_text(draw):
    svg = draw(ODD)
    written = texts(svg)
    assert "<script" not in svg
    assert all(name in written for name in ("null", "1"))


@EVERY_CHART
def test_nothing_is_loaded_from_elsewhere(draw):
    root = ElementTree.fromstring(draw(ODD))
    for element in root.iter():
        assert element.tag.removeprefix(SVG) not in {"script", "image", "a", "use", "foreignObject", "style"}
        assert not [name for name in element.attrib if name.rpartition("}")[2] in {"href", "src"}]


@EVERY_CHART
def test_charts_on_one_page_share_no_names_that_clash(draw):
    assert not [element.attrib["id"] for element in ElementTree.fromstring(draw(ODD)).iter() if "id" in element.attrib]


@EVERY_CHART
def test_the_same_figures_give_the_same_bytes(draw):
    assert draw(["cat", "dog", "emu"]) == draw(["cat", "dog", "emu"])


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_a_family_of_one_epoch_is_a_dot(metric):
    assert "only" in texts(curves(["only"], metric, epochs=1))  # no line, but not nothing


@pytest.mark.parametrize("loss", [0.0, 1.0, 1e-9, 1e9])
def test_any_loss_can_be_drawn(loss):
    table = make_curves(["cat"])
    table.loc[0, "loss"] = loss
    texts(draw_curves(table, "loss", ["cat"]))


def test_figures_stand_in_the_cells_of_a_small_matrix_and_not_in_those_of_a_large_one():
    assert "%" in texts(confusion(make_names(15, "class")))
    assert "%" not in texts(confusion(make_names(16, "class")))


def test_classes_come_in_the_order_given():
    written = texts(counts(["zebra", "ant", "monkey"]))
    assert written.index("zebra") < written.index("ant") < written.index("monkey")
