"""Where labels stand beside their points, so that none covers another label, a point, or the line of another label. Pure."""

from typing import NamedTuple

import numpy as np

_CHARACTER, _LINE = (
    6.6,
    13.0,
)  # pixels of a label at a font size of 11: width of a character, at the most, and height of a line
_POINT = 7.0  # pixels, half the side of a point
_NEAR = 14.0  # pixels from a point to the middle of its label; from further away, a line leads there
_RINGS = np.arange(_NEAR, 700.0, 9.0)
_STEP = 2.0  # pixels between the dots by which a line is known
# Above comes first, then below, right and left, and what is between them.
_ANGLES = np.deg2rad([90, 270, 0, 180, 50, 130, 310, 230, 20, 160, 340, 200, 70, 110, 290, 250])


class Box(NamedTuple):
    """Pixels from the upper left corner of the chart."""

    left: float
    top: float
    right: float
    bottom: float


class Label(NamedTuple):
    """box: of the text. line: where a line from the point ends, at the edge of the box; None for a label beside its point.
    Pixels from the upper left corner of the chart."""

    box: Box
    line: tuple[float, float] | None

    @property
    def middle(self) -> tuple[float, float]:
        """Of the text."""
        return (self.box.left + self.box.right) / 2, (self.box.top + self.box.bottom) / 2


def place_labels(names: list[str], x: np.ndarray, y: np.ndarray, *, width: float, height: float) -> list[Label]:
    """The nearest free place for each name. x, y: of the points, float (n,), pixels from the upper left corner. width, height:
    of the chart, within which labels stay; in a chart without room, a label is above its point, whatever is there."""
    points = list(zip(x.tolist(), y.tolist(), strict=True))
    boxes = [Box(a - _POINT, b - _POINT, a + _POINT, b + _POINT) for a, b in points]
    dots = np.zeros((0, 2))  # of all lines so far
    labels: list[Label] = []
    for name, point in zip(names, points, strict=True):
        others = boxes[len(points) :]
        label = _find_place(max(len(name), 3) * _CHARACTER, point, boxes, others, dots, Box(0, 0, width, height))
        labels.append(label)
        boxes.append(label.box)
        if label.line:
            dots = np.concatenate([dots, draw_dots(point, label.line)])
    return labels


def _find_place(
    length: float, point: tuple[float, float], boxes: list[Box], others: list[Box], dots: np.ndarray, chart: Box
) -> Label:
    for distance in _RINGS:
        for angle in _ANGLES:
            label = _make_label(length, point, float(distance), float(angle))
            is_free = is_within(label.box, chart) and not any(overlap(label.box, box) for box in boxes)
            if is_free and not any_within(dots, label.box) and not _crosses(point, label, others):
                return label
    return _make_label(length, point, _NEAR, float(_ANGLES[0]))


def _make_label(length: float, point: tuple[float, float], distance: float, angle: float) -> Label:
    across, down = np.cos(angle), -np.sin(angle)
    # A label at the side begins there; one above or below is in the middle.
    shift = np.sign(across) * length / 2 if abs(across) > 0.3 else 0.0
    x, y = float(point[0] + across * distance + shift), float(point[1] + down * distance)
    box = Box(x - length / 2, y - _LINE / 2, x + length / 2, y + _LINE / 2)
    if distance == _NEAR:
        return Label(box, None)
    end = (min(max(point[0], box.left), box.right), min(max(point[1], box.top), box.bottom))
    return Label(box, end)


def _crosses(point: tuple[float, float], label: Label, others: list[Box]) -> bool:
    if label.line is None:
        return False
    dots = draw_dots(point, label.line)
    return any(any_within(dots, box) for box in others)


def draw_dots(start: tuple[float, float], end: tuple[float, float]) -> np.ndarray:
    """float (n, 2): dots on a line, two pixels from each other."""
    count = max(2, int(np.hypot(end[0] - start[0], end[1] - start[1]) / _STEP))
    return np.linspace(start, end, count)


def any_within(dots: np.ndarray, box: Box) -> bool:
    """Whether a dot is within a box, or at its edge. dots: float (n, 2)."""
    x, y = dots[:, 0], dots[:, 1]
    return bool(np.any((x >= box.left) & (x <= box.right) & (y >= box.top) & (y <= box.bottom)))


def is_within(box: Box, chart: Box) -> bool:
    """Whether a box is wholly in a chart."""
    return box.left >= chart.left and box.right <= chart.right and box.top >= chart.top and box.bottom <= chart.bottom


def overlap(one: Box, other: Box) -> bool:
    """Whether two boxes share more than an edge."""
    return one.left < other.right and other.left < one.right and one.top < other.bottom and other.top < one.bottom
