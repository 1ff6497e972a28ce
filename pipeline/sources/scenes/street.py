"""The street scenes."""

from itertools import pairwise

import numpy as np

from pipeline.sources.scenes.buildings import LAMP, PAVINGS, WALLS, Corner, Quad, facade
from pipeline.sources.scenes.canvas import Canvas, mix
from pipeline.sources.scenes.plants import leaf_colours, tree
from pipeline.sources.scenes.surfaces import below_line, paint_ground, paint_sky, pick

MARKING = (230, 226, 210)


def draw_street(canvas: Canvas) -> None:
    """Road between two rows of houses, with traffic, lamps, trees and wires."""
    rng, light = canvas.rng, canvas.light
    vanish = (rng.uniform(0.3, 0.7), rng.uniform(0.35, 0.65))
    paint_sky(canvas, vanish[1] + 0.05)
    half = rng.uniform(0.25, 0.8)
    paint_ground(canvas, below_line(canvas, vanish[1]), vanish[1], pick(rng, PAVINGS) * 1.25, 0.06)
    for side in (-1, 1):
        row_of_houses(canvas, vanish, side, half + rng.uniform(0.1, 0.4))
    road(canvas, vanish, half)
    for side in (-1, 1):
        roadside(canvas, vanish, side, half)
    for near in np.sort(rng.uniform(0.1, 0.8, int(rng.integers(1, 7)))):
        lane = rng.choice([-0.75, -0.3, 0.3, 0.75])
        car(canvas, vanish[0] + lane * half * near, vanish[1] + (1 - vanish[1]) * near, 0.16 * near)
    for near in np.sort(rng.uniform(0.15, 0.9, int(rng.integers(0, 9)))):
        x = vanish[0] + rng.choice([-1.0, 1.0]) * (half + 0.12 + rng.uniform(-0.2, 0.15)) * near
        person(canvas, x, vanish[1] + (1 - vanish[1]) * near, 0.38 * near * (1 - vanish[1]))
    if rng.random() < 0.35:
        for y in rng.uniform(0, 0.35, 3):
            canvas.line([(0, y), (vanish[0], y + 0.12), (1, y - 0.02)], light.lit((40, 40, 44)), 0.003)
    canvas.mottle(0.035)


def row_of_houses(canvas: Canvas, vanish: Corner, side: int, reach: float) -> None:
    """Fronts along one side, far to near, converging to the vanishing point."""
    rng = canvas.rng
    bounds = np.array([0.12, 0.2, 0.32, 0.55, 0.95, 1.7]) * rng.uniform(0.85, 1.15)
    tall, shade = rng.uniform(0.35, 1.3), 1.0 if side * canvas.light.sun_x < 0 else 0.65
    for far, near in pairwise(bounds.tolist()):
        top = tall * rng.uniform(0.65, 1.2)
        ends = [(vanish[0] + side * reach * at_depth, at_depth) for at_depth in (far, near)]
        quad: Quad = (
            (ends[0][0], vanish[1] - top * far), (ends[1][0], vanish[1] - top * near),
            (ends[1][0], vanish[1] + (1 - vanish[1]) * near), (ends[0][0], vanish[1] + (1 - vanish[1]) * far),
        )  # fmt: skip
        wall = mix(pick(rng, WALLS), canvas.light.haze, (1 - min(near, 1)) * canvas.light.haze_density * 0.6)
        facade(canvas, quad, wall, int(rng.integers(2, 7)), int(rng.integers(2, 5)), shade)
        canvas.line([quad[0], quad[1]], canvas.light.lit(wall * 0.6, shade), 0.012)


def road(canvas: Canvas, vanish: Corner, half: float) -> None:
    """Carriageway with kerbs and markings."""
    rng, light = canvas.rng, canvas.light
    x, y = vanish
    surface = light.lit(pick(rng, PAVINGS) * 0.8)
    canvas.polygon(
        [(x - 0.01, y), (x + 0.01, y), (x + half * 1.6, y + (1 - y) * 1.6), (x - half * 1.6, y + (1 - y) * 1.6)],
        surface,
    )
    for side in (-1, 1):
        canvas.line([(x, y), (x + side * half * 1.6, y + (1 - y) * 1.6)], surface * 1.5 + 10, 0.008)
    if rng.random() < 0.7:
        centre_line(canvas, vanish)
    if rng.random() < 0.3:
        crossing(canvas, vanish, half, rng.uniform(0.45, 0.8))


def centre_line(canvas: Canvas, vanish: Corner) -> None:
    """Dashes in the middle of the road."""
    x, y = vanish
    for near in np.geomspace(0.1, 1.2, 8):
        low, wide = near * 1.18, 0.025 * near
        outline = [
            (x - wide, y + (1 - y) * near),
            (x + wide, y + (1 - y) * near),
            (x + wide * 1.2, y + (1 - y) * low),
            (x - wide * 1.2, y + (1 - y) * low),
        ]
        canvas.polygon(outline, canvas.light.lit(MARKING))


def crossing(canvas: Canvas, vanish: Corner, half: float, near: float) -> None:
    """Zebra crossing at the depth `near` (0 at the vanishing point, 1 at the lower border)."""
    x, y = vanish
    for lane in np.arange(-0.9, 0.9, 0.25):
        outline = [(x + lane * half * at_depth, y + (1 - y) * at_depth) for at_depth in (near, near * 1.2)]
        outline += [(x + (lane + 0.12) * half * at_depth, y + (1 - y) * at_depth) for at_depth in (near * 1.2, near)]
        canvas.polygon(outline, canvas.light.lit(MARKING))


def roadside(canvas: Canvas, vanish: Corner, side: int, half: float) -> None:
    """Trees, lamps or nothing at regular distances along the kerb."""
    rng, light = canvas.rng, canvas.light
    kind = rng.choice(["none", "trees", "lamps"], p=[0.35, 0.3, 0.35])
    leaves = leaf_colours(rng)[0]
    for near in np.geomspace(0.15, 0.95, 5) * rng.uniform(0.9, 1.1):
        x, y = vanish[0] + side * (half + 0.1) * near, vanish[1] + (1 - vanish[1]) * near
        if kind == "trees":
            tree(canvas, x, y, 0.75 * near, light.lit(leaves))
        elif kind == "lamps":
            top, head = y - 0.85 * near, x - side * 0.12 * near
            canvas.line([(x, y), (x, top), (head, top)], light.lit((60, 62, 66)), 0.018 * near)
            canvas.disc(head, top, 0.02 * near, 0.014 * near, LAMP if light.night else light.lit((210, 210, 205)))


def car(canvas: Canvas, x: float, y: float, wide: float) -> None:
    """Car seen from behind or in front, its wheels at (x, y)."""
    rng, light = canvas.rng, canvas.light
    paint = light.lit(
        rng.choice([(190, 30, 30), (230, 230, 230), (40, 44, 50), (40, 70, 130), (150, 154, 158), (210, 170, 40)])
    )
    canvas.box(x - wide, y - wide * 0.22, x + wide, y + wide * 0.06, light.lit((24, 24, 26)))
    canvas.box(x - wide, y - wide * 0.85, x + wide, y - wide * 0.15, paint)
    for foot, roof, low, high, colour in (
        (0.85, 0.65, 0.8, 1.4, paint * 0.9),
        (0.72, 0.58, 0.85, 1.3, light.lit((50, 62, 74))),  # the window
    ):
        outline = [(-foot, low), (-roof, high), (roof, high), (foot, low)]
        canvas.polygon([(x + wide * across, y - wide * up) for across, up in outline], colour)
    glow = np.array((255, 60, 40) if rng.random() < 0.5 else (255, 240, 200), np.float32)
    lamp = glow if light.night else light.lit(glow, 0.9)
    for side in (-1, 1):
        canvas.disc(x + side * wide * 0.78, y - wide * 0.55, wide * 0.14, wide * 0.1, lamp)


def person(canvas: Canvas, x: float, y: float, tall: float) -> None:
    """Walker standing at (x, y)."""
    light, coat = canvas.light, canvas.rng.uniform(20, 210, 3)
    canvas.box(x - tall * 0.09, y - tall * 0.48, x + tall * 0.09, y, light.lit((40, 42, 52)))
    canvas.box(x - tall * 0.14, y - tall * 0.86, x + tall * 0.14, y - tall * 0.42, light.lit(coat))
    canvas.disc(x, y - tall * 0.92, tall * 0.08, tall * 0.09, light.lit((190, 150, 124)))
