"""The mountain scenes."""

from pipeline.sources.scenes.canvas import Canvas
from pipeline.sources.scenes.plants import conifer
from pipeline.sources.scenes.relief import Cover, Relief, draw_cover, mountain_heights, paint_relief
from pipeline.sources.scenes.surfaces import (
    MEADOWS,
    ROCKS,
    below_line,
    mirror_lake,
    paint_ground,
    paint_sky,
    paint_water,
    pick,
    wavy,
)


def draw_mountain(canvas: Canvas) -> None:
    """Range or single peak behind a plain, a lake, a wood, or filling the picture."""
    rng = canvas.rng
    horizon = rng.uniform(0.5, 0.95)
    paint_sky(canvas, horizon)
    relief = Relief(canvas, horizon, None)
    height = mountain_heights(relief, rng.uniform(0.8, 5), horizon * rng.uniform(0.5, 0.95))
    cover = draw_cover(rng)
    paint_relief(relief, relief.view(height), height, cover)
    front = rng.choice(["none", "lake", "sea", "wood", "ridge"], p=[0.32, 0.2, 0.08, 0.22, 0.18])
    shore = min(0.92, horizon + rng.uniform(0.0, 0.2))
    if front == "lake":
        mirror_lake(canvas, shore)
    elif front == "sea":
        paint_water(canvas, below_line(canvas, shore), shore - 0.02, 0.12, 0.0)
    elif front == "wood":
        stand_of_conifers(canvas, rng.uniform(0.75, 1.0), cover)
    elif front == "ridge":
        ridge = wavy(canvas, rng.uniform(0.75, 0.95), 0.05)
        paint_ground(canvas, below_line(canvas, ridge), 0.7, pick(rng, MEADOWS + ROCKS), 0.15)


def stand_of_conifers(canvas: Canvas, level: float, cover: Cover) -> None:
    """Row of firs along the lower border."""
    rng = canvas.rng
    colour = canvas.light.lit(cover.wood * 0.7)
    for x in rng.uniform(-0.05, 1.05, int(rng.integers(3, 26))):
        tall = rng.uniform(0.08, 0.3)
        conifer(canvas, x, level + rng.uniform(0, 0.12), tall, tall * rng.uniform(0.2, 0.36), colour, 0.1)
