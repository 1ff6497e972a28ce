"""How an image's pixels are written in a TFRecord: as they are, as JPEG or as WebP."""

import io
from functools import cache

import numpy as np
from PIL import Image

from pipeline.config.types import Encoding

LOSSLESS = 100  # the quality at which WebP keeps every pixel


def is_lossy(encoding: Encoding, quality: int) -> bool:
    """Whether pixels come back as others."""
    return encoding == "jpeg" or (encoding == "webp" and quality < LOSSLESS)


def encode_pixels(picture: Image.Image, encoding: Encoding, quality: int) -> bytes:
    """picture: RGB. quality: 1 to 100, of JPEG and WebP.

    The same pixels give the same bytes with the same Pillow, whose wheels have their own libjpeg-turbo and libwebp. JPEG keeps
    colour at full resolution, which small images need, and which leaves a decoder no choice of how to enlarge it.
    """
    if encoding == "raw":
        return picture.tobytes()
    file = io.BytesIO()
    if encoding == "jpeg":
        picture.save(file, "JPEG", quality=quality, subsampling="4:4:4", optimize=True)
    elif quality == LOSSLESS:
        # Effort, not quality. More takes ten times as long for a tenth less.
        picture.save(file, "WEBP", lossless=True, quality=20, method=0)
    else:
        picture.save(file, "WEBP", quality=quality, method=2)
    return file.getvalue()


def decode_pixels(data: bytes, encoding: Encoding, image_size: int) -> np.ndarray:
    """uint8 (image_size, image_size, 3), RGB; the same bits as pipeline.data.batches has from TensorFlow's decoders."""
    if encoding == "raw":
        return np.frombuffer(data, np.uint8).reshape(image_size, image_size, 3)
    return np.asarray(decode_picture(data, encoding))


def decode_picture(data: bytes, encoding: Encoding) -> Image.Image:
    """The same, not raw, as Pillow's image. Nothing but the one format is tried."""
    return Image.open(io.BytesIO(data), formats=_list_formats(encoding))


@cache
def _list_formats(encoding: Encoding) -> tuple[str]:
    return (encoding.upper(),)
