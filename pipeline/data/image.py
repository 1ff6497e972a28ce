"""One image: from encoded bytes to RGB pixels, or the reason why it can't be used."""

import hashlib
import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

# Only these formats are tried: Pillow knows dozens, some with a history of security holes.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "MPO")
_WIDE_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_BACKGROUND = (255, 255, 255)  # shows through transparent images, as on a web page
_TURNS = {  # EXIF orientation to the operation that turns the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_CHECK_SIDE = 64  # pixels; at this size a JPEG is checked to its last byte, but decoded faster

# Pillow's own limit is only a warning at first; ours is a parameter, checked before any pixel is decoded.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class ImageFacts:
    """width, height: pixels, as shown (after EXIF orientation). mode: Pillow's name for how the file stores colour."""

    width: int
    height: int
    mode: str


class BadImageError(Exception):
    """The bytes are not an image that can be used; the message says why."""


def compute_image_id(data: bytes) -> str:
    """An image's identity: the SHA-256 of its encoded bytes, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def inspect_image(data: bytes, *, min_side: int, max_megapixels: float) -> ImageFacts:
    """Decodes an image to its last byte and returns its size. Raises BadImageError if it can't be used.

    min_side: pixels, of the shorter side. max_megapixels: a larger image is refused after reading only its header.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about single files would flood the log
        image = _open(data)
        width, height = image.size
        if width * height > max_megapixels * 1e6:
            raise BadImageError(f"too large: {width}x{height} pixels, prune.max_megapixels is {max_megapixels:g}")
        if min(width, height) < min_side:
            raise BadImageError(f"too small: {width}x{height} pixels, prune.min_side is {min_side}")
        mode = image.mode
        turned = _read_orientation(_load(image, _CHECK_SIDE)) in (5, 6, 7, 8)
        return ImageFacts(*((height, width) if turned else (width, height)), mode)


def decode_image(data: bytes, *, image_size: int, resize: str) -> np.ndarray:
    """`decode_pillow` as uint8 array (image_size, image_size, 3)."""
    return np.asarray(decode_pillow(data, image_size=image_size, resize=resize))


def decode_pillow(data: bytes, *, image_size: int, resize: str) -> Image.Image:
    """An image as models see it: RGB, upright, image_size pixels each side.

    resize: stretch (fills the square, changes the aspect ratio), crop (fills the square, cuts off the longer side) or letterbox
    (keeps everything, adds black bars). Grey, palette, CMYK and 16-bit images become RGB; transparent ones get a white
    background; of an animation the first frame is used. The filter is bilinear with antialiasing: a pixel averages the whole
    area that it covers. Raises BadImageError.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = _load(_open(data), image_size)
        try:
            return _fit(_to_rgb(_turn_upright(image)), image_size, resize)
        except Exception as error:
            raise BadImageError(f"can't be converted to RGB: {error}") from error


def _open(data: bytes) -> Image.Image:
    if not data:
        raise BadImageError("empty: 0 bytes")
    try:
        return Image.open(io.BytesIO(data), formats=_FORMATS)
    except Exception as error:  # a damaged header raises whatever its parser runs into
        raise BadImageError("not an image: no known format in its first bytes") from error


def _load(image: Image.Image, side: int) -> Image.Image:
    """Decodes the pixels; a JPEG at the smallest scale with at least two pixels, each way, for one of the result."""
    try:
        image.draft(image.mode, (2 * side, 2 * side))
        image.load()
    except Exception as error:
        raise BadImageError(f"can't be decoded: {str(error) or type(error).__name__}") from error
    return image


def _read_orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 (upright) also if the EXIF block is damaged, as viewers show such an image."""
    try:
        return image.getexif().get(0x0112, 1)
    except Exception:  # a damaged block raises whatever its parser runs into
        return 1


def _turn_upright(image: Image.Image) -> Image.Image:
    # Not ImageOps.exif_transpose: it also rewrites the EXIF block, and fails on tags that do not matter here.
    method = _TURNS.get(_read_orientation(image))
    return image if method is None else image.transpose(method)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in _WIDE_MODES:
        return Image.fromarray(_to_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (*_BACKGROUND, 255)), image).convert("RGB")
    return image.convert("RGB")


def _to_eight_bits(values: np.ndarray) -> np.ndarray:
    """uint16, int32 or float32 (h, w) to uint8. Files do not define white: 65535 for uint16, else inferred from the values."""
    top = float(values.max())
    if values.dtype == np.uint16 or top > 255:
        white = max(top, 65535.0)
    else:
        white = 1.0 if values.dtype.kind == "f" and top <= 1 else 255.0
    return np.clip(np.nan_to_num(values.astype(np.float64)) * (255 / white) + 0.5, 0, 255).astype(np.uint8)


def _fit(image: Image.Image, side: int, resize: str) -> Image.Image:
    if image.size == (side, side):
        return image
    if resize == "stretch":
        return image.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
    if resize == "crop":
        return ImageOps.fit(image, (side, side), Image.Resampling.BILINEAR)
    if resize == "letterbox":
        return ImageOps.pad(image, (side, side), Image.Resampling.BILINEAR, color=(0, 0, 0))
    raise ValueError(f"resize: expected stretch, crop or letterbox, received {resize!r}")
