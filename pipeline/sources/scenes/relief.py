"""Mountains in perspective: heights, hidden surfaces, light and what covers them."""

from dataclasses import dataclass

import numpy as np

from pipeline.sources.scenes.canvas import Canvas, Colour, fractal, mix, ramp, sample, shaded
from pipeline.sources.scenes.surfaces import MEADOWS, ROCKS, pick

LAYERS = 60
FARTHEST = 12.0
WOODS = ((44, 70, 42), (38, 60, 48), (96, 84, 40), (120, 80, 40), (60, 66, 56))
SNOW = np.array((240, 244, 250), np.float32)


@dataclass(frozen=True)
class View:
    """What shows at each pixel: two positions in raveled (LAYERS, W) values, and the share of the far one."""

    far: np.ndarray
    near: np.ndarray
    share: np.ndarray
    seen: np.ndarray

    def take(self, values: np.ndarray) -> np.ndarray:
        """Values (LAYERS, W) of the slices as seen by the pixels, (H, W) float32."""
        flat = np.ascontiguousarray(values, np.float32).ravel()
        near = flat[self.near]
        return near + (flat[self.far] - near) * self.share


class Relief:
    """Ground seen in perspective: depth slices with a height profile each, near to far."""

    def __init__(self, canvas: Canvas, horizon: float, camera: float | None) -> None:
        """`camera` is the height of the eye above the plain, None: high enough to fill the lower border."""
        self.canvas, self.horizon = canvas, horizon
        self.focal = canvas.rng.uniform(0.8, 1.4)
        self.camera = (1 - horizon) / self.focal * canvas.rng.uniform(1.02, 1.4) if camera is None else camera
        self.depth = np.geomspace(1, FARTHEST, LAYERS).astype(np.float32)[:, None]
        self.distance = np.broadcast_to(self.depth, (LAYERS, canvas.size))
        self.across = (canvas.xs - 0.5) * self.depth / self.focal
        self.offset = canvas.rng.random(2).astype(np.float32)

    def noise(self, field: np.ndarray, stretch_x: float, stretch_z: float) -> np.ndarray:
        """Noise of the ground plane, (LAYERS, W); the stretches are grid widths per unit of distance."""
        return sample(field, self.across * stretch_x + self.offset[0], self.depth * stretch_z + self.offset[1])

    def view(self, height: np.ndarray) -> View:
        """Hidden surface removal for the given heights (LAYERS, W)."""
        top = self.horizon - self.focal * (height - self.camera) / self.depth
        skyline = np.minimum.accumulate(top, axis=0)
        below = skyline[:, None, :] > self.canvas.ys[None, :, :]
        index = np.add.reduce(below.view(np.uint8), axis=0, dtype=np.uint8).astype(np.intp)
        seen = index < LAYERS
        layer = np.minimum(index, LAYERS - 1)
        width = self.canvas.size
        far = layer * width + np.arange(width)
        near = np.maximum(layer - 1, 0) * width + np.arange(width)
        far_top, near_top = skyline.ravel()[far], skyline.ravel()[near]
        share = np.clip((near_top - self.canvas.ys) / np.maximum(near_top - far_top, 1e-5), 0, 1)
        return View(far, near, share.astype(np.float32), seen)

    def slopes(self, height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Slope across and away from the viewer, (LAYERS, W) each."""
        step_x = np.gradient(height, axis=1) / (self.depth / self.focal / self.canvas.size)
        step_z = np.gradient(height, axis=0) / np.gradient(self.depth, axis=0)
        return step_x, step_z


def crags(canvas: Canvas, cells: int) -> np.ndarray:
    """Ridged noise (GRID, GRID), about 0..1 with sharp crests."""
    smooth = fractal(canvas.rng, cells, cells, canvas.rng.uniform(0.25, 0.42))
    rough = fractal(canvas.rng, 2 * cells, 2 * cells, 0.5)
    return np.clip(1 - np.abs(smooth) * 0.6 - np.abs(rough) * 0.1, 0, 1).astype(np.float32)


def mountain_heights(relief: Relief, start: float, peak: float) -> np.ndarray:
    """Heights (LAYERS, W) of a range beginning at distance `start`, crests `peak` of the picture above the horizon."""
    canvas, rng = relief.canvas, relief.canvas.rng
    crest = relief.noise(crags(canvas, int(rng.integers(3, 6))), 0.07, 0.05)
    height = np.float32(rng.uniform(0.15, 0.55)) * crest
    for summit in range(int(rng.integers(1, 6))):
        far = start + 1 + rng.uniform(0.5, 5)
        aside = (canvas.xs - rng.uniform(0, 1)) / rng.uniform(0.25, 0.6)
        behind = (relief.depth - far) / rng.uniform(1.5, 4)
        turn = rng.uniform(0, np.pi / 2)
        edge, flank = aside * np.cos(turn) + behind * np.sin(turn), behind * np.cos(turn) - aside * np.sin(turn)
        # the sum of the two makes a pyramid with sharp edges, the root a smooth cone
        distance = 0.55 * (np.abs(edge) + np.abs(flank)) + 0.35 * np.sqrt(aside**2 + behind**2) + 0.5 * (0.7 - crest)
        size = 1.0 if summit == 0 else rng.uniform(0.4, 0.95)
        height = np.maximum(height, size * np.maximum(0, 1 - distance) ** rng.uniform(0.8, 1.3))
    rise = ramp(relief.depth, start, start + rng.uniform(1.5, 4))
    scale = (peak / relief.focal * relief.depth).astype(np.float32)
    return ((height + 0.16 * crest) * rise * scale - 0.02 * (1 - rise)).astype(np.float32)


@dataclass(frozen=True)
class Cover:
    """What grows or lies on a relief: colours, and the heights (0..1 of the crests) where wood ends and snow begins."""

    rock: Colour
    meadow: Colour
    wood: Colour
    treeline: float
    snowline: float


def draw_cover(rng: np.random.Generator) -> Cover:
    """Season and altitude at random, from bare rock to deep winter."""
    rock, meadow, wood = pick(rng, ROCKS), pick(rng, MEADOWS), pick(rng, WOODS)
    snowline = rng.choice([rng.uniform(-0.2, 0.3), rng.uniform(0.35, 0.75), 1.6])
    return Cover(rock, meadow, wood, rng.uniform(-0.1, 0.55), float(snowline))


def shade_of(relief: Relief, view: View, height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of light received and steepness at each pixel."""
    light = relief.canvas.light
    step_x, step_z = relief.slopes(height)
    facing = (-step_x * np.sign(light.sun_x) * (0.5 + abs(light.sun_x)) + step_z * 0.35) / np.sqrt(
        1 + step_x**2 + step_z**2
    )
    steep = np.sqrt(step_x**2 + step_z**2)
    return view.take(np.clip(0.72 + light.sun * facing * 0.9, 0.2, 1.35)), view.take(steep)


def paint_relief(relief: Relief, view: View, height: np.ndarray, cover: Cover) -> None:
    """Colour a relief by altitude and steepness, with aerial perspective."""
    canvas, light = relief.canvas, relief.canvas.light
    shade, steep = shade_of(relief, view, height)
    grain = canvas.field(12, 16, 0.85)
    level = view.take(height / np.maximum(height.max(), 0.05)) + 0.07 * grain
    colours = mix(cover.rock, cover.meadow, ramp(level - 0.1 * steep, cover.treeline + 0.15, cover.treeline - 0.1))
    colours = mix(colours, cover.wood, ramp(level, cover.treeline, cover.treeline - 0.08) * ramp(grain, -1, 0.2))
    colours = mix(colours, SNOW, ramp(level - 0.12 * steep, cover.snowline - 0.05, cover.snowline + 0.08))
    shade = shade * (1 + 0.09 * grain)
    colours = shaded(shaded(colours, shade), light.tint[:, None, None])
    air = 1 - np.exp(-view.take(relief.distance) / FARTHEST * light.haze_density * 1.3)
    canvas.paint(mix(colours, light.haze, air), view.seen.astype(np.float32))
