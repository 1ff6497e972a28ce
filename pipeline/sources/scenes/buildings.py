"""The buildings scenes, and facades for streets."""

import numpy as np

from pipeline.sources.scenes.canvas import Canvas, Colour, mix
from pipeline.sources.scenes.plants import leaf_colours, tree
from pipeline.sources.scenes.surfaces import below_line, paint_ground, paint_sky, pick

WALLS = (
    (188, 172, 148), (154, 92, 70), (206, 200, 190), (120, 124, 130), (170, 130, 96), (96, 104, 116), (222, 210, 176),
    (140, 150, 160), (196, 140, 110), (90, 84, 80),
)  # fmt: skip
ROOFS = ((140, 70, 50), (84, 80, 82), (110, 92, 78), (70, 76, 88), (160, 100, 70))
PAVINGS = ((96, 96, 98), (120, 116, 110), (78, 80, 86), (140, 132, 120), (66, 64, 64))
LAWNS = ((92, 122, 58), (134, 138, 72), (150, 120, 66), (226, 230, 236), (120, 116, 110))
LAMP = np.array((255, 214, 140), np.float32)
Corner = tuple[float, float]
Quad = tuple[Corner, Corner, Corner, Corner]


def at(quad: Quad, across: float, down: float) -> Corner:
    """Point of a quad (corners: upper left, upper right, lower right, lower left) at 0..1 across and down."""
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = quad
    left, right = (1 - across) * (1 - down), across * (1 - down)
    low_right, low_left = across * down, (1 - across) * down
    return (
        ax * left + bx * right + cx * low_right + dx * low_left,
        ay * left + by * right + cy * low_right + dy * low_left,
    )


def panes(quad: Quad, rows: int, columns: int, wide: float, tall: float) -> np.ndarray:
    """Corners (rows * columns, 4, 2) of a grid of windows that fill the shares `wide` and `tall` of their cells."""
    left = (np.arange(columns) + (1 - wide) / 2) / columns
    top = (np.arange(rows) + (1 - tall) / 2) / rows
    across = left[None, :, None] + np.array([0, 1, 1, 0]) * wide / columns
    down = top[:, None, None] + np.array([0, 0, 1, 1]) * tall / rows
    weights = np.stack([(1 - across) * (1 - down), across * (1 - down), across * down, (1 - across) * down], axis=-1)
    corners = np.array(quad)
    # Not a matrix product, whose order of additions depends on the BLAS library.
    return sum(weights[..., corner, None] * corners[corner] for corner in range(4)).reshape(-1, 4, 2)


def facade(canvas: Canvas, quad: Quad, wall: Colour, rows: int, columns: int, shade: float) -> None:
    """Wall with a grid of windows, some of them lit at night."""
    rng, light = canvas.rng, canvas.light
    canvas.polygon(quad, light.lit(wall, shade))
    pane = mix(light.lit((60, 72, 86), shade), light.sky_low * 0.8, rng.uniform(0, 0.6))
    if rng.random() < 0.15:
        pane = light.lit(wall * 1.3, shade)
    wide, tall = rng.uniform(0.35, 0.85), rng.uniform(0.4, 0.8)
    tone, chance = rng.random((2, rows * columns, 1))
    colours = np.where(chance < (0.45 if light.night else 0.04), LAMP * (0.6 + 0.4 * tone), pane * (0.75 + 0.5 * tone))
    outlines = (panes(quad, rows, columns, wide, tall) * canvas.size).reshape(-1, 8).tolist()
    for outline, colour in zip(outlines, np.clip(colours, 0, 255).astype(int).tolist(), strict=True):
        canvas.pen.polygon(outline, fill=tuple(colour))


def ledges(canvas: Canvas, quad: Quad, wall: Colour, rows: int, shade: float) -> None:
    """Cornice and floor lines."""
    for row in range(0, rows, 1 if canvas.rng.random() < 0.3 else rows):
        down = row / rows
        canvas.line([at(quad, 0, down), at(quad, 1, down)], canvas.light.lit(wall * 0.75, shade), 0.008)


def block(canvas: Canvas, left: float, right: float, top: float, foot: float, far: float) -> None:
    """Upright house front of a skyline, with a side in shadow and a roof."""
    rng = canvas.rng
    wall = mix(pick(rng, WALLS), canvas.light.haze, far * canvas.light.haze_density * 0.7)
    turn, sink = rng.uniform(0.6, 0.95), rng.uniform(-0.02, 0.05) * (1 - far)
    edge = left + (right - left) * turn
    front: Quad = ((left, top), (edge, top), (edge, foot), (left, foot))
    side: Quad = ((edge, top), (right, top + sink), (right, foot), (edge, foot))
    rows, columns = int(rng.integers(3, 14)), int(rng.integers(2, 7))
    facade(canvas, front, wall, rows, columns, 1.0)
    facade(canvas, side, wall, rows, 1 + columns // 3, 0.65)
    ledges(canvas, front, wall, rows, 1.0)
    if rng.random() < 0.35:
        peak = top - (right - left) * rng.uniform(0.15, 0.5)
        roof = canvas.light.lit(pick(rng, ROOFS))
        canvas.polygon([(left - 0.01, top), ((left + edge) / 2, peak), (edge + 0.01, top)], roof)
        canvas.polygon([((left + edge) / 2, peak), (edge, top), (right + 0.01, top + sink)], roof * 0.7)


def skyline(canvas: Canvas) -> None:
    """Rows of houses or towers against the sky."""
    rng = canvas.rng
    paint_sky(canvas, 0.9)
    foot = rng.uniform(0.8, 1.1)
    paint_ground(canvas, below_line(canvas, foot - 0.02), 0.6, pick(rng, PAVINGS + LAWNS), 0.1)
    for far in (1.0, 0.6, 0.0):
        cursor = -0.1
        while cursor < 1.05:
            wide = rng.uniform(0.1, 0.28) * (1.5 - far * 0.8)
            top = foot - rng.uniform(0.25, 0.75) * (0.65 + 0.35 * far)
            if far == 1.0 or rng.random() < 0.7:
                block(canvas, cursor, cursor + wide, top, foot + rng.uniform(0.0, 0.08), far)
            cursor += wide + rng.uniform(0, 0.12)


def front_view(canvas: Canvas) -> None:
    """One front, straight on or at an angle, filling most of the picture."""
    rng = canvas.rng
    paint_sky(canvas, 0.9)
    left, right = rng.uniform(-0.2, 0.2), rng.uniform(0.75, 1.2)
    top, foot = rng.uniform(-0.15, 0.3), rng.uniform(0.8, 1.1)
    paint_ground(canvas, below_line(canvas, foot - 0.03), 0.6, pick(rng, PAVINGS + LAWNS), 0.1)
    slope = rng.uniform(-0.25, 0.25)
    quad: Quad = ((left, top - slope), (right, top + slope), (right, foot - slope * 0.3), (left, foot + slope * 0.3))
    wall = pick(rng, WALLS)
    rows, columns = int(rng.integers(3, 9)), int(rng.integers(3, 9))
    facade(canvas, quad, wall, rows, columns, rng.uniform(0.75, 1.05))
    ledges(canvas, quad, wall, rows, 1.0)
    canvas.line([at(quad, -0.02, 0), at(quad, 1.02, 0)], canvas.light.lit(wall * 0.6), 0.025)
    for along in rng.uniform(0.1, 0.85, int(rng.integers(0, 3))):
        door: Quad = (at(quad, along, 0.8), at(quad, along + 0.1, 0.8), at(quad, along + 0.1, 1), at(quad, along, 1))
        canvas.polygon(door, canvas.light.lit(pick(rng, ROOFS), 0.6))


def tower_view(canvas: Canvas) -> None:
    """Looking up along towers: verticals converge."""
    rng = canvas.rng
    paint_sky(canvas, 1.2)
    meet = (rng.uniform(0.2, 0.8), rng.uniform(-1.2, -0.3))
    for _ in range(int(rng.integers(1, 4))):
        left = rng.uniform(-0.5, 0.8)
        right, turn, head = left + rng.uniform(0.35, 0.8), rng.uniform(0.3, 0.8), rng.uniform(0.3, 0.85)
        edge = left + (right - left) * turn
        heads = [(x + (meet[0] - x) * head, 1.1 + (meet[1] - 1.1) * head) for x in (left, edge, right)]
        wall, rows, columns = pick(rng, WALLS), int(rng.integers(6, 16)), int(rng.integers(3, 7))
        corner = (heads[1][0], heads[1][1] - 0.06)
        facade(canvas, (heads[0], corner, (edge, 1.15), (left, 1.1)), wall, rows, columns, 1.0)
        facade(canvas, (corner, heads[2], (right, 1.1), (edge, 1.15)), wall, rows, columns, 0.6)


def cottage(canvas: Canvas) -> None:
    """House with a pitched roof on a lawn or square, trees around."""
    rng, light = canvas.rng, canvas.light
    paint_sky(canvas, 0.8)
    foot = rng.uniform(0.72, 0.92)
    paint_ground(canvas, below_line(canvas, foot - 0.06), foot - 0.2, pick(rng, LAWNS), 0.12)
    leaves = leaf_colours(rng)
    for x in rng.uniform(0, 1, int(rng.integers(0, 4))):
        tree(canvas, x, foot, rng.uniform(0.3, 0.6), light.lit(leaves[0]))
    left, right, top = rng.uniform(0.02, 0.25), rng.uniform(0.72, 1.0), foot - rng.uniform(0.28, 0.5)
    edge = left + (right - left) * rng.uniform(0.35, 0.65)
    wall, roof = pick(rng, WALLS), light.lit(pick(rng, ROOFS))
    peak, gable = top - rng.uniform(0.12, 0.3), (left + edge) / 2
    flank: Quad = ((edge, top), (right, top + 0.02), (right, foot - 0.02), (edge, foot))
    facade(canvas, flank, wall, int(rng.integers(1, 4)), 4, 0.75)
    canvas.polygon([(left, foot), (left, top), (gable, peak), (edge, top), (edge, foot)], light.lit(wall))
    facade(canvas, ((left, top), (edge, top), (edge, foot), (left, foot)), wall, int(rng.integers(1, 4)), 2, 1.0)
    canvas.polygon([(gable, peak), (right - 0.04, peak + 0.02), (right + 0.03, top + 0.03), (edge, top + 0.01)], roof)
    canvas.line([(left - 0.03, top + 0.03), (gable, peak), (edge, top + 0.01)], roof * 0.7, 0.02)


def draw_buildings(canvas: Canvas) -> None:
    """Skyline, front, tower from below, or house."""
    kind = canvas.rng.choice(4, p=[0.38, 0.24, 0.18, 0.2])
    (skyline, front_view, tower_view, cottage)[kind](canvas)
    canvas.mottle(0.035)
