"""What holds for every chart that has names in it."""

from collections.abc import Callable
from functools import cache
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.metrics import make_confusion_table
from pipeline.evaluation.roc_pr import make_pr_table, make_roc_table
from pipeline.report.charts.costs import draw_tradeoff
from pipeline.report.charts.data import draw_counts, draw_found, draw_light
from pipeline.report.charts.experiments import draw_curves_of_runs, draw_effects, draw_parallel
from pipeline.report.charts.folds import draw_fold_boxes
from pipeline.report.charts.mistakes import draw_confusion
from pipeline.report.charts.models import draw_class_scores, draw_comparison, draw_curves, draw_operating_curve
from pipeline.report.charts.trials import draw_importance, draw_slices
from tests.pipeline.report.charts.svg import SVG, read_texts
from tests.pipeline.report.charts.tables import make_costs, make_curves, make_names, make_trials

ODD = ["<script>alert(1)</script>", 'a,b & "c"', "null", "1", "Käfer 猫"]
UNSEEN = ["bell\x07", "turned\u202e", "no character\ufffe"]


def draw_families(families: list[str]) -> str:
    rows = [(family, split, 0.5) for family in families for split in ("train", "val", "test")]
    intervals = pd.DataFrame({"family": families, "test_accuracy": 0.5})
    intervals = intervals.assign(test_accuracy_low=0.4, test_accuracy_high=0.6)
    return draw_comparison(pd.DataFrame(rows, columns=["family", "split", "accuracy"]), intervals, families)


def draw_matrix(class_names: list[str]) -> str:
    labels = np.arange(3 * len(class_names)) % len(class_names)
    return draw_confusion(make_confusion_table(labels, np.roll(labels, 1), class_names), class_names)


def draw_scores(families: list[str], class_names: list[str]) -> str:
    rows = [(family, label, 0.5) for family in families for label in class_names]
    return draw_class_scores(pd.DataFrame(rows, columns=["family", "label", "f1"]), families, class_names)


def draw_splits(class_names: list[str]) -> str:
    rows = [(label, split, 10, i) for i, split in enumerate(("train", "val", "test")) for label in class_names]
    return draw_counts(pd.DataFrame(rows, columns=["label", "split", "images", "position"]), class_names)


def draw_roc(class_names: list[str]) -> str | None:
    table = make_roc_table(*make_guesses(len(class_names)), class_names)
    return draw_operating_curve(table, "false_positive_rate", "true_positive_rate")


def draw_pr(class_names: list[str]) -> str | None:
    return draw_operating_curve(make_pr_table(*make_guesses(len(class_names)), class_names), "recall", "precision")


def make_guesses(num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    labels, rng = np.arange(4 * num_classes) % num_classes, np.random.default_rng(0)
    return labels, rng.dirichlet(np.ones(num_classes), len(labels))


def draw_stages(class_names: list[str]) -> str:
    rows = [(label, stage, 10) for stage in ("found", "kept") for label in class_names]
    return draw_found(pd.DataFrame(rows, columns=["label", "stage", "images"]))


def draw_brightness(class_names: list[str]) -> str:
    rows = [(label, kind, 10, 60, 90, 120, 240) for label in class_names for kind in ("brightness", "contrast")]
    return draw_light(pd.DataFrame(rows, columns=["label", "kind", "p5", "p25", "p50", "p75", "p95"]), class_names)


def draw_values(values: list[str]) -> str:
    """Effects of one parameter with these values."""
    return draw_effects(
        pd.DataFrame({"parameter": "optimizer", "value": values, "family": "one", "mean": 0.5, "low": 0.4, "high": 0.6})
    )


def draw_lines(values: list[str]) -> str:
    """Parallel coordinates of runs with these values of a parameter."""
    runs = pd.DataFrame({"family": "one", "optimizer": values, "val_accuracy": np.linspace(0.5, 0.9, len(values))})
    return draw_parallel(runs, ["optimizer"])


def draw_boxes(families: list[str]) -> str:
    folds = pd.DataFrame([(family, fold / 10, 1.0) for family in families for fold in (5, 6, 7)])
    return draw_fold_boxes(folds.set_axis(["family", "accuracy", "loss"], axis=1).assign(setting="all"), "accuracy")


CHARTS: dict[str, Callable[[list[str]], str]] = {
    "comparison": draw_families,
    "accuracy curves": lambda names: draw_curves(make_curves(names), "accuracy", names),
    "loss curves": lambda names: draw_curves(make_curves(names), "loss", names),
    "confusion": draw_matrix,
    "class scores, families": lambda names: draw_scores(names, ["cat", "dog"]),
    "class scores, classes": lambda names: draw_scores(["underfit"], names),
    "counts": draw_splits,
    "ROC": draw_roc,
    "precision and recall": draw_pr,
    "found": draw_stages,
    "light": draw_brightness,
    "tradeoff": lambda names: draw_tradeoff(make_costs(names)),
    "importance": lambda names: draw_importance(pd.DataFrame({"parameter": names, "share": 1 / len(names)})),
    "slices, choices": lambda names: draw_slices(make_trials(optimizer=names).assign(accuracy=0.5), {}),
    "slices, parameters": lambda names: draw_slices(make_trials(**{name: [1, 2, 3] for name in names}), {}),
    "effects": draw_values,
    "parallel coordinates": draw_lines,
    "curves of runs": lambda names: draw_curves_of_runs(make_curves(names).rename(columns={"family": "run"}), "loss"),
    "fold boxes": draw_boxes,
}
EVERY_CHART = pytest.mark.parametrize("draw", CHARTS.values(), ids=CHARTS.keys())


@cache
def draw_odd(draw: Callable[[list[str]], str]) -> str:
    return draw(ODD)


@EVERY_CHART
@pytest.mark.parametrize("count", [2, 10])
def test_up_to_ten_names_are_all_written(draw, count):
    names = make_names(count, "kind")
    written = read_texts(draw(names))
    assert all(name in written for name in names)


@pytest.mark.parametrize(
    "chart",
    [
        *("comparison", "accuracy curves", "loss curves", "class scores, families", "tradeoff"),
        *("importance", "slices, choices", "slices, parameters"),
        *("effects", "parallel coordinates", "curves of runs", "fold boxes"),
    ],
)
def test_a_single_name_can_be_drawn(chart):
    assert "only" in read_texts(CHARTS[chart](["only"]))


@pytest.mark.parametrize(
    "chart", ["confusion", "counts", "class scores, classes", "ROC", "precision and recall", "found", "light"]
)
def test_a_hundred_classes_can_be_drawn(chart):
    assert read_texts(CHARTS[chart](make_names(100, "class")))


@EVERY_CHART
def test_any_name_is_only_text(draw):
    svg = draw_odd(draw)
    written = read_texts(svg)
    assert "<script" not in svg
    assert all(name in written for name in ("null", "1"))


@pytest.mark.parametrize("chart", sorted(CHARTS.keys() - {"slices, parameters"}))  # its names are ours
def test_no_name_ends_the_renderer(chart):
    """It ends the whole process at a character that XML does not have."""
    written = read_texts(CHARTS[chart](UNSEEN))
    assert all(name in written for name in ("bell\\x07", "turned\\u202e", "no character\\ufffe"))


@EVERY_CHART
def test_nothing_is_loaded_from_elsewhere_and_no_names_clash(draw):
    """Charts on one page share the names of their elements."""
    for element in ElementTree.fromstring(draw_odd(draw)).iter():
        assert element.tag.removeprefix(SVG) not in {"script", "image", "a", "use", "foreignObject", "style"}
        assert not [name for name in element.attrib if name.rpartition("}")[2] in {"href", "src", "id"}]


@EVERY_CHART
def test_the_same_table_gives_the_same_bytes(draw):
    assert draw(ODD) == draw_odd(draw)
