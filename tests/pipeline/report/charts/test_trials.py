import pandas as pd
import pytest

from pipeline.report.charts.trials import draw_each_curve, draw_history, draw_importance, draw_slices, draw_trial_curves
from tests.pipeline.report.charts.svg import count_lines, find_dots, read_texts
from tests.pipeline.report.charts.tables import make_trials

TABLE = make_trials(
    rate=[0.001, 0.01, 0.1, 0.005, 0.002, 0.05, 0.02], optimizer=["adam", "sgd", "null", "10", "9", "adam", "sgd"]
)


def test_a_completed_trial_is_a_filled_dot_a_pruned_one_hollow_and_a_failed_one_none():
    expected = [True, False, True, True, False, True]
    assert find_dots(draw_history(TABLE)) == expected
    assert find_dots(draw_slices(TABLE, {"rate": True})) == expected * 2


@pytest.mark.parametrize("count", [2, 3, 5, 20])
def test_every_trial_is_labelled_once(count):
    table = pd.concat([TABLE] * count)[:count].assign(trial=range(1, count + 1))
    written = [int(text) for text in read_texts(draw_history(table)).split("\n") if text.isdigit()]
    assert written == list(range(1, count + 1))


def test_axes_are_named():
    assert {"trial", "validation accuracy"} <= set(read_texts(draw_history(TABLE)).split("\n"))
    slices = read_texts(draw_slices(TABLE, {"rate": True})).split("\n")
    assert {"rate", "optimizer", "validation accuracy"} <= set(slices)


def test_choices_that_are_numbers_are_in_their_order_before_words():
    written = read_texts(draw_slices(TABLE, {"rate": True})).split("\n")
    choices = ["9", "10", "adam", "null", "sgd"]
    assert [text for text in written if text in choices] == choices


def test_a_logarithmic_axis_gives_small_numbers_as_much_room():
    table = TABLE[["trial", "state", "accuracy", "best", "rate"]]
    linear, logarithmic = (draw_slices(table, {"rate": is_log}) for is_log in (False, True))
    assert linear != logarithmic
    assert "0.001" in read_texts(logarithmic)


@pytest.mark.parametrize("count", [1, 2])
def test_few_trials_can_be_drawn(count):
    few = TABLE.head(count)
    assert len(find_dots(draw_history(few))) == count
    assert len(find_dots(draw_slices(few, {"rate": True}))) == 2 * count


def test_equal_scores_can_be_drawn():
    assert find_dots(draw_history(TABLE.assign(accuracy=1.0, best=1.0, state="finished"))) == [True] * 7


def test_a_search_that_begins_without_a_score_can_be_drawn():
    assert read_texts(draw_history(TABLE.assign(best=[None, None, 0.4, 0.4, 0.4, 0.5, 0.5])))


def test_a_thousand_trials_can_be_drawn():
    table = make_trials(rate=[0.001 * (n + 1) for n in range(1000)])
    assert len(find_dots(draw_slices(table, {"rate": True}))) > 800


def make_steps(*lengths: int) -> pd.DataFrame:
    """Curves of trials that ran for so many epochs; the second was pruned."""
    rows = [
        (trial, "pruned" if trial == 2 else "finished", step, 0.1 * trial + step / 100)
        for trial, length in enumerate(lengths, 1)
        for step in range(1, length + 1)
    ]
    return pd.DataFrame(rows, columns=["trial", "state", "step", "accuracy"])


class TestCurves:
    def test_every_trial_is_a_line(self):
        assert count_lines(draw_trial_curves(make_steps(5, 2, 4), 3, "epoch")) == 3

    def test_each_has_a_chart_of_its_own_with_its_number(self):
        svg = draw_each_curve(make_steps(5, 2, 4), 3, "epoch")
        assert count_lines(svg) == 3
        assert {"1", "2", "3"} <= set(read_texts(svg).split("\n"))

    def test_the_best_is_in_another_colour(self):
        one, other = (draw_trial_curves(make_steps(5, 2, 4), best, "epoch") for best in (1, 3))
        assert one != other

    @pytest.mark.parametrize("step", ["epoch", "folds"])
    def test_the_axis_says_what_a_step_is(self, step):
        assert step in read_texts(draw_trial_curves(make_steps(3), 1, step)).split("\n")

    def test_a_trial_of_one_step_is_a_dot(self):
        assert len(find_dots(draw_trial_curves(make_steps(3, 1), 1, "epoch"))) == 4


def test_shares_are_written():
    table = pd.DataFrame({"parameter": ["learning_rate", "dropout"], "share": [0.75, 0.25]})
    written = read_texts(draw_importance(table)).split("\n")
    assert {"learning_rate", "75%", "25%"} <= set(written)
    assert written.index("learning_rate") < written.index("dropout")
