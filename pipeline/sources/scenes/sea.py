"""The sea scenes."""

import numpy as np

from pipeline.sources.scenes.canvas import Canvas, ramp
from pipeline.sources.scenes.plants import tuft_row
from pipeline.sources.scenes.relief import Relief, draw_cover, mountain_heights, paint_relief
from pipeline.sources.scenes.surfaces import (
    MEADOWS,
    ROCKS,
    WATERS,
    below_line,
    paint_ground,
    paint_sky,
    paint_water,
    pick,
    wavy,
)

SANDS = ((206, 184, 140), (180, 158, 122), (150, 138, 120), (112, 104, 98), (224, 208, 176))


def draw_sea(canvas: Canvas) -> None:
    """Open water, surf on a beach, cliffs or islands, boats."""
    rng = canvas.rng
    horizon = rng.uniform(0.12, 0.72)
    paint_sky(canvas, horizon)
    if rng.random() < 0.45:
        coast(canvas, horizon)
    paint_water(canvas, below_line(canvas, horizon), horizon, rng.uniform(0.05, 0.28), rng.choice([0.0, 0.35, 0.7]))
    kind = rng.choice(["open", "beach", "rocks", "breaker"], p=[0.3, 0.32, 0.2, 0.18])
    if kind == "beach":
        beach(canvas, horizon)
    elif kind == "breaker":
        breakers(canvas, horizon)
    elif kind == "rocks":
        shore = wavy(canvas, rng.uniform(max(horizon + 0.15, 0.65), 1.0), 0.07)
        canvas.paint(canvas.light.lit((235, 240, 242)), ramp(canvas.ys - shore + 0.02, -0.02, 0.02))
        paint_ground(canvas, below_line(canvas, shore + 0.015), horizon, pick(rng, ROCKS), 0.3)
    for _ in range(int(rng.choice([0, 1, 3], p=[0.6, 0.3, 0.1]))):
        boat(canvas, rng.uniform(0.1, 0.9), horizon + rng.uniform(0.005, 0.2))
    if rng.random() < 0.15:
        tuft_row(canvas, rng.uniform(0.9, 1.0), canvas.light.lit(pick(rng, MEADOWS)))


def coast(canvas: Canvas, horizon: float) -> None:
    """Far shore above the water line: mountains, cliffs or low islands."""
    rng = canvas.rng
    relief = Relief(canvas, horizon, 0.02)
    height = mountain_heights(relief, rng.uniform(3, 6), horizon * rng.uniform(0.15, 0.8))
    reach = rng.uniform(0.2, 1.1)
    side = canvas.xs if rng.random() < 0.5 else 1 - canvas.xs
    height = (height * ramp(side, reach, reach - rng.uniform(0.08, 0.4)) - 0.01).astype(np.float32)
    paint_relief(relief, relief.view(height), height, draw_cover(rng))


def beach(canvas: Canvas, horizon: float) -> None:
    """Sand in front, foam and wet sand along the water's edge."""
    rng, light = canvas.rng, canvas.light
    edge = wavy(canvas, rng.uniform(max(0.6, horizon + 0.15), 0.95), 0.03) + rng.uniform(-0.3, 0.3) * (canvas.xs - 0.5)
    sand = pick(rng, SANDS)
    for back in np.sort(rng.uniform(0.02, 0.2, int(rng.integers(0, 3))))[::-1]:
        line = wavy(canvas, 0, 0.012) + edge - back
        strip = ramp(np.abs(canvas.ys - line), 0.022, 0.004) * ramp(canvas.field(10, 20), -1, 0.3)
        canvas.paint(light.lit((246, 248, 250)), strip)
    canvas.paint(light.lit((244, 246, 248)), ramp(canvas.ys - edge + 0.03, 0, 0.012) * 0.9)
    paint_ground(canvas, below_line(canvas, edge), horizon, sand * 0.72, 0.08)
    paint_ground(canvas, below_line(canvas, edge + rng.uniform(0.03, 0.09)), horizon, sand, 0.1)


def breakers(canvas: Canvas, horizon: float) -> None:
    """Rolling waves with white crests and dark faces."""
    rng, light = canvas.rng, canvas.light
    for share in np.sort(rng.uniform(0.1, 0.85, int(rng.integers(1, 4)))):
        level, tall = horizon + share * (1 - horizon), 0.02 + 0.13 * share
        line = wavy(canvas, level, 0.012)
        reach = ramp(canvas.field(3, 3), -0.8, 0.2)
        face = ramp(canvas.ys - line, 0, 0.01) * ramp(canvas.ys - line, tall, tall * 0.3)
        canvas.paint(light.lit(pick(rng, WATERS)) * 0.8, face * reach * 0.8)
        spray = ramp(canvas.ys - line + 0.25 * tall, 0, 0.01) * ramp(canvas.ys - line, tall * 0.6, 0)
        canvas.paint(light.lit((246, 248, 250)), spray * reach * ramp(canvas.field(16, 16, 0.8), -1.2, 0.2))


def boat(canvas: Canvas, x: float, y: float) -> None:
    """Sailing or motor boat."""
    rng, light = canvas.rng, canvas.light
    wide = rng.uniform(0.02, 0.09)
    hull = light.lit(rng.uniform(20, 240, 3))
    canvas.polygon(
        [(x - wide, y), (x + wide * 1.2, y), (x + wide * 0.8, y + wide * 0.4), (x - wide * 0.8, y + wide * 0.4)], hull
    )
    if rng.random() < 0.6:
        sail = light.lit((236, 232, 226))
        canvas.polygon([(x, y), (x, y - wide * 2.6), (x + wide, y - wide * 0.2)], sail)
        canvas.line([(x, y), (x, y - wide * 2.7)], sail * 0.4, 0.004)
    else:
        canvas.box(x - wide * 0.4, y - wide * 0.5, x + wide * 0.4, y, light.lit((220, 220, 220)))
