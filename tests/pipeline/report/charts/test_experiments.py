import pandas as pd
import pytest

from pipeline.report.charts.experiments import draw_curves_of_runs, draw_effects, draw_parallel
from tests.pipeline.report.charts.svg import count_lines, find_dots, read_texts
from tests.pipeline.report.charts.tables import make_curves


def make_runs(*accuracy: float) -> pd.DataFrame:
    """One run per accuracy, each with another dropout."""
    dropout = [str(number / 10) for number in range(1, len(accuracy) + 1)]
    return pd.DataFrame({"family": "one", "train.dropout": dropout, "val_accuracy": accuracy})


def test_every_value_of_a_family_is_a_dot_in_the_order_of_numbers():
    rows = [("rate", value, family, 0.5, 0.4, 0.6) for value in ("10", "9", "none") for family in ("one", "other")]
    svg = draw_effects(pd.DataFrame(rows, columns=["parameter", "value", "family", "mean", "low", "high"]))
    assert len(find_dots(svg)) == 6 + 2  # the legend has one per family
    written = read_texts(svg).split("\n")
    assert written.index("9") < written.index("10") < written.index("none")
    assert "validation accuracy" in written


def test_every_run_is_a_line_to_its_accuracy():
    svg = draw_parallel(make_runs(0.5, 0.7, 0.9), ["train.dropout"])
    assert count_lines(svg) == 3
    written = set(read_texts(svg).split("\n"))
    assert {"train.dropout", "val_accuracy", "0.1", "0.2", "0.3", "50.0 %", "70.0 %", "90.0 %"} <= written


@pytest.mark.parametrize("accuracy", [(0.5,), (0.5, 0.5)], ids=["one run", "equal runs"])
def test_runs_without_a_difference_can_be_drawn(accuracy):
    assert count_lines(draw_parallel(make_runs(*accuracy), ["train.dropout"])) == len(accuracy)


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_every_run_has_a_curve_in_validation(metric):
    svg = draw_curves_of_runs(make_curves(["one", "other"]).rename(columns={"family": "run"}), metric)
    assert count_lines(svg) == 2
    assert {"one", "other", "epoch", metric} <= set(read_texts(svg).split("\n"))
