import pandas as pd
import pytest

from pipeline.report.charts.reliability import FEW, draw_reliability
from tests.pipeline.report.charts.svg import count_lines, find_dots, read_texts

BINS = (0.2, 0.4, 0.6, 0.8)


def make(*images: int) -> pd.DataFrame:
    """Both states, with so many images in each bin, the lowest first."""
    rows = [
        (state, low, low + 0.2, low + 0.1, low, count)
        for state in ("before", "after")
        for low, count in zip(BINS, images, strict=False)
    ]
    return pd.DataFrame(rows, columns=["state", "low", "high", "confidence", "accuracy", "images"])


def read(table: pd.DataFrame) -> list[str]:
    return read_texts(draw_reliability(table)).split("\n")


def test_both_states_and_axes_are_named():
    assert {"before", "after", "accuracy", "confidence; images in each bin"} <= set(read(make(50, 60, 70)))


def test_how_many_images_are_in_each_bin_is_written_for_both_states():
    written = read(make(2, 513, 70))
    assert [written.count(count) for count in ("2", "513", "70")] == [2, 2, 2]


def test_a_long_count_is_rounded():
    assert "12k" in read(make(12_345))


def test_a_bin_of_few_images_is_hollow_and_no_line_goes_through_it():
    svg = draw_reliability(make(FEW, FEW - 1, 50, 2))
    assert sorted(find_dots(svg)) == [False] * 4 + [True] * 4 + [True] * 2  # and two in the legend
    assert count_lines(svg) == 3  # the diagonal, before, after


def test_where_all_bins_have_few_there_is_no_line_but_the_diagonal():
    assert count_lines(draw_reliability(make(1, 2, 3))) == 1


@pytest.mark.parametrize("rows", [[0, 1], [0]], ids=["one bin", "before alone"])
def test_a_single_bin_can_be_drawn(rows):
    assert read(make(1).iloc[rows])
