"""Pictures within the page, as data URIs: it needs no file besides itself."""

import base64
import io

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.data.deep_pixels import ValueRange
from pipeline.data.image import decode_image
from pipeline.data.manifest import hash_uniform
from pipeline.data.raw import read_bytes

_THUMBNAIL = 72  # pixels, side of a picture in a strip
_QUALITY = 85  # of the JPEGs
_STRIP_QUALITY = 75  # of pictures so small that nobody looks for details


def encode_picture(pixels: np.ndarray, quality: int = _QUALITY) -> str:
    """A JPEG as a data URI. pixels: uint8 (h, w, 3), RGB."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def encode_strip(pictures: list[np.ndarray], *, side: int) -> str:
    """Small pictures side by side, as one data URI. pictures: at least one, uint8 (h, w, 3), RGB. side: pixels of each."""
    small = [np.asarray(Image.fromarray(one).resize((side, side), Image.Resampling.BILINEAR)) for one in pictures]
    return encode_picture(np.concatenate(small, axis=1), _STRIP_QUALITY)


def load_picture(row: pd.Series, *, image_size: int, resize: str, value_range: ValueRange = "auto") -> np.ndarray:
    """One image of the manifest, uint8 (image_size, image_size, 3), RGB. row: shard, offset, size. resize, value_range: as in
    `preprocess`."""
    data = read_bytes(row["shard"], row["offset"], row["size"])
    return decode_image(data, image_size=image_size, resize=resize, value_range=value_range)


def draw_class_strip(images: pd.DataFrame, *, count: int, resize: str, value_range: ValueRange = "auto") -> str:
    """`count` images of one class side by side, as a data URI; fewer are filled up with grey. The sample is drawn by a hash of
    the image's content, so it is the same each time."""
    order = np.argsort(hash_uniform(images["image_id"], "sample"), kind="stable")[:count]
    tiles = [load_picture(images.iloc[i], image_size=_THUMBNAIL, resize=resize, value_range=value_range) for i in order]
    tiles += [np.full((_THUMBNAIL, _THUMBNAIL, 3), 128, np.uint8)] * (count - len(tiles))
    return encode_picture(np.concatenate(tiles, axis=1))


def overlay_heat(pixels: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A picture in grey with a heat map over it, from yellow to red: uint8 (h, w, 3).

    pixels: uint8 (h, w, 3), RGB. heat: float (rows, columns), 0 to 1.
    """
    height, width = pixels.shape[:2]
    field = Image.fromarray(heat.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    strength = np.clip(np.asarray(field), 0, 1)[:, :, None]
    grey = np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2) * 0.8
    warm = np.concatenate([np.full_like(strength, 255), 230 * (1 - strength), 20 * (1 - strength)], axis=2)
    return np.round(grey + (warm - grey) * 0.75 * strength).astype(np.uint8)
