from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.roc_pr import make_roc_table
from pipeline.report.charts.architecture import draw_architecture
from pipeline.report.charts.models import draw_comparison, draw_curves, draw_operating_curve
from tests.pipeline.report.charts.svg import count_lines, read_texts
from tests.pipeline.report.charts.tables import make_curves, make_names


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_a_family_with_one_epoch_is_a_dot(metric):
    assert "only" in read_texts(
        draw_curves(make_curves(["only"], epochs=1), metric, ["only"])
    )  # no line, but not nothing


def test_the_interval_of_the_test_accuracy_is_drawn():
    table = pd.DataFrame({"family": ["one"] * 3, "split": ["train", "val", "test"], "accuracy": 0.5})
    narrow = pd.DataFrame({"family": ["one"], "test_accuracy": 0.5})
    narrow = narrow.assign(test_accuracy_low=0.5, test_accuracy_high=0.5)
    wide = narrow.assign(test_accuracy_low=0.1, test_accuracy_high=0.9)
    assert draw_comparison(table, narrow, ["one"]) != draw_comparison(table, wide, ["one"])


class TestOperatingCurves:
    def draw(self, labels: np.ndarray, class_names: list[str]) -> str | None:
        probabilities = np.random.default_rng(0).dirichlet(np.ones(len(class_names)), len(labels))
        table = make_roc_table(labels, probabilities, class_names)
        return draw_operating_curve(table, "false_positive_rate", "true_positive_rate")

    def test_an_empty_table_is_not_drawn(self):
        assert self.draw(np.zeros(5, int), ["only"]) is None

    def test_a_class_without_images_has_no_line(self):
        written = read_texts(self.draw(np.arange(20) % 2, ["cat", "dog", "emu"]))
        assert "dog" in written
        assert "emu" not in written

    @pytest.mark.parametrize(("count", "named"), [(2, True), (10, True), (11, False), (30, False)])
    def test_every_class_has_a_line_and_so_has_their_mean_but_of_many_none_is_named(self, count, named):
        svg = self.draw(np.arange(4 * count) % count, make_names(count, "class"))
        assert count_lines(svg) == count + 1
        assert ("class 1" in read_texts(svg)) == named


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
    def test_kinds_are_written_and_each_size_once(self):
        written = read_texts(draw_architecture(CNN)).split("\n")
        assert [written.count(size) for size in ("32×32×3", "32×32×16", "16×16×16", "4096", "5")] == [1] * 5
        assert {"input", "convolution", "pooling", "dense", "other"} <= set(written)
        assert "backbone" not in written

    def test_two_layers_are_enough(self):
        layers = make_layers(("input", "InputLayer", 8, 8, 3, 0), ("dense", "Dense", 1, 1, 2, 386))
        assert "8×8×3" in read_texts(draw_architecture(layers))

    def test_a_hundred_layers_can_be_drawn(self):
        layers = pd.concat([CNN.head(3)] * 33, ignore_index=True)
        assert float(ElementTree.fromstring(draw_architecture(layers)).attrib["width"]) < 1000

    def test_names_of_layers_are_not_drawn(self):
        odd = CNN.assign(layer="<script>alert(1)</script>", kind="<script>alert(1)</script>")
        assert "alert" not in draw_architecture(odd)
        assert "other" in read_texts(draw_architecture(odd))
