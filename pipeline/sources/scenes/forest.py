"""The forest scenes."""

import numpy as np

from pipeline.sources.scenes.canvas import Canvas, Colour, fractal, mix, ramp, sample, shaded
from pipeline.sources.scenes.plants import conifer, foliage, leaf_colours, tree

BARKS = ((74, 60, 48), (96, 84, 72), (54, 48, 44), (120, 96, 74), (196, 192, 182))
FLOORS = ((88, 74, 50), (70, 90, 44), (120, 92, 52), (60, 60, 40), (226, 230, 236), (104, 110, 70))


def draw_forest(canvas: Canvas) -> None:
    """Wood from within, from its edge, or on a slope."""
    kind = canvas.rng.choice(3, p=[0.48, 0.26, 0.26])
    (wood_inside, wood_slope, wood_edge)[kind](canvas)


def wood_inside(canvas: Canvas) -> None:
    """Trunks one behind the other, foliage above, floor below."""
    rng, light = canvas.rng, canvas.light
    colours = leaf_colours(rng)
    foliage(canvas, colours, None, int(rng.integers(3, 9)))
    canvas.paint(
        mix(light.sky_low, light.lit(colours[1]), 0.3), ramp(canvas.field(5, 5, 0.7), rng.uniform(0.2, 2), 2.4)
    )
    level = rng.uniform(0.5, 0.92)
    forest_floor(canvas, level, rng.random() < 0.35)
    colour = np.array(BARKS[rng.integers(len(BARKS))], np.float32)
    lean = rng.uniform(-0.08, 0.08)
    for near in np.sort(rng.uniform(0.05, 1, int(rng.integers(8, 26))) ** 1.6):
        tint = light.fade(light.lit(colour * rng.uniform(0.7, 1.1)), (1 - near) * 1.0)
        bark(
            canvas,
            rng.uniform(-0.05, 1.05),
            level + 0.02 + near * 0.25,
            0.012 + 0.085 * near,
            tint,
            lean + rng.normal(0, 0.03),
        )
    if rng.random() < 0.7:
        foliage(canvas, colours, ramp(canvas.field(5, 5, 0.75) - canvas.ys * 3 + 0.6, 0, 0.4), 7)


def wood_slope(canvas: Canvas) -> None:
    """Rows of conifers or crowns climbing a slope, seen from outside."""
    rng, light = canvas.rng, canvas.light
    canvas.paint(mix(light.sky_top, light.sky_low, canvas.ys))
    firs, snow = rng.random() < 0.6, float(rng.choice([0.0, 0.0, 0.45]))
    colours = leaf_colours(rng)
    start = rng.uniform(-0.2, 0.4)
    tilt = rng.uniform(-0.4, 0.4)
    ground = light.fade(light.lit((226, 230, 236) if snow else colours[0] * 0.5), 0.5)
    canvas.paint(ground, ramp(canvas.ys - tilt * (canvas.xs - 0.5) - start, 0.02, 0.05))
    rows = int(rng.integers(6, 10))
    for row in range(rows):
        near = (row + 1) / rows
        base = start + (1.1 - start) * near**1.3 + 0.06
        for x in np.linspace(-0.05, 1.05, int(18 - 8 * near)) + rng.uniform(-0.03, 0.03, int(18 - 8 * near)):
            hue = mix(colours[0], colours[1], rng.random()) * rng.uniform(0.6, 1.0)
            colour = light.fade(light.lit(hue), 1 - near)
            tall = (0.12 + 0.2 * near) * rng.uniform(0.7, 1.3)
            foot = base + tilt * (x - 0.5) * (1 - near) + rng.uniform(-0.03, 0.03)
            if firs:
                conifer(canvas, x, foot + 0.08, tall * 1.25, tall * 0.45, colour * (0.55 if snow else 0.9), snow)
            else:
                distant_crown(canvas, x, foot, tall, colour)
    canvas.mottle(0.1, 40, ramp(canvas.ys, start - 0.1, start))


def distant_crown(canvas: Canvas, x: float, foot: float, tall: float, colour: Colour) -> None:
    """Deciduous tree from afar: a dark disc with lighter clumps on it."""
    canvas.disc(x, foot - tall * 0.2, tall * 0.38, tall * 0.45, colour * 0.5)
    for dx, dy, size in canvas.rng.random((5, 3)):
        leaf = tall * (0.1 + 0.1 * size)
        canvas.disc(x + tall * (dx - 0.5) / 2, foot + tall * (dy - 1.1) / 2, leaf, leaf, colour * (1.2 - 0.7 * dy))


def wood_edge(canvas: Canvas) -> None:
    """Edge of a wood behind a meadow, a pond or snow."""
    rng, light = canvas.rng, canvas.light
    canvas.paint(mix(light.sky_top, light.sky_low, canvas.ys))
    level = rng.uniform(0.6, 0.95)
    colours = leaf_colours(rng)
    broad = rng.choice([0.1, 0.5, 0.9])
    bumps = canvas.field(6, 3, 0.7)[:1] * 0.05
    top = level - rng.uniform(0.35, 0.8)
    foliage(canvas, [colour * 0.7 for colour in colours], ramp(canvas.ys - top - bumps, 0, 0.03), 6)
    for x in rng.uniform(0, 1, int(rng.integers(5, 16))):
        tall = rng.uniform(0.35, 0.8)
        colour = light.lit(mix(colours[0], colours[1], rng.random()) * rng.uniform(0.6, 1.3))
        if rng.random() < broad:
            tree(canvas, x, level + 0.02, tall, colour)
        else:
            conifer(canvas, x, level + 0.02, tall, tall * 0.34, colour * 0.8, 0.1)
    canvas.mottle(0.12, 48, ramp(canvas.ys, level, level - 0.05) * 0.8)
    forest_floor(canvas, level, rng.random() < 0.3)


def bark(canvas: Canvas, x: float, foot: float, wide: float, colour: Colour, lean: float) -> None:
    """Trunk running out of the upper border, lit from one side."""
    side = 1 if canvas.light.sun_x > 0 else -1
    head = x + lean
    canvas.polygon(
        [(x - wide / 2, foot), (x + wide / 2, foot), (head + wide * 0.35, -0.02), (head - wide * 0.35, -0.02)], colour
    )
    edge = side * wide
    canvas.polygon(
        [(x + edge * 0.15, foot), (x + edge / 2, foot), (head + edge * 0.35, -0.02), (head + edge * 0.1, -0.02)],
        colour * 1.3,
    )
    for _ in range(int(canvas.rng.integers(0, 4))):
        y, reach = canvas.rng.uniform(0, foot * 0.7), canvas.rng.uniform(-0.2, 0.2)
        canvas.line(
            [(x + lean * (1 - y / foot), y), (x + lean + reach, y - abs(reach) * 0.6)], colour * 0.9, wide * 0.16
        )


def forest_floor(canvas: Canvas, level: float, path: bool) -> None:
    """Floor of leaves, moss or snow below `level`, with an optional path towards the vanishing point."""
    rng, light = canvas.rng, canvas.light
    below = np.maximum(canvas.ys - level, 0) + 0.05
    texture = sample(fractal(rng, 12, 12, 0.85), (canvas.xs - 0.5) * 0.1 / below + 3, 0.25 / below + 3)
    colour = np.array(FLOORS[rng.integers(len(FLOORS))], np.float32)
    floor = shaded(light.lit(colour), 0.9 + 0.22 * texture)
    if path:
        centre = 0.5 + rng.uniform(-0.2, 0.2) + rng.uniform(-0.2, 0.2) * np.sin(below * 5)
        track = ramp(np.abs(canvas.xs - centre) / (below + 0.02), 0.75, 0.45)
        floor = mix(floor, shaded(light.lit((164, 146, 118)), 0.95 + 0.1 * texture), track)
    canvas.paint(floor, ramp(canvas.ys - level, 0, 0.06))
