"""Pictures that are copies of others, but not byte by byte: what splits must not divide."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def recompress(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """As JPEG of quality 50."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=50)
    return Image.open(buffer).convert("RGB")


def shrink(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """To half the width and height."""
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)


def crop(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """A window of 90 % of the width and height, anywhere."""
    width, height = round(image.width * 0.9), round(image.height * 0.9)
    left, top = random.integers(0, image.width - width + 1), random.integers(0, image.height - height + 1)
    return image.crop((left, top, left + width, top + height))


def mirror(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """Left to right."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def brighten(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """By 30 % and 10 steps; what exceeds white is lost."""
    return image.point(lambda value: min(255, int(value * 1.3 + 10)))


def change_all(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Cropped, mirrored, brightened, recompressed."""
    return recompress(brighten(mirror(crop(image, random), random), random), random)


CHANGES: dict[str, Change] = {
    "recompressed": recompress,
    "resized": shrink,
    "cropped": crop,
    "mirrored": mirror,
    "brightened": brighten,
    "all but resized": change_all,
}
