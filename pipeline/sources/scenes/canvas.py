"""Canvas, light and noise shared by the scene modules.

Pictures under construction are planes, (3, H, W); colours are float RGB in 0..255. Geometry is in unit coordinates
(x to the right, y downwards, 0..1), so that a composition does not depend on the size it is drawn at.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

GRID = 64  # cells per side of noise fields, at every image size: more would be slower, and invisible at 64 px

Colour = np.ndarray
Points = Sequence[tuple[float, float]]

# sky top, sky at the horizon, tint of lit surfaces, strength of the direct light, probability
LIGHTS: tuple[tuple[tuple[int, int, int], tuple[int, int, int], tuple[float, float, float], float, float], ...] = (
    ((62, 122, 200), (178, 208, 232), (1.00, 0.99, 0.94), 0.90, 0.24),
    ((120, 160, 205), (214, 220, 222), (0.98, 0.95, 0.88), 0.65, 0.14),
    ((150, 158, 168), (208, 210, 212), (0.82, 0.84, 0.86), 0.30, 0.17),
    ((72, 74, 124), (250, 156, 88), (0.97, 0.74, 0.60), 0.85, 0.12),
    ((112, 132, 182), (246, 192, 182), (0.92, 0.76, 0.76), 0.60, 0.08),
    ((14, 18, 42), (52, 56, 88), (0.30, 0.34, 0.50), 0.40, 0.06),
    ((226, 214, 184), (255, 244, 216), (0.44, 0.41, 0.38), 0.45, 0.06),
    ((66, 74, 86), (136, 144, 150), (0.58, 0.61, 0.64), 0.30, 0.10),
)
NIGHT = 5


@dataclass(frozen=True)
class Light:
    """Illumination of one picture; colours are float RGB in 0..255, `tint` multiplies surface colours."""

    sky_top: Colour
    sky_low: Colour
    tint: Colour
    haze: Colour
    sun: float
    sun_x: float
    haze_density: float
    night: bool

    def lit(self, colour: Sequence[float] | Colour, shade: float = 1.0) -> Colour:
        """Surface colour under this light; `shade` is the share of light received."""
        return np.asarray(colour, np.float32) * self.tint * np.float32(shade)

    def fade(self, colour: Colour, distance: float) -> Colour:
        """Colour seen through the air over `distance` (0 near, 1 far)."""
        return mix(colour, self.haze, min(1.0, distance * self.haze_density))


def draw_light(rng: np.random.Generator) -> Light:
    """Light of one picture: one of LIGHTS moved part of the way towards a second one."""
    weights = np.array([row[4] for row in LIGHTS])
    first, second = rng.choice(len(LIGHTS), size=2, p=weights / weights.sum())
    share = rng.uniform(0, 0.35)
    top, low, tint = (
        mix(np.array(LIGHTS[first][part], np.float32), np.array(LIGHTS[second][part], np.float32), share)
        for part in range(3)
    )
    jitter = rng.uniform(0.94, 1.05, 3).astype(np.float32)
    return Light(
        sky_top=top * jitter,
        sky_low=low * jitter,
        tint=tint * jitter,
        haze=mix(low, top, 0.25),
        sun=LIGHTS[first][3] * rng.uniform(0.7, 1.1),
        sun_x=rng.uniform(-1, 1),
        haze_density=float(rng.choice([0.2, 0.45, 0.8], p=[0.5, 0.35, 0.15])),
        night=first == NIGHT,
    )


def planes(colour: Colour) -> Colour:
    """A (3,) colour as (3, 1, 1), to be combined with (H, W) fields; (3, H, W) colours stay as they are."""
    return colour[:, None, None] if colour.ndim == 1 else colour


def mix(first: Colour, second: Colour, share: float | np.ndarray) -> Colour:
    """Linear blend; with an (H, W) share the result is (3, H, W)."""
    if isinstance(share, np.ndarray) or first.ndim != second.ndim:
        first, second = planes(first), planes(second)
    weight = share.astype(np.float32, copy=False) if isinstance(share, np.ndarray) else np.float32(share)
    return first + (second - first) * weight


def shaded(colour: Colour, factor: np.ndarray) -> Colour:
    """Colours times an (H, W) factor, (3, H, W)."""
    return planes(colour) * factor.astype(np.float32, copy=False)


def ramp(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """Linear step from 0 at `low` to 1 at `high`."""
    return np.clip((value - low) / (high - low), 0, 1)


def resized(field: np.ndarray, width: int, height: int) -> np.ndarray:
    """Bilinear resampling of a (h, w) float32 field to (height, width)."""
    return np.asarray(Image.fromarray(field).resize((width, height), Image.Resampling.BILINEAR))


def fractal(rng: np.random.Generator, columns: int, rows: int, gain: float = 0.5) -> np.ndarray:
    """Fractal noise (GRID, GRID) float32, zero mean, unit variance; `columns` x `rows` cells in the coarsest octave."""
    field = rng.random((rows, columns), dtype=np.float32) - np.float32(0.5)
    weight = 1.0
    # each octave is added on its own grid, so that only the last one costs a full-size field
    while field.shape != (GRID, GRID):
        rows, columns = min(GRID, 3 * rows), min(GRID, 3 * columns)
        weight *= gain**1.5
        field = resized(field, columns, rows) + np.float32(weight) * (
            rng.random((rows, columns), dtype=np.float32) - np.float32(0.5)
        )
    field = field - field.mean()
    return field / np.sqrt(np.mean(field * field) + np.float32(1e-9))


def mirrored(position: np.ndarray) -> np.ndarray:
    """Positions along a grid of GRID points folded back into 0..GRID - 1, float32."""
    period = 2 * (GRID - 1)
    # written out: NumPy's own remainder takes fifteen times as long
    return np.abs(position - period * np.floor(position / period) - (GRID - 1)).astype(np.float32)


def sample(field: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Bilinear look-up of a (GRID, GRID) field at u, v (1 = one grid width), mirrored beyond its borders."""
    columns, rows = mirrored(u * GRID), mirrored(v * GRID)
    left, top = np.minimum(columns.astype(np.intp), GRID - 2), np.minimum(rows.astype(np.intp), GRID - 2)
    across, down = columns - left, rows - top
    corner = top * GRID + left
    flat = field.ravel()
    upper = flat[corner] * (1 - across) + flat[corner + 1] * across
    lower = flat[corner + GRID] * (1 - across) + flat[corner + GRID + 1] * across
    return upper * (1 - down) + lower * down


class Canvas:
    """RGB picture of `size` x `size` pixels under construction, with its light and source of randomness."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        """Draws the light first: it is the same at every size."""
        self.size = size
        self.rng = rng
        self.light = draw_light(rng)
        self.image = Image.new("RGB", (size, size))
        self.pen = ImageDraw.Draw(self.image)
        centres = (np.arange(size, dtype=np.float32) + 0.5) / size
        self.xs, self.ys = centres[None, :], centres[:, None]

    def field(self, columns: int, rows: int, gain: float = 0.5) -> np.ndarray:
        """Fractal noise over the picture, (size, size) float32, zero mean, unit variance."""
        return resized(fractal(self.rng, columns, rows, gain), self.size, self.size)

    def paint(self, colours: Colour, mask: np.ndarray | None = None) -> None:
        """Lay one colour (3,) or colours (3, H, W) over the picture where `mask` (H, W), 0..1, lets them show."""
        cover = None
        if mask is not None:
            full = np.broadcast_to(mask, (self.size, self.size))
            cover = Image.fromarray((np.clip(full, 0, 1) * 255).astype(np.uint8))
        if colours.ndim == 1:
            self.image.paste(ink(colours), (0, 0, self.size, self.size), cover)
            return
        tones = np.empty((self.size, self.size, 3), np.uint8)
        np.clip(colours, 0, 255, out=tones.transpose(2, 0, 1), casting="unsafe")
        self.image.paste(Image.fromarray(tones), mask=cover)

    def pixels(self) -> np.ndarray:
        """Copy of the picture so far, (3, H, W) float32 in 0..255."""
        return np.asarray(self.image).transpose(2, 0, 1).astype(np.float32, order="C")

    def polygon(self, points: Points, colour: Colour) -> None:
        """Fill a polygon given in unit coordinates."""
        self.pen.polygon([(x * self.size, y * self.size) for x, y in points], fill=ink(colour))

    def line(self, points: Points, colour: Colour, width: float) -> None:
        """Draw a polyline `width` wide (unit coordinates), at least one pixel."""
        path = [(x * self.size, y * self.size) for x, y in points]
        self.pen.line(path, fill=ink(colour), width=max(1, round(width * self.size)))

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Fill an upright rectangle."""
        scale = self.size
        x, y = left * scale, top * scale
        self.pen.rectangle((x, y, max(x, right * scale - 0.5), max(y, bottom * scale - 0.5)), fill=ink(colour))

    def disc(self, x: float, y: float, radius_x: float, radius_y: float, colour: Colour) -> None:
        """Fill an ellipse."""
        scale = self.size
        edges = ((x - radius_x) * scale, (y - radius_y) * scale, (x + radius_x) * scale, (y + radius_y) * scale)
        self.pen.ellipse(edges, fill=ink(colour))

    def mottle(self, amount: float, cells: int = 24, mask: np.ndarray | None = None) -> None:
        """Multiply the picture by noise of relative strength `amount`: paint and plaster are never even."""
        grain = 1 + np.float32(amount) * self.field(cells, cells, 0.8)
        self.paint(shaded(self.pixels(), grain), mask)


def ink(colour: Colour) -> tuple[int, int, int]:
    """Pillow colour of a float RGB triple."""
    red, green, blue = colour.tolist()
    return min(255, max(0, int(red))), min(255, max(0, int(green))), min(255, max(0, int(blue)))
