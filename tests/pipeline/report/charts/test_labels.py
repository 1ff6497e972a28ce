from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.charts.labels import LINE, Box, overlap, place_in_margin, place_near

WIDTH, HEIGHT = 560, 300
POINTS = st.lists(st.tuples(st.floats(20, 540), st.floats(20, 280), st.integers(1, 30)), min_size=2, max_size=12)


def place(*points: tuple[float, float], length: int = 8) -> list[Box] | None:
    x, y = np.array(points, float).T
    return place_near(["n" * length] * len(points), x, y, width=WIDTH, height=HEIGHT)


class TestNear:
    def test_a_label_is_above_its_point(self):
        [box] = place((200, 100))
        assert box.middle[0] == 200
        assert box.bottom < 100

    def test_at_the_top_it_is_below(self):
        [box] = place((200, 2))
        assert box.top > 2

    def test_at_a_corner_it_is_at_the_side(self):
        [low] = place((3, 150))
        assert low.left > 3
        [high] = place((557, 150))
        assert high.right < 557

    def test_two_points_at_one_place_have_their_labels_on_two_sides(self):
        one, other = place((200, 100), (200, 100))
        assert one.bottom < 100 < other.top

    def test_where_there_is_no_room_there_is_none(self):
        assert place(*[(200, 100)] * 5) is None
        assert place((200, 100), length=90) is None

    @given(POINTS)
    def test_no_label_covers_another_or_a_point_or_leaves_the_chart(self, points):
        x, y, lengths = (np.array(column) for column in zip(*points, strict=True))
        boxes = place_near(["n" * n for n in lengths], x.astype(float), y.astype(float), width=WIDTH, height=HEIGHT)
        if boxes is not None:
            assert not any(overlap(one, other) for one, other in combinations(boxes, 2))
            for box in boxes:
                assert box.left >= 0
                assert box.right <= WIDTH
                assert not any(box.left < a < box.right and box.top < b < box.bottom for a, b, _ in points)


class TestMargin:
    def test_labels_with_room_are_at_the_height_of_their_points(self):
        assert place_in_margin(np.array([200.0, 40, 100]), height=HEIGHT).tolist() == [200, 40, 100]

    def test_labels_too_close_are_a_line_apart(self):
        assert place_in_margin(np.array([100.0, 101, 100]), height=HEIGHT).tolist() == [100, 130, 115]

    @given(st.lists(st.floats(0, HEIGHT), min_size=1, max_size=20))
    def test_all_are_in_the_chart_a_line_apart_and_in_the_order_of_their_points(self, heights):
        y = np.array(heights)
        placed = place_in_margin(y, height=HEIGHT)
        order = np.argsort(y, kind="stable")
        assert (np.diff(placed[order]) >= LINE - 1e-9).all()
        assert placed.min() >= LINE / 2 - 1e-9
        assert placed.max() <= HEIGHT - LINE / 2 + 1e-9

    def test_more_than_fit_are_refused(self):
        with pytest.raises(ValueError, match="expected a height of 315 pixels"):
            place_in_margin(np.zeros(21), height=HEIGHT)
