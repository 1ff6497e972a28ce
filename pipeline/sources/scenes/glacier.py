"""The glacier scenes."""

from dataclasses import dataclass

import numpy as np

from pipeline.sources.scenes.canvas import Canvas, fractal, mix, ramp, sample, shaded
from pipeline.sources.scenes.relief import FARTHEST, Relief, View, draw_cover, mountain_heights, paint_relief, shade_of
from pipeline.sources.scenes.surfaces import ROCKS, bends, paint_ground, paint_sky, paint_water, pick

ICES = ((226, 236, 242), (196, 216, 226), (208, 212, 212), (186, 214, 230), (196, 198, 198))


def draw_glacier(canvas: Canvas) -> None:
    """Ice stream between mountains: its upper field, its tongue on bare ground, or its front over water."""
    rng = canvas.rng
    horizon = rng.uniform(0.25, 0.6)
    paint_sky(canvas, horizon)
    relief = Relief(canvas, horizon, None)
    rock = mountain_heights(relief, rng.uniform(0.3, 3), horizon * rng.uniform(0.45, 1.0))
    front = rng.choice([0.0, rng.uniform(1.2, 2.6)], p=[0.35, 0.65])
    wall = relief.camera * rng.uniform(0.15, 0.6) if front > 1 else relief.camera * rng.uniform(0.0, 0.2)
    stream = ice_stream(relief, front, wall)
    sides = ramp(np.abs(stream.across), 0.75, rng.uniform(1.2, 1.7))
    closing = ramp(relief.depth, rng.uniform(5, 9), FARTHEST) * rng.uniform(0.3, 1.1)
    valley = ((rock + stream.profile) * np.maximum(sides, closing)).astype(np.float32)
    height = np.maximum(np.maximum(stream.surface, valley), 0)
    view = relief.view(height)
    paint_relief(relief, view, height, draw_cover(rng))
    plain = view.take((height <= 0.01).astype(np.float32)) * view.seen
    water = front > 1 and rng.random() < 0.7
    if water:
        paint_water(canvas, ramp(plain, 0.3, 0.7), horizon, rng.uniform(0.02, 0.2), 0.0)
    elif rng.random() < 0.6:
        paint_ground(canvas, ramp(plain, 0.3, 0.7), horizon, pick(rng, ROCKS), 0.25)
    ice = (stream.surface > np.maximum(valley, 0)).astype(np.float32)
    paint_ice(relief, view, stream, ice, height)
    if water:
        icebergs(canvas, horizon)


@dataclass(frozen=True)
class Stream:
    """Ice stream, (LAYERS, W) each: surface height, the same without its end, half widths from its axis."""

    surface: np.ndarray
    profile: np.ndarray
    across: np.ndarray


def ice_stream(relief: Relief, front: float, wall: float) -> Stream:
    """Ice from a front `wall` high at distance `front` up to the head of the valley."""
    rng = relief.canvas.rng
    reach = np.log(relief.depth)
    centre = rng.uniform(-0.5, 0.5) + rng.uniform(-0.35, 0.35) * relief.depth * np.sin(reach * 1.6 + rng.uniform(0, 6))
    half = (rng.uniform(0.3, 0.8) + rng.uniform(0.05, 0.14) * relief.depth) * rng.choice([1, 2], p=[0.8, 0.2])
    across = (relief.across - centre) / half
    head = relief.camera + rng.uniform(-0.05, 0.26) * FARTHEST / relief.focal
    along = np.clip((relief.depth - front) / (FARTHEST - front), 0, 1)
    surface = wall + (head - wall) * along ** rng.uniform(0.9, 1.6)
    tongue = relief.depth > front + 0.3 * np.minimum(across**2, 4) + 0.1 * relief.noise(fractal(rng, 8, 8), 0.3, 0.3)
    profile = (surface + 0 * across).astype(np.float32)
    return Stream(np.where(tongue, profile, np.float32(-0.3)), profile, across.astype(np.float32))


def paint_ice(relief: Relief, view: View, stream: Stream, ice: np.ndarray, height: np.ndarray) -> None:
    """Crevassed ice where `ice` (LAYERS, W) is 1: blue cracks across the stream, dark moraine bands along it."""
    canvas, rng = relief.canvas, relief.canvas.rng
    # steps in log depth are even steps in the picture: the cracks do not run together far away
    flow = np.log(relief.depth) * 0.4 - 0.05 * np.minimum(stream.across**2, 3)
    cracks = sample(fractal(rng, int(rng.integers(6, 14)), 26, 0.7), stream.across * 0.16 + 3, flow + 3)
    bands = bends(rng, 12, stream.across * 0.25 + 0.5)
    crack = view.take(ramp(np.abs(cracks), 0.3, 0.03)) * rng.uniform(0.4, 1.0)
    base, blue = pick(rng, ICES), np.array((64, 136, 184), np.float32) * rng.uniform(0.7, 1.2)
    colours = mix(base, blue, crack)
    least = rng.uniform(0.0, 1.8)
    dirt = view.take(ramp(bands, least, least + 0.8)) * rng.uniform(0.2, 0.8)
    colours = mix(colours, pick(rng, ROCKS), dirt)
    shade, _ = shade_of(relief, view, height)
    streaks = 1 + 0.07 * canvas.field(32, 16, 0.8)
    colours = shaded(colours, view.take(1 + 0.14 * cracks) * (0.4 + 0.6 * shade) * streaks)
    colours = shaded(colours, canvas.light.tint[:, None, None])
    air = 1 - np.exp(-view.take(relief.distance) / FARTHEST * canvas.light.haze_density)
    canvas.paint(mix(colours, canvas.light.haze, air), view.take(ice) * view.seen)


def icebergs(canvas: Canvas, horizon: float) -> None:
    """Floes drifting in front of the ice."""
    rng, light = canvas.rng, canvas.light
    for _ in range(int(rng.integers(0, 12))):
        y = rng.uniform(min(0.9, horizon + 0.25), 1.0)
        x, wide = rng.uniform(0, 1), rng.uniform(0.02, 0.12) * (y - horizon + 0.1)
        tall = wide * rng.uniform(0.3, 0.9)
        colour = light.lit(pick(rng, ICES))
        canvas.polygon([(x - wide, y), (x - wide * 0.6, y - tall), (x, y - tall * 0.7), (x + wide, y)], colour)
        canvas.polygon([(x - wide, y), (x + wide, y), (x + wide * 0.7, y + tall * 0.35)], colour * 0.65)
