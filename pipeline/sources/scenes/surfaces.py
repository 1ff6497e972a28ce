"""Sky, water and even ground, and the lines that bound them; colours of natural materials."""

import numpy as np

from pipeline.sources.scenes.canvas import Canvas, Colour, fractal, mix, ramp, sample, shaded

ROCKS = ((112, 108, 106), (126, 110, 92), (92, 88, 90), (142, 118, 100), (104, 112, 120), (84, 74, 66))
MEADOWS = ((92, 122, 58), (134, 138, 72), (150, 120, 66), (76, 100, 56), (168, 150, 104), (120, 112, 98))
WATERS = ((28, 84, 118), (34, 110, 124), (62, 92, 98), (24, 52, 78), (78, 104, 96), (70, 124, 146), (96, 98, 92))


def pick(rng: np.random.Generator, table: tuple[tuple[int, int, int], ...]) -> Colour:
    """One colour of a table, slightly changed."""
    return np.array(table[rng.integers(len(table))], np.float32) * (
        rng.uniform(0.85, 1.12) * rng.uniform(0.95, 1.05, 3)
    ).astype(np.float32)


def paint_sky(canvas: Canvas, horizon: float) -> None:
    """Sky down to `horizon`: gradient, clouds, sometimes the disc of the sun, stars at night."""
    light, rng = canvas.light, canvas.rng
    depth = np.clip(canvas.ys / max(horizon, 0.05), 0, 1) ** rng.uniform(0.6, 1.8)
    glow = np.exp(-(((canvas.xs - 0.5 - light.sun_x / 2) / 0.45) ** 2)) * depth * 0.35 * light.sun
    sky = mix(light.sky_top, light.sky_low, depth)
    sky = mix(sky, np.minimum(255, light.sky_low * 1.25), glow)
    cover, tone = rng.uniform(-0.8, 2.2), rng.uniform(0.72, 1.0)
    clouds = ramp(canvas.field(int(rng.integers(2, 5)), int(rng.integers(4, 10))), cover, cover + rng.uniform(0.8, 2.2))
    cloud = np.minimum(255, mix(light.sky_low, np.full(3, 255, np.float32) * light.tint, 0.45) * tone)
    canvas.paint(mix(sky, cloud, clouds * rng.uniform(0.4, 0.95)))
    if light.night:
        for x, y in rng.random((14, 2)):
            canvas.disc(x, y * horizon, 0.003, 0.003, np.full(3, 190.0))
    elif rng.random() < 0.3 * light.sun:
        radius = rng.uniform(0.015, 0.05)
        canvas.disc(0.5 + light.sun_x / 2, horizon * rng.uniform(0.3, 1), radius, radius, light.sky_low * 1.3 + 20)


def paint_water(canvas: Canvas, mask: np.ndarray, horizon: float, roughness: float, foam: float) -> None:
    """Water surface where `mask` is 1: swell in perspective, the colour of the sky far away."""
    light, rng = canvas.light, canvas.rng
    below = np.maximum(canvas.ys - horizon, 0.004)
    near = 0.12 / below
    swell = fractal(rng, int(rng.integers(4, 9)), int(rng.integers(10, 26)), 0.62)
    slant = rng.uniform(-0.25, 0.25)
    waves = sample(swell, (canvas.xs - 0.5) * near * 0.55 + 3, near * 0.9 + (canvas.xs - 0.5) * slant + 3)
    fresnel = np.clip(np.exp(-below / rng.uniform(0.06, 0.4)), 0, 1)
    colours = mix(light.lit(pick(rng, WATERS)), light.sky_low, 0.15 + 0.6 * fresnel)
    strength = roughness * ramp(below, 0, 0.12)
    colours = shaded(colours, 1 + strength * waves)
    crest = ramp(waves, 2.4 - 2.2 * foam, 3.2 - 2.2 * foam) * ramp(below, 0.01, 0.2)
    colours = mix(colours, light.lit((245, 248, 250)), crest * 0.9)
    glitter = np.exp(-(((canvas.xs - 0.5 - light.sun_x / 2) / 0.09) ** 2)) * ramp(waves, -0.4, 1.2) * light.sun
    colours = mix(colours, np.minimum(255, light.sky_low * 1.2), glitter * rng.choice([0.0, 0.8]))
    canvas.paint(colours, mask)


def mirror_lake(canvas: Canvas, shore: float) -> None:
    """Still water below `shore` reflecting what stands above it, broken by ripples."""
    size, rng = canvas.size, canvas.rng
    rows = np.clip((2 * shore - canvas.ys[:, 0]) * size, 0, size - 1)
    ripple = canvas.field(4, 40) * rng.uniform(0, 0.025) * size * ramp(canvas.ys, shore, 1)
    source = np.clip(rows[:, None] + ripple, 0, size - 1).astype(np.intp)
    reflected = canvas.pixels()[:, source, np.arange(size)[None, :]]
    colours = mix(reflected, canvas.light.lit(pick(rng, WATERS)), rng.uniform(0.15, 0.6))
    canvas.paint(colours * rng.uniform(0.75, 0.98), ramp(canvas.ys - shore, 0, 1.5 / size))


def paint_ground(canvas: Canvas, mask: np.ndarray, horizon: float, colour: Colour, grain: float) -> None:
    """Even ground where `mask` is 1: coarse in front, fine towards the horizon."""
    below = np.maximum(canvas.ys - horizon, 0) + 0.06
    texture = sample(fractal(canvas.rng, 12, 12, 0.8), (canvas.xs - 0.5) * 0.12 / below + 3, 0.3 / below + 3)
    colours = shaded(canvas.light.lit(colour), 1 + grain * texture)
    canvas.paint(colours, mask)


def below_line(canvas: Canvas, line: float | np.ndarray, softness: float = 0.01) -> np.ndarray:
    """Mask of the picture below a line given as unit y, one value or (1, W)."""
    return ramp(canvas.ys - line, 0, softness)


def bends(rng: np.random.Generator, cells: int, position: np.ndarray) -> np.ndarray:
    """Noise along one dimension at `position` (0..1), float32, about unit variance."""
    total = np.zeros_like(position)
    for octave in range(4):
        knots = rng.normal(0, 0.5**octave, cells * 2**octave + 1)
        total += np.interp(position, np.linspace(0, 1, knots.size), knots).astype(np.float32)
    return total


def wavy(canvas: Canvas, level: float, amplitude: float) -> np.ndarray:
    """Uneven border line across the picture, (1, W) unit y."""
    return level + amplitude * bends(canvas.rng, int(canvas.rng.integers(2, 5)), canvas.xs)
