"""Pictures that are made to mislead, stall or sink whoever decodes them; each is written by code, none is large on disk."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tifffile
from PIL import Image, PngImagePlugin

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "AVIF")


def draw(seed: int, size: tuple[int, int] = (40, 32)) -> Image.Image:
    """Blobs of colour, no two alike."""
    blobs = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(blobs).resize(size, Image.Resampling.BILINEAR)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def make_chunk(kind: bytes, data: bytes, *, crc: int | None = None) -> bytes:
    """A chunk of a PNG; with a crc, a damaged one."""
    return (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) if crc is None else crc)
    )


def add_chunk(png: bytes, chunk: bytes, *, at_end: bool = False) -> bytes:
    """Behind the header of a PNG, or before its end."""
    place = len(png) - 12 if at_end else 33
    return png[:place] + chunk + png[place:]


def add_scans(count: int, size: tuple[int, int] = (64, 64)) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    data = encode(draw(1, size), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + b"\xff\xd9"


def add_segments(count: int) -> bytes:
    """A JPEG with so many empty comments."""
    data = encode(draw(1), "JPEG")
    return data[:2] + b"\xff\xfe\0\2" * count + data[2:]


def add_chunks(count: int) -> bytes:
    """A PNG with so many empty chunks."""
    return add_chunk(encode(draw(1), "PNG"), make_chunk(b"teXt", b"") * count)


def pack_bmp(width: int, height: int, runs: bytes) -> bytes:
    """A BMP of 256 shades of grey, packed in runs."""
    shades = b"".join(bytes((i, i, i, 0)) for i in range(256))
    start = 14 + 40 + len(shades)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 256)
    return b"BM" + struct.pack("<IHHI", start + len(runs), 0, 0, start) + header + shades + runs


def claim_jpeg(width: int, height: int) -> bytes:
    """A small JPEG that says it is large."""
    data = bytearray(encode(draw(1), "JPEG"))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def claim_png(width: int, height: int, *, bits: int, colour: int) -> bytes:
    """A PNG that says it is large, with pixels for its first rows."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    pixels = zlib.compress(bytes(4096))
    return b"\x89PNG\r\n\x1a\n" + make_chunk(b"IHDR", header) + make_chunk(b"IDAT", pixels) + make_chunk(b"IEND", b"")


def claim_tiff(width: int, height: int, dtype: str, samples: int) -> bytes:
    """A TIFF that says it is large: its only strip is a hole."""
    buffer = io.BytesIO()
    photometric = "rgb" if samples == 3 else "minisblack"
    shape = (8, 8, samples) if samples > 1 else (8, 8)
    tifffile.imwrite(buffer, np.zeros(shape, dtype), photometric=photometric, metadata=None)
    data = bytearray(buffer.getvalue())
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        for code, value in ((256, width), (257, height), (278, height)):
            tag = file.pages[0].tags[code]
            kind = "<I" if tag.dtype == 4 else "<H"
            struct.pack_into(kind, data, tag.valueoffset, value)
    return bytes(data)


def list_good() -> Iterator[tuple[str, bytes]]:
    """Odd, and right: all of these have to be used."""
    for kind in FORMATS:
        for seed in range(3):
            yield f"plain-{seed}.{kind.lower()}", encode(draw(seed + len(kind) * 10), kind)
    for mode in ("1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"):
        image = draw(len(mode)).convert("L" if mode in ("I;16", "I", "F") else "RGB")
        if mode == "LAB":
            image = Image.new("LAB", (40, 32), (128, 30, 200))
        elif mode in ("I;16", "I", "F"):
            dtype = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
            image = Image.fromarray(np.asarray(image).astype(dtype) * dtype(4))
        else:
            image = image.convert(mode)
        yield f"mode-{mode.replace(';', '')}.tif", encode(image, "TIFF")
    yield from _list_side_chunks()
    for dtype in ("uint16", "int16", "uint32", "float16", "float32", "float64"):
        for samples in (1, 3):
            buffer = io.BytesIO()
            values = np.random.default_rng(samples).random((32, 40, samples)).squeeze() * 900
            tifffile.imwrite(buffer, values.astype(dtype), photometric="rgb" if samples == 3 else "minisblack")
            yield f"deep-{dtype}-{samples}.tif", buffer.getvalue()
    for size in ((8, 3000), (3000, 8), (8, 8)):
        yield f"long-{size[0]}-{size[1]}.png", encode(draw(3, size), "PNG")
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"turned-{orientation}.jpg", encode(draw(orientation), "JPEG", exif=exif)
    yield "behind.jpg", encode(draw(7), "JPEG") + b"<?php trailing bytes ?>" * 9
    yield "scans-50.jpg", add_scans(40)
    yield "segments-1000.jpg", add_segments(1000)
    yield "chunks-9000.png", add_chunks(9000)
    yield (
        "packed.bmp",
        pack_bmp(40, 32, b"".join(bytes((20, shade, 20, 255 - shade, 0, 0)) for shade in range(0, 128, 4))),
    )


def _list_side_chunks() -> Iterator[tuple[str, bytes]]:
    for number, kind in enumerate(
        (b"pHYs", b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"tIME", b"gAMA", b"cHRM", b"eXIf", b"bKGD")
    ):
        plain = encode(draw(50 + number), "PNG")
        yield f"crc-{kind.decode()}.png", add_chunk(plain, make_chunk(kind, b"\1" * 9, crc=1))
        yield f"end-{kind.decode()}.png", add_chunk(plain, make_chunk(kind, b"\1" * 9, crc=1), at_end=True)
        yield f"junk-{kind.decode()}.png", add_chunk(plain, make_chunk(kind, b"\xff\0" * 30))
    text = PngImagePlugin.PngInfo()
    text.add_text("workflow", "x" * (3 << 20), zip=True)
    yield "text-bomb.png", encode(draw(1), "PNG", pnginfo=text)


def list_bad() -> Iterator[tuple[str, bytes, str]]:
    """Name, bytes, and words that the reason has."""
    for kind in FORMATS:
        whole = encode(draw(len(kind), (200, 160)), kind)
        for part in (0, 0.02, 0.1, 0.3, 0.5, 0.8):
            said = "empty" if part == 0 else "can't be decoded|not an image"
            yield f"cut-{int(part * 100)}.{kind.lower()}", whole[: int(len(whole) * part)], said
    for number in range(20):
        noise = np.random.default_rng(number).bytes(300)
        yield f"noise-{number}.jpg", b"\xff\xd8\xff\xe0" + noise, "can't be decoded"
        yield f"noise-{number}.png", b"\x89PNG\r\n\x1a\n" + noise, "can't be decoded"
    yield from _list_claims()
    for count in (101, 3000):
        yield f"scans-{count}.jpg", add_scans(count), "more than 100 scans"
    yield "segments.jpg", add_segments(10_001), "more than 10,000 segments"
    for name, data, said in (
        ("page.jpg", b"<!DOCTYPE html><html><title>Log in</title></html>", "an HTML page"),
        ("lfs.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git LFS"),
        ("annex.png", b"/annex/objects/MD5E-s9--0.png\n", "git-annex"),
        ("phone.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200), "HEIC"),
        ("video.jpg", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(200), "a video"),
        ("drawing.png", b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        ("paper.jpg", b"%PDF-1.7\n", "a PDF"),
        ("zip.png", b"PK\x03\x04" + bytes(50), "a zip archive"),
        ("answer.jpg", b'{"error": "not found"}', "a JSON text"),
        ("mac.jpg", b"\0\5\x16\7\0\2\0\0Mac OS X", "AppleDouble"),
        ("scan.tif", bytes(128) + b"DICM" + bytes(50), "DICOM"),
        ("zeros.jpg", bytes(5000), "5,000 bytes, all 0"),
        ("text.jpg", b"nothing but a text", "a text instead of the picture, which begins with 'nothing but"),
        ("tiny.png", encode(draw(1, (7, 40)), "PNG"), "too small: 7x40"),
    ):
        yield name, data, said


def _list_claims() -> Iterator[tuple[str, bytes, str]]:
    for size in ((65_500, 1_900), (11_300, 11_300), (65_500, 65_500), (20_000, 1_000)):
        yield f"claims-{size[0]}-{size[1]}.jpg", claim_jpeg(*size), "mostly empty|too large"
    for bits, colour in ((16, 2), (16, 6), (16, 0), (8, 6)):
        yield f"claims-{bits}-{colour}.png", claim_png(14_000, 14_000, bits=bits, colour=colour), "too large"
        yield f"hollow-{bits}-{colour}.png", claim_png(900, 900, bits=bits, colour=colour), "can't be decoded"
    for dtype, samples in (("float32", 1), ("float32", 3), ("float64", 3), ("uint16", 3)):
        yield f"claims-{dtype}-{samples}.tif", claim_tiff(16_000, 16_000, dtype, samples), "too large"
        yield f"hollow-{dtype}-{samples}.tif", claim_tiff(900, 900, dtype, samples), "can't be decoded"
    yield "bomb.webp", encode(Image.new("RGB", (11_300, 11_300)), "WEBP", lossless=True, method=0), "too large"
