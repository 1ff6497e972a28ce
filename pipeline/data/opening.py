"""From encoded bytes to an image of Pillow's in eight bits per sample, or the true reason why that can't be."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pipeline.data.damage import drop_side_chunks, find_damage
from pipeline.data.deep_pixels import (
    DeepPixelsError,
    Header,
    Samples,
    ValueRange,
    read_png,
    read_png_header,
    read_tiff,
    read_tiff_header,
    scale,
    to_eight_bits,
)
from pipeline.data.file_kinds import describe_other, find_format
from pipeline.data.netpbm import read_netpbm, read_netpbm_header

_DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_ORIENTATION = 0x0112  # of EXIF and TIFF
_GREY_BITS = 8  # of Pillow's mode L
_PLAIN_BYTES = 8  # memory per pixel of an RGB image at the peak: Pillow's four, and a converted copy
_DEEP_BYTES = 12
_ALPHA_BYTES = 16  # the image, the background, the result, and that in RGB
_NAMES = {"HEIF": "HEIC"}  # for people
_DECODER_BYTES = {"WEBP": 16, "AVIF": 16, "HEIF": 16}  # these keep frames of their own

# Pillow's own limit is only a warning at first; ours is a parameter, checked before any pixel is decoded.
Image.MAX_IMAGE_PIXELS = None


class BadImageError(Exception):
    """The bytes are not an image that can be used; the message says why."""


@dataclass(frozen=True)
class Opened:
    """An image of which only the header has been read. kind: Pillow's name of the format. image: by Pillow, or None if it can't
    open it. deep: what it is if Pillow can't read all of its bits."""

    data: bytes
    kind: str
    image: Image.Image | None
    deep: Header | None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels, as stored."""
        if self.deep is not None:  # Pillow turns the size of a TIFF by its orientation before it turns the pixels
            return self.deep.width, self.deep.height
        assert self.image is not None
        return self.image.size

    @property
    def mode(self) -> str:
        """Pillow's name for how the file stores colour; or such as float32x3, if Pillow has none."""
        if self.image is not None:
            return self.image.mode
        assert self.deep is not None
        return self.deep.mode

    @property
    def weight(self) -> float:
        """For how many pixels of an ordinary image, of 8 bytes of memory, one of this image counts; 1 or more."""
        if self.deep is not None:
            needed = self.deep.bytes_per_pixel
        elif self.mode in ("RGBA", "LA", "PA", "RGBa", "La", "CMYK") or "transparency" in self.image.info:  # type: ignore[union-attr]
            needed = _ALPHA_BYTES
        else:
            needed = _DEEP_BYTES if self.mode in _DEEP_MODES else _PLAIN_BYTES
        return max(needed, _DECODER_BYTES.get(self.kind, 0)) / _PLAIN_BYTES


def open_image(data: bytes) -> Opened:
    """Reads the header. Raises BadImageError."""
    if not data:
        raise BadImageError("empty: 0 bytes")
    kind = find_format(data)
    if kind is None:
        raise BadImageError(describe_other(data))
    if damage := find_damage(data, kind):
        raise BadImageError(f"can't be decoded: {damage}")
    _check_plugin(kind)
    image = _try_pillow(data, kind)
    if image is None and kind == "PNG":
        data = drop_side_chunks(data)
        image = _try_pillow(data, kind)
    try:
        deep = _find_deep(data, kind, image)
    except DeepPixelsError as error:
        raise BadImageError(f"can't be decoded: {error}") from error
    except Exception:  # damaged tags raise whatever their parser runs into
        deep = None
    if image is None and deep is None:
        raise BadImageError(f"can't be decoded: damaged {_NAMES.get(kind, kind)} header: {_ask_pillow(data, kind)}")
    return Opened(data, kind, image, deep)


def _check_plugin(kind: str) -> None:
    if kind == "HEIF":
        try:
            import pillow_heif
        except ImportError as error:
            raise BadImageError(
                "HEIC, the format of phones: its decoder is not installed; run "
                "`pip install 'image-classification-pipeline[heif]'`, or convert it to JPEG"
            ) from error
        pillow_heif.register_heif_opener(thumbnails=False)


def _try_pillow(data: bytes, kind: str) -> Image.Image | None:
    try:
        image = Image.open(io.BytesIO(data), formats=("JPEG", "MPO") if kind == "JPEG" else (kind,))
    except Exception:  # a damaged header raises whatever its parser runs into
        return None
    key = image.info.get("transparency")
    if kind == "PNG" and image.mode == "L" and isinstance(key, int) and data[24] < _GREY_BITS:
        most = (1 << data[24]) - 1  # Pillow scales grey of 2 and 4 bits to 255, but not the grey that is transparent
        image.info["transparency"] = (key & most) * (255 // most)
    return image


def _ask_pillow(data: bytes, kind: str) -> str:
    """Why a format's own parser refuses these bytes, which `Image.open` keeps to itself."""
    Image.init()
    if kind not in Image.OPEN:
        return f"this Pillow is built without {kind}; install the pillow package that is on PyPI"
    try:
        Image.OPEN[kind][0](io.BytesIO(data), "")
    except Exception as error:
        return say(error)
    return "no known layout"


def _find_deep(data: bytes, kind: str, image: Image.Image | None) -> Header | None:
    if kind == "PNG":
        return read_png_header(data)
    if kind == "PPM" and image is not None:
        return read_netpbm_header(data)
    if kind == "TIFF" and (image is None or _has_deep_tags(image)):
        return read_tiff_header(data)
    return None


def _has_deep_tags(image: Image.Image) -> bool:
    """Whether a TIFF has samples of more than 8 bits, or signed or floating-point ones."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits, formats = tags.get(258, (1,)), tags.get(339, (1,))
    return max(bits) > 8 or any(number not in (1, 4) for number in formats)


def decode_opened(opened: Opened, side: int, value_range: ValueRange) -> tuple[Image.Image, int]:
    """The pixels in 8 bits per sample, as stored, and their orientation, 1 to 8. Raises BadImageError.

    side: pixels; a JPEG is decoded at the smallest scale with at least two pixels, each way, for one of a result of that size.
    """
    if opened.deep is not None:
        try:
            return _decode_deep(opened, value_range)
        except DeepPixelsError as error:
            raise BadImageError(f"can't be decoded: {error}") from error
        except Exception as error:
            if opened.image is None or opened.image.mode not in _DEEP_MODES:
                raise BadImageError(f"can't be decoded: {say(error)}") from error
    image = _load(opened, side)
    orientation = _read_orientation(image)
    if image.mode in _DEEP_MODES:
        try:
            image = _reduce_grey(image, value_range)
        except DeepPixelsError as error:
            raise BadImageError(f"can't be decoded: {error}") from error
    return image, orientation


def _reduce_grey(image: Image.Image, value_range: ValueRange) -> Image.Image:
    values = np.asarray(image)
    if (
        image.format == "PPM" and image.mode == "I"
    ):  # plain PGM: Pillow has scaled it to 65535, whatever its mode can hold
        values = values.astype(np.uint16)
    reduced = Image.fromarray(to_eight_bits(values, value_range))
    key = image.info.get("transparency")
    if isinstance(key, int):  # of a PNG: the value of transparent pixels, which may share their eight bits with others
        reduced.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return reduced


def _decode_deep(opened: Opened, value_range: ValueRange) -> tuple[Image.Image, int]:
    if opened.kind == "PNG":
        values = read_png(opened.data)
        orientation = _read_orientation(_load(opened, 1))
        samples = Samples(values, values.shape[2] in (2, 4), orientation=orientation)
    elif opened.kind == "PPM":
        samples = read_netpbm(opened.data)
    else:
        samples = read_tiff(opened.data)
    pixels = to_eight_bits(samples.colours, value_range, samples.missing, samples.is_inverted)
    if samples.has_alpha:
        pixels = np.concatenate([pixels, scale(samples.values[..., -1:], 0.0, samples.opaque)], axis=2)
    return Image.fromarray(pixels), samples.orientation


def _load(opened: Opened, side: int) -> Image.Image:
    image = opened.image
    assert image is not None
    try:
        image.draft(image.mode, (2 * side, 2 * side))
        image.load()
        return image
    except Exception as error:
        again = _try_pillow(drop_side_chunks(opened.data), "PNG") if opened.kind == "PNG" else None
        try:
            if again is None:
                raise
            again.load()  # PNG: a chunk behind the pixels was damaged
            return again
        except Exception:
            raise BadImageError(f"can't be decoded: {say(error)}") from error


def _read_orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 (upright) also if the EXIF block is damaged, as viewers show such an image."""
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a damaged block raises whatever its parser runs into
        return 1


def say(error: Exception) -> str:
    """What an error says, in one line."""
    if isinstance(error, MemoryError):
        return "out of memory"
    return " ".join(str(error).split()) or type(error).__name__
