"""Pictures deeper than eight bits per sample, of cameras, microscopes and scanners: their samples, and these in eight bits.

Pillow cuts 16-bit colour to its upper byte and reads no float colour: PNG goes through imagecodecs, TIFF through tifffile.
"""

import io
import struct
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

ValueRange: TypeAlias = Literal["auto", "full", "minmax"]
_ROWS = 1 << 20  # samples converted at a time, so that memory is bounded
_SAMPLE = 1 << 22  # samples from which percentiles are computed, at most
_OUTLIERS = 0.001  # fraction of samples at either end which `auto` may clip
_OUTLYING_BITS = 3  # bits that outliers need more than the rest
_SHADES = 16  # of 256; with fewer, a picture is nearly of one colour
_SENTINELS = (-9999.0, -99999.0, -32768.0, -32767.0)  # written for pixels without data, if far below all others
_HUGE = 1e30
_NO_DATA = 42113  # GDAL's tag: the value of a pixel that was not measured
_PNG_BANDS = {0: 1, 2: 3, 4: 2, 6: 4}  # by the colour type
_PREMULTIPLIED = 1  # TIFF's ExtraSamples: colours are multiplied by this alpha
_ALPHA = (_PREMULTIPLIED, 2)


class DeepPixelsError(Exception):
    """The picture can't be read; the message says why."""


@dataclass(frozen=True)
class Header:
    """What is known before pixels are decoded. samples: per pixel. dtype: of one sample."""

    width: int
    height: int
    samples: int
    dtype: np.dtype

    @property
    def bytes_per_pixel(self) -> int:
        """Memory at the peak: samples, a copy of them, eight bits each, and Pillow's own four bytes."""
        return 2 * self.samples * self.dtype.itemsize + self.samples + 4

    @property
    def mode(self) -> str:
        """As in `uint16x3`."""
        return f"{self.dtype.name}x{self.samples}"


def read_png_header(data: bytes) -> Header | None:
    """Of a PNG of 16 bits with colour or alpha; None for one that Pillow reads in full."""
    samples = {2: 3, 4: 2, 6: 4}.get(data[25] if len(data) > 25 and data[24] == 16 else -1)
    if samples is None:
        return None
    width, height = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
    return Header(width, height, samples, np.dtype(np.uint16))


def read_tiff_header(data: bytes) -> Header:
    """Of a TIFF's first page. Raises DeepPixelsError for what is no picture."""
    with _open_tiff(data) as tiff:
        page = tiff.pages[0]
        if page.imagedepth > 1:
            raise DeepPixelsError(f"a volume of {page.imagedepth} slices: expected a picture")
        if page.dtype is None or np.dtype(page.dtype).kind not in "uif":
            raise DeepPixelsError(
                f"samples of {page.bitspersample} bits and format {page.sampleformat}: expected whole or floating-point numbers"
            )
        return Header(page.imagewidth, page.imagelength, page.samplesperpixel, np.dtype(page.dtype))


@dataclass(frozen=True)
class Samples:
    """Decoded. values: (height, width) or (height, width, 2 to 4), of any number type. has_alpha: whether the last band is
    alpha. missing: bool, of the shape of the colours, true where nothing was measured; None if all is. orientation: as in EXIF.
    is_inverted: whether 0 is white."""

    values: np.ndarray
    has_alpha: bool
    missing: np.ndarray | None = None
    orientation: int = 1
    is_inverted: bool = False

    @property
    def colours(self) -> np.ndarray:
        """Values without alpha."""
        return self.values[..., :-1] if self.has_alpha else self.values

    @property
    def opaque(self) -> float:
        """Alpha of what hides all behind it."""
        return _find_opaque(self.values.dtype)


def is_deep(data: bytes) -> bool:
    """Whether a TIFF's first page has other samples than unsigned ones of 8 bits or fewer, or more than four of them."""
    with _open_tiff(data) as tiff:
        page = tiff.pages[0]
        bits = page.bitspersample
        return not isinstance(bits, int) or bits > 8 or page.sampleformat not in (1, 4) or page.samplesperpixel > 4


def _open_tiff(data: bytes) -> Any:
    import logging

    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # its warnings about single files would flood the log
    return tifffile.TiffFile(io.BytesIO(data))


def read_png(data: bytes) -> np.ndarray:
    """uint16 (height, width, 2, 3 or 4)."""
    width, height, _, colour = struct.unpack(">IIBB", data[16:26])
    bands = _PNG_BANDS.get(colour, 1)
    try:
        return _decode_png(data, height, width, bands)
    except ValueError:  # another shape: a colour that is transparent makes one band more
        return _decode_png(data, height, width, bands + 1)


def _decode_png(data: bytes, height: int, width: int, bands: int) -> np.ndarray:
    """Into an array of our own, as imagecodecs 2026.3 never frees the one of a picture that it can't decode: a few hollow ones
    would take all the memory that a process may have."""
    from imagecodecs import png_decode

    out = np.empty((height, width, bands) if bands > 1 else (height, width), np.uint16)
    try:
        return png_decode(data, out=out)
    except Exception:
        out.resize(0, refcheck=False)  # though it keeps a reference
        raise


def read_tiff(data: bytes) -> Samples:
    """The first page. Pixels without data, by GDAL's tag, are missing. Raises DeepPixelsError for bands that can't be told to
    be colours."""
    with _open_tiff(data) as tiff:
        page = tiff.pages[0]
        bands = _choose_bands(page)
        values = page.asarray()
        if values.ndim == 3 and page.planarconfig == 2:
            values = np.moveaxis(values, 0, -1)
        if values.ndim == 3:
            values = values[..., bands] if len(bands) > 1 else values[..., 0]
        has_alpha = len(bands) in (2, 4)
        missing = _find_missing(values[..., :-1] if has_alpha else values, page)
        if has_alpha and int(page.extrasamples[bands[-1] - page.samplesperpixel]) == _PREMULTIPLIED:
            _divide_by_alpha(values)
        orientation = int(page.tags[274].value) if 274 in page.tags else 1
        return Samples(values, has_alpha, missing, orientation, page.photometric.name == "MINISWHITE")


def _choose_bands(page: Any) -> list[int]:
    """Those that are shown: grey, or red, green and blue; and alpha, which the tag ExtraSamples names."""
    count, photometric, extra = page.samplesperpixel, page.photometric.name, page.extrasamples or ()
    if photometric not in ("RGB", "MINISBLACK", "MINISWHITE"):
        raise DeepPixelsError(f"a TIFF of {page.bitspersample} bits in {photometric}: expected grey or RGB")
    # GDAL says MINISBLACK of colours too, and a fourth band of satellites is infrared.
    colours = 3 if photometric == "RGB" or (photometric == "MINISBLACK" and count in (3, 4)) else 1
    alpha = [count - len(extra) + i for i, kind in enumerate(extra) if int(kind) in _ALPHA][:1]
    if count > colours + len(alpha) and photometric != "RGB" and count != 4:
        raise DeepPixelsError(f"{count} bands: expected 1, 3 or 4; save those that are red, green and blue")
    return [*range(colours), *alpha]


def _find_missing(colours: np.ndarray, page: Any) -> np.ndarray | None:
    try:  # not page.nodata, which is 0 for a number that the type can't hold, such as -9999 of unsigned ones
        missing = colours == float(str(page.tags[_NO_DATA].value).replace(",", "."))
    except (KeyError, ValueError):  # no tag, or no number in it
        return None
    return missing if missing.any() else None


def _find_opaque(dtype: np.dtype) -> float:
    return float(np.iinfo(dtype).max) if dtype.kind in "ui" else 1.0


def _divide_by_alpha(values: np.ndarray) -> None:
    """Colours as they were before they were multiplied by alpha, in place; where alpha is 0 they stay. Whole numbers are the
    smallest that give the product: rounding, large where alpha is small, must not seem to need a bit more."""
    opaque, is_whole = _find_opaque(values.dtype), values.dtype.kind in "ui"
    for row in values:
        alpha = np.minimum(row[:, -1:].astype(np.float64), opaque)
        factor = np.divide(opaque, alpha, out=np.ones_like(alpha), where=alpha > 0)
        if is_whole:
            row[:, :-1] = np.ceil((row[:, :-1] - 0.5) * factor).clip(np.iinfo(values.dtype).min, opaque)
        else:
            row[:, :-1] = row[:, :-1] * factor


def choose_range(values: np.ndarray, value_range: ValueRange) -> tuple[float, float]:
    """(black, white): the values that become 0 and 255. values: of any number type and shape; NaN, infinities and numbers
    from 1e30 on do not count.

    full: what the number type can hold; 0 and 1 for floats. minmax: the smallest and the largest value. auto: whole numbers
    from 0 on have as many bits as their maximum needs, 8 at least (3000 has 12: white is 4095); if 0.1 % of them alone need
    three bits more than the rest, such as hot pixels, the rest decides. Floats within 0 to 1, or 0 to 255, that reach the upper
    half have these ranges. All others, such as Hounsfield units, metres and counts, and whole numbers that would be left with
    fewer than 16 of 256 shades, such as those of thermal cameras, go from the smallest to the largest value, but for 0.1 % of
    the values at either end. Numbers such as -9999 that stand for missing data do not count if they are far below all others.
    """
    kind = values.dtype.kind
    if value_range == "full":
        limits = np.iinfo(values.dtype) if kind in "ui" else None
        return (float(limits.min), float(limits.max)) if limits else (0.0, 1.0)
    low, high = _find_extremes(values)
    if value_range == "auto" and low in _SENTINELS:
        rest = values[values > low]
        bottom, top = _find_extremes(rest) if rest.size else (low, high)
        if bottom - low > top - bottom:
            return choose_range(rest, "auto")
    if value_range == "auto" and low >= 0:
        if kind in "ui":
            return _find_whole_range(values, high)
        white = next((white for white in (1.0, 255.0) if white / 2 < high <= white), None)
        if white:
            return 0.0, white
    if value_range == "auto":
        inner = _find_inner(values)
        low, high = inner if inner[0] < inner[1] else (low, high)
    return (low, high) if low < high else (min(low, 0.0), max(high, 1.0))


def _find_whole_range(values: np.ndarray, high: float) -> tuple[float, float]:
    """Of whole numbers from 0 on."""
    bits = max(8, int(high).bit_length())
    if bits > 8:
        first, last = _find_inner(values)
        inner = max(8, int(last).bit_length())
        bits = inner if bits - inner >= _OUTLYING_BITS and last > first else bits
        if first < last and (last - first) * 256 < _SHADES * (1 << bits):
            return (first, last)
    return 0.0, float((1 << bits) - 1)


def _blocks(values: np.ndarray) -> list[np.ndarray]:
    flat = values.reshape(-1)
    return [flat[i : i + _ROWS] for i in range(0, len(flat), _ROWS)]


def _find_extremes(values: np.ndarray) -> tuple[float, float]:
    """The smallest and the largest measured value; 0 and 0 if there is none."""
    if values.dtype.kind in "ui":
        return float(values.min()), float(values.max())
    measured = [block[_is_measured(block)] for block in _blocks(values)]
    lows = [float(part.min()) for part in measured if part.size]
    highs = [float(part.max()) for part in measured if part.size]
    return min(lows, default=0.0), max(highs, default=0.0)


def _is_measured(values: np.ndarray) -> np.ndarray:
    """Neither NaN nor infinite, nor as huge as the numbers that stand for pixels without data, such as -3.4e38."""
    if values.dtype.kind != "f":
        return np.ones(values.shape, bool)
    return np.abs(values) <= min(_HUGE, float(np.finfo(values.dtype).max))  # false for NaN


def _find_inner(values: np.ndarray) -> tuple[float, float]:
    """The values below and above which are 0.1 % of the measured ones, one at the least; of four million at the most."""
    flat = values.reshape(-1)
    flat = flat[:: len(flat) // _SAMPLE + 1]
    flat = flat[_is_measured(flat)]
    if len(flat) < 3:
        return 0.0, 0.0
    first = max(1, int(len(flat) * _OUTLIERS))
    ordered = np.partition(flat, (first, len(flat) - 1 - first))
    return float(ordered[first]), float(ordered[len(flat) - 1 - first])


def to_eight_bits(
    values: np.ndarray, value_range: ValueRange, missing: np.ndarray | None = None, is_inverted: bool = False
) -> np.ndarray:
    """uint8 of the same shape; see `choose_range`. NaN and −∞ are black, +∞ is white. missing: of the same shape, true for
    values that do not count and become black; None if there is none. is_inverted: see `scale`. Raises DeepPixelsError if no
    value is measured."""
    measured = values if missing is None else values[~missing]
    if not any(_is_measured(block).any() for block in _blocks(measured)):
        raise DeepPixelsError("no pixel has a value: all are NaN, infinite, or marked as missing")
    result = scale(values, *choose_range(measured, value_range), is_inverted)
    if missing is not None:
        result[missing] = 0
    return result


def scale(values: np.ndarray, black: float, white: float, is_inverted: bool = False) -> np.ndarray:
    """uint8 of the same shape: black becomes 0 and white 255, or the other way round if is_inverted, values beyond them are
    clipped, NaN is 0."""
    result = np.empty(values.shape, np.uint8)
    for source, target in zip(_blocks(values), _blocks(result), strict=True):
        scaled = source.astype(np.float64)
        np.nan_to_num(scaled, copy=False, nan=white if is_inverted else black, posinf=white, neginf=black)
        np.clip(scaled, black, white, out=scaled)
        target[:] = (scaled - black) * (255 / (white - black)) + 0.5
    return 255 - result if is_inverted else result
