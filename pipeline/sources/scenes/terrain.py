"""Sky, relief and water, and the three landscapes made of them: glacier, mountain, sea."""

from dataclasses import dataclass

import numpy as np

from pipeline.sources.scenes.canvas import Canvas, Colour, fractal, mix, ramp, sample, shaded
from pipeline.sources.scenes.plants import conifer, tuft_row

LAYERS = 60
FARTHEST = 12.0

ROCKS = ((112, 108, 106), (126, 110, 92), (92, 88, 90), (142, 118, 100), (104, 112, 120), (84, 74, 66))
MEADOWS = ((92, 122, 58), (134, 138, 72), (150, 120, 66), (76, 100, 56), (168, 150, 104), (120, 112, 98))
WOODS = ((44, 70, 42), (38, 60, 48), (96, 84, 40), (120, 80, 40), (60, 66, 56))
WATERS = ((28, 84, 118), (34, 110, 124), (62, 92, 98), (24, 52, 78), (78, 104, 96), (70, 124, 146), (96, 98, 92))
SANDS = ((206, 184, 140), (180, 158, 122), (150, 138, 120), (112, 104, 98), (224, 208, 176))
ICES = ((226, 236, 242), (196, 216, 226), (208, 212, 212), (186, 214, 230), (196, 198, 198))
SNOW = np.array((240, 244, 250), np.float32)


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


def below_line(canvas: Canvas, line: float | np.ndarray, softness: float = 0.01) -> np.ndarray:
    """Mask of the picture below a line given as unit y, one value or (1, W)."""
    return ramp(canvas.ys - line, 0, softness)


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
