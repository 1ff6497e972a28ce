from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.metrics import make_confusion_table
from pipeline.evaluation.roc_pr import make_pr_table, make_roc_table
from pipeline.report.charts import (
    draw_architecture,
    draw_class_scores,
    draw_comparison,
    draw_confusion,
    draw_counts,
    draw_curves,
    draw_found,
    draw_history,
    draw_importance,
    draw_light,
    draw_operating_curve,
    draw_reliability,
    draw_shapes,
    draw_slices,
    draw_tradeoff,
)

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
    intervals = pd.DataFrame({"family": families, "test_accuracy": 0.5})
    intervals = intervals.assign(test_accuracy_low=0.4, test_accuracy_high=0.6)
    return draw_comparison(pd.DataFrame(rows, columns=["family", "split", "accuracy"]), intervals, families)


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


def operating_curve(class_names: list[str], x: str = "false_positive_rate", y: str = "true_positive_rate") -> str:
    labels, rng = np.arange(4 * len(class_names)) % len(class_names), np.random.default_rng(0)
    make = make_roc_table if x == "false_positive_rate" else make_pr_table
    return draw_operating_curve(make(labels, rng.dirichlet(np.ones(len(class_names)), len(labels)), class_names), x, y)


def found(class_names: list[str]) -> str:
    rows = [(label, stage, 10) for stage in ("found", "kept") for label in class_names]
    return draw_found(pd.DataFrame(rows, columns=["label", "stage", "images"]))


def light(class_names: list[str]) -> str:
    rows = [(label, kind, 10, 60, 90, 120, 240) for label in class_names for kind in ("brightness", "contrast")]
    return draw_light(pd.DataFrame(rows, columns=["label", "kind", "p5", "p25", "p50", "p75", "p95"]), class_names)


def make_costs(families: list[str]) -> pd.DataFrame:
    numbers = np.arange(1, len(families) + 1)
    return pd.DataFrame(
        {"family": families, "accuracy": 0.05 * numbers, "milliseconds": numbers**2, "on_front": numbers % 2 == 0}
    )


def make_trials(**values: list) -> pd.DataFrame:
    """As many as there are values of each parameter: every third was given up, every seventh failed."""
    count = len(next(iter(values.values())))
    states = ["failed" if n % 7 == 6 else "pruned" if n % 3 == 1 else "finished" for n in range(count)]
    accuracy = [None if state == "failed" else (n * 7 % 10) / 10 for n, state in enumerate(states)]
    scores = pd.Series(
        [a if state == "finished" else None for a, state in zip(accuracy, states, strict=True)], dtype=float
    )
    table = {"trial": range(1, count + 1), "state": states, "accuracy": accuracy, "best": scores.cummax().ffill()}
    return pd.DataFrame(table | values)


def importance(names: list[str]) -> str:
    return draw_importance(pd.DataFrame({"parameter": names, "share": 1 / len(names)}))


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
    "ROC": operating_curve,
    "precision and recall": lambda names: operating_curve(names, "recall", "precision"),
    "found": found,
    "light": light,
    "tradeoff": lambda names: draw_tradeoff(make_costs(names)),
    "importance": importance,
    "slices, choices": lambda names: draw_slices(make_trials(optimizer=names).assign(accuracy=0.5), {}),
    "slices, parameters": lambda names: draw_slices(make_trials(**{name: [1, 2, 3] for name in names}), {}),
}
EVERY_CHART = pytest.mark.parametrize("draw", CHARTS.values(), ids=CHARTS.keys())


@EVERY_CHART
@pytest.mark.parametrize("count", [2, 10])
def test_few_families_or_classes_are_all_named(draw, count):
    names = make_names(count, "kind")
    written = texts(draw(names))
    assert all(name in written for name in names)


@pytest.mark.parametrize(
    "chart",
    [
        *("comparison", "accuracy curves", "loss curves", "class scores, families", "tradeoff"),
        *("importance", "slices, choices", "slices, parameters"),
    ],
)
def test_one_family_can_be_drawn_alone(chart):
    assert "only" in texts(CHARTS[chart](["only"]))


@pytest.mark.parametrize(
    "chart", ["confusion", "counts", "class scores, classes", "ROC", "precision and recall", "found", "light"]
)
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


class TestOperatingCurves:
    def test_without_a_row_there_is_none(self):
        empty = make_roc_table(np.zeros(5, int), np.ones((5, 1)), ["only"])
        assert draw_operating_curve(empty, "false_positive_rate", "true_positive_rate") is None

    def test_a_class_without_images_has_no_line(self):
        labels, probabilities = np.arange(20) % 2, np.random.default_rng(0).dirichlet(np.ones(3), 20)
        table = make_roc_table(labels, probabilities, ["cat", "dog", "emu"])
        written = texts(draw_operating_curve(table, "false_positive_rate", "true_positive_rate"))
        assert "dog" in written
        assert "emu" not in written

    def test_of_many_classes_none_is_named(self):
        assert "class 3" in texts(operating_curve(make_names(10, "class")))
        assert "class 3" not in texts(operating_curve(make_names(11, "class")))

    @pytest.mark.parametrize(("count", "lines"), [(2, 3), (10, 11), (30, 31)])
    def test_there_is_a_line_a_class_and_one_for_their_mean(self, count, lines):
        root = ElementTree.fromstring(operating_curve(make_names(count, "class")))
        drawn = [group for group in root.iter(f"{SVG}g") if "mark-line" in group.get("class", "")]
        assert sum(len(group.findall(f"{SVG}path")) for group in drawn) == lines


def make_reliability(images: int = 50) -> pd.DataFrame:
    rows = [(c, c * shift, images, state) for state, shift in (("before", 0.7), ("after", 1)) for c in (0.3, 0.6, 0.9)]
    return pd.DataFrame(rows, columns=["confidence", "accuracy", "images", "state"])


class TestReliability:
    def test_both_states_are_named(self):
        written = texts(draw_reliability(make_reliability()))
        assert "before" in written
        assert "after" in written

    @pytest.mark.parametrize("rows", [[0, 3], [0]], ids=["one bin", "before alone"])
    def test_a_single_bin_can_be_drawn(self, rows):
        assert texts(draw_reliability(make_reliability(1).iloc[rows]))


def make_layers(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["layer", "kind", "rows", "columns", "channels", "parameters"])


CNN = make_layers(
    ("input", "InputLayer", 32, 32, 3, 0),
    ("scale", "Rescaling", 32, 32, 3, 0),
    ("a", "Conv2D", 32, 32, 16, 448),
    ("b", "MaxPooling2D", 16, 16, 16, 0),
    ("c", "Flatten", 1, 1, 4096, 0),
    ("d", "Dense", 1, 1, 5, 20_485),
)


class TestArchitecture:
    def test_sizes_and_kinds_are_written_each_size_once(self):
        written = texts(draw_architecture(CNN)).split("\n")
        assert [written.count(size) for size in ("32×32×3", "32×32×16", "16×16×16", "4096", "5")] == [1] * 5
        assert {"input", "convolution", "pooling", "dense", "other"} <= set(written)
        assert "backbone" not in written

    def test_two_layers_are_enough(self):
        layers = make_layers(("input", "InputLayer", 8, 8, 3, 0), ("dense", "Dense", 1, 1, 2, 386))
        assert "8×8×3" in texts(draw_architecture(layers))

    def test_a_hundred_layers_can_be_drawn(self):
        layers = pd.concat([CNN.head(3)] * 33, ignore_index=True)
        assert float(ElementTree.fromstring(draw_architecture(layers)).attrib["width"]) < 1000

    def test_a_name_with_a_tag_in_it_is_not_drawn(self):
        odd = CNN.assign(layer=ODD[0], kind=ODD[0])
        assert "alert" not in draw_architecture(odd)
        assert "other" in texts(draw_architecture(odd))


class TestTradeoff:
    @pytest.mark.parametrize("on_front", [True, False])
    def test_all_may_be_on_the_front_or_none(self, on_front):
        written = texts(draw_tradeoff(make_costs(["cat", "dog"]).assign(on_front=on_front)))
        assert "cat" in written
        assert "dog" in written

    @pytest.mark.parametrize("accuracy", [0.0, 0.5, 1.0])
    def test_equal_ones_can_be_drawn(self, accuracy):
        table = make_costs(["cat", "dog"]).assign(accuracy=accuracy, milliseconds=3.0)
        assert "dog" in texts(draw_tradeoff(table))

    def test_a_thousandfold_in_time_can_be_drawn(self):
        table = make_costs(["cat", "dog"]).assign(milliseconds=[0.01, 1e4])
        assert "dog" in texts(draw_tradeoff(table))


class TestShapes:
    def test_both_kinds_are_named(self):
        rows = [(kind, low, 2 * low, 5) for kind in ("longer side, pixels", "width / height") for low in (1, 2, 4)]
        written = texts(draw_shapes(pd.DataFrame(rows, columns=["kind", "low", "high", "images"])))
        assert "longer side, pixels" in written
        assert "width / height" in written


def test_what_was_found_but_not_kept_is_drawn_too():
    rows = [("cat", "found", 10), ("cat", "kept", 8), ("dropped", "found", 3), ("merged", "kept", 5)]
    written = texts(draw_found(pd.DataFrame(rows, columns=["label", "stage", "images"])))
    assert all(label in written for label in ("cat", "dropped", "merged"))


def test_light_has_a_column_a_kind():
    written = texts(light(["cat", "dog"]))
    assert "brightness" in written
    assert "contrast" in written


def test_the_interval_of_the_test_accuracy_is_drawn():
    table = pd.DataFrame({"family": ["one"] * 3, "split": ["train", "val", "test"], "accuracy": 0.5})
    sure = pd.DataFrame({"family": ["one"], "test_accuracy": 0.5, "test_accuracy_low": 0.5, "test_accuracy_high": 0.5})
    wide = sure.assign(test_accuracy_low=0.1, test_accuracy_high=0.9)
    assert draw_comparison(table, sure, ["one"]) != draw_comparison(table, wide, ["one"])


def find_dots(svg: str) -> list[bool]:
    """Whether each dot is filled."""
    groups = [group for group in ElementTree.fromstring(svg).iter(f"{SVG}g") if "mark-symbol" in group.get("class", "")]
    return [
        path.get("fill") not in (None, "transparent", "none") for group in groups for path in group.iter(f"{SVG}path")
    ]


@pytest.mark.parametrize("epochs", [2, 3, 4, 8])
def test_every_epoch_has_its_number_once(epochs):
    written = texts(draw_curves(make_curves(["cat"], epochs), "loss", ["cat"])).split("\n")
    assert [int(text) for text in written if text.isdigit()][:epochs] == list(range(1, epochs + 1))


class TestTrials:
    TABLE = make_trials(
        rate=[0.001, 0.01, 0.1, 0.005, 0.002, 0.05, 0.02], optimizer=["adam", "sgd", "null", "10", "9", "adam", "sgd"]
    )

    def test_a_trial_that_finished_is_a_filled_dot_one_that_was_given_up_a_hollow_one_and_one_that_failed_none(self):
        expected = [True, False, True, True, False, True]
        assert find_dots(draw_history(self.TABLE)) == expected
        slices = find_dots(draw_slices(self.TABLE, {"rate": True}))
        assert slices == expected * 2

    @pytest.mark.parametrize("count", [2, 3, 5, 20])
    def test_every_trial_has_its_number_once(self, count):
        table = pd.concat([self.TABLE] * count)[:count].assign(trial=range(1, count + 1))
        written = [int(text) for text in texts(draw_history(table)).split("\n") if text.isdigit()]
        assert written == list(range(1, count + 1))

    def test_axes_are_named(self):
        assert {"trial", "validation accuracy"} <= set(texts(draw_history(self.TABLE)).split("\n"))
        assert {"rate", "optimizer", "validation accuracy"} <= set(
            texts(draw_slices(self.TABLE, {"rate": True})).split("\n")
        )

    def test_choices_that_are_numbers_stand_in_their_order_before_words(self):
        written = texts(draw_slices(self.TABLE, {"rate": True})).split("\n")
        assert [text for text in written if text in ("9", "10", "adam", "null", "sgd")] == [
            "9",
            "10",
            "adam",
            "null",
            "sgd",
        ]

    def test_a_logarithmic_axis_gives_small_numbers_as_much_room(self):
        linear, logarithmic = (
            draw_slices(self.TABLE[["trial", "state", "accuracy", "best", "rate"]], {"rate": log})
            for log in (False, True)
        )
        assert linear != logarithmic
        assert "0.001" in texts(logarithmic)

    @pytest.mark.parametrize("count", [1, 2])
    def test_few_can_be_drawn(self, count):
        few = self.TABLE.head(count)
        assert len(find_dots(draw_history(few))) == count
        assert len(find_dots(draw_slices(few, {"rate": True}))) == 2 * count

    def test_equal_scores_can_be_drawn(self):
        assert find_dots(draw_history(self.TABLE.assign(accuracy=1.0, best=1.0, state="finished"))) == [True] * 7

    def test_the_best_so_far_begins_where_there_is_one(self):
        table = self.TABLE.assign(best=[None, None, 0.4, 0.4, 0.4, 0.5, 0.5])
        assert texts(draw_history(table))

    def test_a_thousand_can_be_drawn(self):
        table = make_trials(rate=[0.001 * (n + 1) for n in range(1000)])
        assert len(find_dots(draw_slices(table, {"rate": True}))) > 800

    def test_shares_are_written(self):
        written = texts(
            draw_importance(pd.DataFrame({"parameter": ["learning_rate", "dropout"], "share": [0.75, 0.25]}))
        )
        assert {"learning_rate", "75%", "25%"} <= set(written.split("\n"))
        assert written.index("learning_rate") < written.index("dropout")
