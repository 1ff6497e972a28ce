import pandas as pd

from pipeline.report.charts.data import draw_counts, draw_found, draw_light, draw_shapes
from tests.pipeline.report.charts.svg import read_texts


def test_classes_are_in_the_order_given():
    rows = [(label, "train", 10, 0) for label in ("ant", "monkey", "zebra")]
    table = pd.DataFrame(rows, columns=["label", "split", "images", "position"])
    written = read_texts(draw_counts(table, ["zebra", "ant", "monkey"]))
    assert written.index("zebra") < written.index("ant") < written.index("monkey")


def test_what_was_found_but_not_kept_is_drawn_too():
    rows = [("cat", "found", 10), ("cat", "kept", 8), ("dropped", "found", 3), ("merged", "kept", 5)]
    written = read_texts(draw_found(pd.DataFrame(rows, columns=["label", "stage", "images"])))
    assert all(label in written for label in ("cat", "dropped", "merged"))


def test_light_has_a_column_for_brightness_and_one_for_contrast():
    rows = [("cat", kind, 10, 60, 90, 120, 240) for kind in ("brightness", "contrast")]
    table = pd.DataFrame(rows, columns=["label", "kind", "p5", "p25", "p50", "p75", "p95"])
    written = read_texts(draw_light(table, ["cat"]))
    assert "brightness" in written
    assert "contrast" in written


def test_both_histograms_of_shapes_are_named():
    kinds = ("longer side, pixels", "width / height")
    rows = [(kind, low, 2 * low, 5) for kind in kinds for low in (1, 2, 4)]
    written = read_texts(draw_shapes(pd.DataFrame(rows, columns=["kind", "low", "high", "images"])))
    assert all(kind in written for kind in kinds)
