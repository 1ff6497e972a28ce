"""Images that the program draws: buildings, forest, glacier, mountain, sea and street, any number at any size."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.config.sources import ReadingSettings, ScenesSettings
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.processes import map_in_order
from pipeline.sources.raw_image import RawImage
from pipeline.sources.reading import AS_FOUND, Record, ignore_reading
from pipeline.sources.scenes.drawing import CLASS_NAMES, draw_scene

_CHUNK = 32  # images per message between processes
_JPEG_QUALITY = 92  # as a camera saves them


def locate(path: str | None, reading: ReadingSettings = AS_FOUND, record: Record = ignore_reading) -> Path | None:  # noqa: ARG001
    """None: nothing outside the program can change."""
    if path is not None:
        raise PipelineError(
            f"data.source is scenes, which takes no data.path; received {path!r}: set data.source=folder?"
        )
    return None


def read_images(
    *,
    path: str | None,  # noqa: ARG001
    sha256: str | None,  # noqa: ARG001
    settings: ScenesSettings,
    reading: ReadingSettings = AS_FOUND,  # noqa: ARG001
    record: Record = ignore_reading,  # noqa: ARG001
) -> Iterator[RawImage]:
    """`images_per_class` JPEGs of each class, drawn on all cores, the same for the same seed and size."""
    numbers = range(settings.images_per_class)
    chunks = [
        (label, settings.image_size, settings.seed, numbers[start : start + _CHUNK])
        for label in CLASS_NAMES
        for start in range(0, len(numbers), _CHUNK)
    ]
    for images in map_in_order(_draw_chunk, chunks):
        yield from images


def _draw_chunk(chunk: tuple[str, int, int, range]) -> list[RawImage]:
    label, image_size, seed, numbers = chunk
    return [
        RawImage(
            name=f"{label}/{label}-{index:06d}.jpg",
            label=label,
            source_split="",
            data=_encode(draw_scene(label, image_size=image_size, seed=seed, index=index)),
        )
        for index in numbers
    ]


def _encode(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()
