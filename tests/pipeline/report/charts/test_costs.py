import re

import numpy as np
import pytest

from pipeline.report.charts.costs import draw_tradeoff
from tests.pipeline.report.charts.svg import read_texts
from tests.pipeline.report.charts.tables import make_costs, make_names


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


def test_names_of_points_at_one_place_are_beside_the_chart_with_a_line_to_each():
    """Near them, they would cover each other."""
    apart, close = (
        draw_tradeoff(
            make_costs(make_names(12, "family")).assign(accuracy=np.linspace(low, 0.9, 12), milliseconds=times)
        )
        for low, times in ((0.1, np.geomspace(1, 1000, 12)), (0.9, 5.0))
    )
    assert len(find_positions(close)) == 12
    assert len({x for x, _ in find_positions(close)}) == 1
    assert min(np.diff(sorted(y for _, y in find_positions(close)))) >= 14.9
    assert "mark-rule role-mark" in close
    assert len({x for x, _ in find_positions(apart)}) == 12
    assert "mark-rule role-mark" not in apart


def test_more_families_than_lines_make_the_chart_higher():
    names = make_names(40, "family")
    written = read_texts(draw_tradeoff(make_costs(names).assign(accuracy=0.9, milliseconds=5.0)))
    assert all(name in written for name in names)


def find_positions(svg: str) -> list[tuple[float, float]]:
    """Where the names of families are."""
    found = re.findall(r"translate\(([-\d.]+),([-\d.]+)\)[^>]*>family \d+<", svg)
    return [(float(x), float(y)) for x, y in found]
