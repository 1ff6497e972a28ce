import pandas as pd

from pipeline.report.charts.folds import draw_fold_boxes, draw_fold_curves, draw_folds
from tests.pipeline.report.charts.svg import count_lines, find_dots, read_texts
from tests.pipeline.report.charts.tables import make_curves

METRICS = pd.DataFrame({"fold": [1, 2, 3], "accuracy": [0.5, 0.6, 0.8], "loss": [1.0, 0.9, 0.7]})


def test_every_fold_is_a_dot_for_accuracy_and_one_for_loss():
    svg = draw_folds(METRICS)
    assert len(find_dots(svg)) == 6
    assert {"accuracy", "loss"} <= set(read_texts(svg).split("\n"))


def test_every_fold_is_a_line_in_validation_and_the_mean_one_in_each_split():
    curves = pd.concat([make_curves(["one"]).drop(columns="family").assign(fold=fold) for fold in (1, 2, 3)])
    mean = make_curves(["one"]).drop(columns="family")
    assert count_lines(draw_fold_curves(curves, mean, "accuracy")) == 3 + 2


def test_settings_are_named_without_train_so_that_they_fit():
    table = pd.concat([METRICS.assign(family="one", setting=f"train.dropout={d}, data.path=x") for d in (0.1, 0.2)])
    written = read_texts(draw_fold_boxes(table, "accuracy")).split("\n")
    assert {"one: dropout=0.1, data.path=x", "one: dropout=0.2, data.path=x"} <= set(written)
