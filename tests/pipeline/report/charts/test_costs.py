import pytest

from pipeline.report.charts.costs import draw_tradeoff
from tests.pipeline.report.charts.svg import read_texts
from tests.pipeline.report.charts.tables import make_costs


@pytest.mark.parametrize("on_front", [True, False])
def test_all_families_may_be_on_the_front_or_none(on_front):
    written = read_texts(draw_tradeoff(make_costs(["cat", "dog"]).assign(on_front=on_front)))
    assert "cat" in written
    assert "dog" in written


@pytest.mark.parametrize("accuracy", [0.0, 0.5, 1.0])
def test_equal_families_can_be_drawn(accuracy):
    table = make_costs(["cat", "dog"]).assign(accuracy=accuracy, milliseconds=3.0)
    assert "dog" in read_texts(draw_tradeoff(table))


def test_times_may_differ_by_a_factor_of_a_million():
    table = make_costs(["cat", "dog"]).assign(milliseconds=[0.01, 1e4])
    assert "dog" in read_texts(draw_tradeoff(table))
