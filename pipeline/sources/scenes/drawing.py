"""Procedurally drawn images of six kinds of scene, in place of landscape and city photographs."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from pipeline.sources.scenes.buildings import draw_buildings
from pipeline.sources.scenes.canvas import GRID, Canvas, mix, ramp, resized
from pipeline.sources.scenes.forest import draw_forest
from pipeline.sources.scenes.glacier import draw_glacier
from pipeline.sources.scenes.mountain import draw_mountain
from pipeline.sources.scenes.plants import LEAVES
from pipeline.sources.scenes.sea import draw_sea
from pipeline.sources.scenes.street import draw_street

CLASS_NAMES: tuple[str, ...] = ("buildings", "forest", "glacier", "mountain", "sea", "street")
MIN_IMAGE_SIZE = 8

_PAINTERS: dict[str, Callable[[Canvas], None]] = {
    "buildings": draw_buildings,
    "forest": draw_forest,
    "glacier": draw_glacier,
    "mountain": draw_mountain,
    "sea": draw_sea,
    "street": draw_street,
}


def draw_scene(label: str, *, image_size: int, seed: int, index: int) -> np.ndarray:
    """Image number `index` (from 0) of class `label`, uint8 (image_size, image_size, 3), RGB.

    label: one of CLASS_NAMES. image_size: pixels, each side, at least MIN_IMAGE_SIZE. seed: of the whole data set, 0 or more.
    The same arguments give the same pixels.
    """
    if label not in CLASS_NAMES:
        raise ValueError(f"label: expected one of {CLASS_NAMES}, received {label!r}")
    if image_size < MIN_IMAGE_SIZE:
        raise ValueError(f"image_size: expected at least {MIN_IMAGE_SIZE}, received {image_size}")
    rng = np.random.default_rng([seed, CLASS_NAMES.index(label), index])
    # Small images are drawn larger than needed: Pillow's outlines are not anti-aliased.
    canvas = Canvas(min(image_size + image_size // 2, max(image_size, 200)), rng)
    _PAINTERS[label](canvas)
    _add_foreground(canvas)
    _add_weather(canvas)
    return _expose(_frame(canvas, image_size), rng)


def _add_foreground(canvas: Canvas) -> None:
    """Sometimes a post, a bough or birds between the viewer and the scene."""
    rng, dark = canvas.rng, canvas.light.lit((52, 46, 42))
    kind = rng.choice(["none", "post", "bough", "birds", "rail"], p=[0.79, 0.05, 0.06, 0.06, 0.04])
    if kind == "post":
        x, wide = rng.uniform(0, 1), rng.uniform(0.01, 0.05)
        canvas.box(x, rng.uniform(-0.1, 0.6), x + wide, 1.0, dark * rng.uniform(0.6, 3))
    elif kind == "bough":
        side, y, drop = rng.choice([0.0, 1.0]), rng.uniform(0.02, 0.2), rng.uniform(-0.1, 0.2)
        reach, leaf = rng.uniform(0.3, 0.7), canvas.light.lit(rng.choice(LEAVES)) * 0.7
        for along in np.linspace(0, 1, 16):
            x, bend = abs(side - along * reach), y + drop * along**2
            canvas.disc(x, bend + rng.normal(0, 0.025), 0.03, 0.02, leaf * rng.uniform(0.6, 1.4))
        canvas.line([(side, y), (abs(side - reach), y + drop)], dark, 0.01)
    elif kind == "birds":
        for x, y, wing in rng.random((6, 3)):
            span = 0.01 + 0.02 * wing
            canvas.line([(x - span, y * 0.5 - span / 2), (x, y * 0.5), (x + span, y * 0.5 - span / 2)], dark, 0.005)
    elif kind == "rail":
        y = rng.uniform(0.75, 0.95)
        canvas.box(0, y, 1, y + 0.02, dark * rng.uniform(0.6, 3))
        for x in np.linspace(0.05, 0.95, 5):
            canvas.box(x, y, x + 0.02, 1, dark)


def _add_weather(canvas: Canvas) -> None:
    """Fog, rain, snowfall or haze over the finished scene."""
    rng, light = canvas.rng, canvas.light
    kind = rng.choice(["clear", "fog", "rain", "snow", "glare"], p=[0.75, 0.1, 0.05, 0.06, 0.04])
    if kind == "fog":
        drift = canvas.field(2, 3)
        dense = rng.uniform(0.15, 0.72)
        canvas.paint(mix(light.haze, light.sky_low, 0.5), np.clip(dense + 0.14 * drift, 0, 0.92))
    elif kind == "rain":
        for x, y in rng.random((90, 2)):
            canvas.line([(x, y), (x + 0.01, y + 0.05)], light.sky_low * 0.85, 0.003)
    elif kind == "snow":
        for x, y, near in rng.random((130, 3)):
            radius = 0.003 + 0.007 * near**3
            canvas.disc(x, y, radius, radius, mix(light.sky_low, np.full(3, 250.0), 0.6))
    elif kind == "glare":
        distance = np.hypot(canvas.xs - 0.5 - light.sun_x / 2, canvas.ys - rng.uniform(0, 0.4))
        canvas.paint(np.minimum(255, light.sky_low * 1.2), ramp(distance, 0.8, 0.0) * 0.75)


def _frame(canvas: Canvas, image_size: int) -> np.ndarray:
    """Tilt, mirror, crop and focus the drawing: (image_size, image_size, 3) uint8."""
    rng, size = canvas.rng, canvas.size
    angle = rng.normal(0, 0.035)
    zoom = rng.uniform(1.0, 1.2) + 1.1 * abs(angle)
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    slack = max(0.0, 0.5 - (np.cos(angle) + abs(np.sin(angle))) / zoom / 2)
    x, y = (0.5 + rng.uniform(-slack, slack, 2)) * size
    mirror = -1 if rng.random() < 0.5 else 1
    half = size / 2
    matrix = (cos * mirror, -sin, x - (cos * mirror - sin) * half, sin * mirror, cos, y - (sin * mirror + cos) * half)
    image = canvas.image.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    softness = float(rng.choice([0.0, rng.uniform(0, 0.008)], p=[0.75, 0.25]))
    if softness * size > 0.3:
        image = image.filter(ImageFilter.BoxBlur(softness * size))
    return np.asarray(image.resize((image_size, image_size), Image.Resampling.BOX))


def _expose(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exposure, contrast, white balance and sensor noise of the camera; uint8 in, uint8 out."""
    size = pixels.shape[0]
    balance = rng.normal(1, 0.045, 3).astype(np.float32)
    gain, gamma, saturation = rng.uniform(0.85, 1.2), rng.uniform(0.7, 1.15), rng.uniform(0.5, 1.3)
    grain = resized(rng.standard_normal((GRID, GRID), dtype=np.float32), size, size)
    noise = grain * np.float32(rng.choice([0.005, 0.012, 0.028], p=[0.5, 0.35, 0.15]))
    tones = pixels.transpose(2, 0, 1).astype(np.float32) * (balance * np.float32(gain / 255))[:, None, None]
    tones = np.clip(tones, 0, 1) ** np.float32(gamma)
    grey = (tones[0] + tones[1] + tones[2]) / 3
    tones = mix(grey[None], tones, saturation) + noise
    return np.ascontiguousarray(np.clip(tones * 255, 0, 255).astype(np.uint8).transpose(1, 2, 0))
