"""Where labels stand beside their points, so that none covers another or a point. Pure."""

from typing import NamedTuple

import numpy as np

LINE = 15.0  # pixels, height of a line of labels
_CHARACTER = 6.6  # pixels at a font size of 11, at the most
_POINT = 7.0  # pixels, half the side of a point
_NEAR = 15.0  # pixels from a point to the middle of a label above or below; to the beginning of one beside


class Box(NamedTuple):
    """Pixels from the upper left corner of the chart."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def middle(self) -> tuple[float, float]:
        """x, y."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


def place_near(names: list[str], x: np.ndarray, y: np.ndarray, *, width: float, height: float) -> list[Box] | None:
    """A label above, below, to the right or to the left of each point, within the chart; None if there is no room for all.

    x, y: of the points, float (n,), pixels from the upper left corner. width, height: of the chart."""
    points = list(zip(x.tolist(), y.tolist(), strict=True))
    taken = [Box(a - _POINT, b - _POINT, a + _POINT, b + _POINT) for a, b in points]
    for name, point in zip(names, points, strict=True):
        places = _list_places(max(len(name), 3) * _CHARACTER, *point)
        free = (box for box in places if _is_within(box, width, height) and not any(overlap(box, t) for t in taken))
        if (box := next(free, None)) is None:
            return None
        taken.append(box)
    return taken[len(points) :]


def _list_places(length: float, x: float, y: float) -> list[Box]:
    middles = [(x, y - _NEAR), (x, y + _NEAR), (x + _NEAR + length / 2, y), (x - _NEAR - length / 2, y)]
    return [Box(a - length / 2, b - LINE / 2, a + length / 2, b + LINE / 2) for a, b in middles]


def _is_within(box: Box, width: float, height: float) -> bool:
    return box.left >= 0 and box.right <= width and box.top >= 0 and box.bottom <= height


def overlap(one: Box, other: Box) -> bool:
    """Whether two boxes share more than an edge."""
    return one.left < other.right and other.left < one.right and one.top < other.bottom and other.top < one.bottom


def place_in_margin(y: np.ndarray, *, height: float) -> np.ndarray:
    """The middle of each label in a column beside the chart, float (n,), pixels from its top: in the order of the points, and
    as near to their height as lines allow. y: of the points, float (n,). Raises ValueError if n lines do not fit in height."""
    if len(y) * LINE > height:
        raise ValueError(f"expected a height of {len(y) * LINE:g} pixels or more, received {height:g}")
    order = np.argsort(y, kind="stable")
    steps = np.arange(len(y)) * LINE
    last = height - LINE / 2 - (len(y) - 1) * LINE
    placed = np.empty(len(y))
    # Each is a line or more below the one before it; what would be below the chart moves up with those before it.
    placed[order] = np.clip(np.maximum.accumulate(y[order] - steps), LINE / 2, last) + steps
    return placed
