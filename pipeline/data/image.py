"""One image: from encoded bytes to RGB pixels, or the reason why it can't be used."""

import hashlib
import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageCms, ImageOps

from pipeline.data.deep_pixels import ValueRange
from pipeline.data.opening import BadImageError, Opened, decode_opened, open_image, say

__all__ = [
    "BadImageError", "ImageFacts", "compute_image_id", "decode_image", "decode_original", "decode_pillow", "inspect_image",
]  # fmt: skip

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


@dataclass(frozen=True)
class ImageFacts:
    """width, height: pixels, as shown (after EXIF orientation). mode: Pillow's name for how the file stores colour, or such as
    float32x3."""

    width: int
    height: int
    mode: str


def compute_image_id(data: bytes) -> str:
    """An image's identity: the SHA-256 of its encoded bytes, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def inspect_image(
    data: bytes,
    *,
    min_side: int,
    max_megapixels: float,
    value_range: ValueRange = "auto",
    refuse_constant: bool = False,
) -> ImageFacts:
    """Decodes an image to its last byte and returns its size. Raises BadImageError if it can't be used.

    min_side: pixels, of the shorter side. max_megapixels: a larger image is refused after reading only its header; one that
    takes more than 8 bytes of memory per pixel counts for more. value_range: see `choose_range`. refuse_constant: whether an
    image that has only one colour after decoding is refused too.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about single files would flood the log
        opened = open_image(data)
        _check_size(opened, min_side, max_megapixels)
        (width, height), mode = opened.size, opened.mode
        image, orientation = decode_opened(opened, _CHECK_SIDE, value_range)
        if refuse_constant or image.mode not in ("RGB", "L") or "transparency" in image.info:
            rgb = _to_rgb(image)  # what fails here would fail in preprocess
            if refuse_constant and (colour := _find_colour(rgb)):
                # A JPEG may have been decoded at a smaller scale, where fine textures have one colour.
                is_scaled = rgb.size != (width, height)
                if not is_scaled or (colour := _find_colour(decode_original(data, value_range=value_range))):
                    raise BadImageError(f"constant: after decoding all pixels are {colour}")
        return ImageFacts(*((height, width) if orientation in (5, 6, 7, 8) else (width, height)), mode)


def _find_colour(image: Image.Image) -> tuple[object, ...] | None:
    """The colour that all pixels have; None if they differ. image: RGB."""
    extrema = [band.getextrema() for band in image.split()]
    return tuple(low for low, _ in extrema) if all(low == high for low, high in extrema) else None


def _check_size(opened: Opened, min_side: int, max_megapixels: float) -> None:
    width, height = opened.size
    count = width * height * opened.weight
    if count > max_megapixels * 1e6:
        weighed = f", which count as {count / 1e6:.0f} million for their memory" if opened.weight > 1 else ""
        raise BadImageError(f"too large: {width}x{height} pixels{weighed}, prune.max_megapixels is {max_megapixels:g}")
    if min(width, height) < min_side:
        raise BadImageError(f"too small: {width}x{height} pixels, prune.min_side is {min_side}")


def decode_image(data: bytes, *, image_size: int, resize: str, value_range: ValueRange = "auto") -> np.ndarray:
    """`decode_pillow` as uint8 array (image_size, image_size, 3)."""
    return np.asarray(decode_pillow(data, image_size=image_size, resize=resize, value_range=value_range))


def decode_pillow(data: bytes, *, image_size: int, resize: str, value_range: ValueRange = "auto") -> Image.Image:
    """An image as models see it: RGB, upright, image_size pixels each side.

    resize: stretch (fills the square, changes the aspect ratio), crop (fills the square, cuts off the longer side) or letterbox
    (keeps everything, adds black bars). value_range: how samples of more than 8 bits become 8, see `choose_range`. Grey,
    palette, CMYK and LAB images become RGB; transparent ones get a white background, but one that is transparent everywhere
    keeps its colours; of an animation the first frame is used. The filter is bilinear with antialiasing: a pixel averages the
    whole area that it covers. Raises BadImageError.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image, orientation = decode_opened(open_image(data), image_size, value_range)
        # Not ImageOps.exif_transpose: it also rewrites the EXIF block, and fails on tags that do not matter here.
        turn = _TURNS.get(orientation)
        try:
            return _fit(_to_rgb(image if turn is None else image.transpose(turn)), image_size, resize)
        except Exception as error:
            raise BadImageError(f"can't be converted to RGB: {say(error)}") from error


def decode_original(data: bytes, *, value_range: ValueRange = "auto") -> Image.Image:
    """The image that `decode_pillow` resizes: RGB, all of its pixels, as stored (neither turned nor scaled). Raises
    BadImageError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = open_image(data)
        return _to_rgb(decode_opened(opened, max(opened.size), value_range)[0])


def _to_rgb(image: Image.Image) -> Image.Image:
    """Raises BadImageError."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    try:
        if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
            return _put_on_background(image)
        if image.mode == "LAB":
            converted = ImageCms.applyTransform(image, _build_lab_transform())
            assert converted is not None
            return converted
        return image.convert("RGB")
    except Exception as error:
        raise BadImageError(f"can't be converted to RGB: {say(error)}") from error


def _put_on_background(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBa", "La") and image.getchannel("a").getextrema() == (0, 0):
        colours = image.split()[:-1]
        return Image.merge("RGB", colours * (3 // len(colours)))
    image = image.convert("LA") if image.mode == "La" else image  # which Pillow converts to nothing else
    image = image if image.mode == "RGBA" else image.convert("RGBA")
    if image.getchannel("A").getextrema() == (0, 0):
        return image.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", image.size, (*_BACKGROUND, 255)), image).convert("RGB")


@cache
def _build_lab_transform() -> ImageCms.ImageCmsTransform:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(lab, srgb, "LAB", "RGB")


def _fit(image: Image.Image, side: int, resize: str) -> Image.Image:
    if image.size == (side, side):
        return image
    if resize == "stretch":
        return image.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
    if resize == "crop":
        return ImageOps.fit(image, (side, side), Image.Resampling.BILINEAR)
    if resize == "letterbox":
        return _letterbox(image, side)
    raise ValueError(f"resize: expected stretch, crop or letterbox, received {resize!r}")


def _letterbox(image: Image.Image, side: int) -> Image.Image:
    """Like ImageOps.pad, but a strip that would round to no pixel at all is a line of one pixel in the middle."""
    if min(image.size) * side > max(image.size) / 2:
        return ImageOps.pad(image, (side, side), Image.Resampling.BILINEAR, color=(0, 0, 0))
    lies = image.width > image.height
    line = image.resize((side, 1) if lies else (1, side), Image.Resampling.BILINEAR)
    square = Image.new("RGB", (side, side))
    middle = round((side - 1) * 0.5)  # where ImageOps.pad would put it
    square.paste(line, (0, middle) if lies else (middle, 0))
    return square
