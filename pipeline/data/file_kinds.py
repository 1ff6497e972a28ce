"""What a file is, by its first bytes: an image format that is decoded, or something else that is named as what it is."""

from pipeline.sources.formats import IMAGE_EXTENSIONS

# Pillow's names. Only these are tried: Pillow knows dozens of formats, some with a history of security holes.
_BEGINNINGS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    *((b"P" + kind, "PPM") for kind in (b"1", b"2", b"3", b"4", b"5", b"6", b"f")),
)
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_RAW = (b"FUJIFILM", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb")  # Fujifilm, Olympus (three), Panasonic, Sigma
_OTHERS = (
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer instead of the picture: run `git lfs pull`"),
    (b"/annex/objects/", "a git-annex pointer instead of the picture: run `git annex get`"),
    (b"%PDF-", "a PDF document"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL, which is not read: convert it to PNG"),
    (b"\xff\x0a", "JPEG XL, which is not read: convert it to PNG"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000, which is not read: convert it to PNG"),
    (b"\xff\x4f\xff\x51", "JPEG 2000, which is not read: convert it to PNG"),
    (b"8BPS", "a Photoshop document, which is not read: export it as PNG"),
    (b"\x00\x05\x16\x07", "metadata of macOS (AppleDouble) instead of the picture: delete it"),
    (b"\x93NUMPY", "a NumPy array, which is not read: save it as PNG or TIFF"),
    (b"\x89HDF", "an HDF5 file, which is not read: save its pictures as PNG or TIFF"),
    (b"PK\x03\x04", "a zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\x1f\x8b", "a gzip file"),
    *((beginning, "a camera's raw file, which is not read: develop it to JPEG or TIFF") for beginning in _RAW),
    (b"PF", "a PFM in colour, which is not read: save it as TIFF"),
    (b"P7", "a PAM, which is not read: convert it to PNG"),
    (b"v/1\x01", "OpenEXR, which is not read: save it as TIFF"),
    (b"#?RADIANCE", "Radiance HDR, which is not read: save it as TIFF"),
    *(
        (b"\x0a" + version + b"\x01", "PCX, which is not read: convert it to PNG")
        for version in (b"\0", b"\2", b"\3", b"\5")
    ),
    (b"icns", "an icon (ICNS), which is not read: convert it to PNG"),
    (b"DDS ", "a DDS texture, which is not read: convert it to PNG"),
    (b"\x01\xda", "an SGI picture, which is not read: convert it to PNG"),
    (b"qoif", "QOI, which is not read: convert it to PNG"),
    (b"%!PS", "a PostScript document, which is not read: convert it to PNG"),
    (b"gimp xcf", "a GIMP document, which is not read: export it as PNG"),
    (b"\x00\x00\x01\x00", "an icon (ICO), which is not read: convert it to PNG"),
)
_LEAST_TEXT = 14  # bytes, as of `404: Not Found`
_QUOTED = 40  # characters of a text that a reason shows
_HEAD = 1024  # bytes in which an HTML or SVG page shows itself, below comments and an XML declaration


def find_format(data: bytes) -> str | None:
    """Pillow's name of the format of an encoded image (HEIF for HEIC), or None if it is none that is decoded."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[8:11] == b"CR\2" and data.startswith(b"II*"):
        return None  # Canon's raw files begin as TIFF
    if data[4:8] == b"ftyp":
        brands = _read_brands(data)
        return "AVIF" if brands & _AVIF_BRANDS else "HEIF" if brands & _HEIC_BRANDS else None
    return next((name for beginning, name in _BEGINNINGS if data.startswith(beginning)), None)


def _read_brands(data: bytes) -> set[bytes]:
    """The major and the compatible brands of the `ftyp` box of ISO/IEC 14496-12."""
    end = min(int.from_bytes(data[:4], "big"), len(data), 256)
    return {data[8:12], *(data[i : i + 4] for i in range(16, end, 4))}


def describe_other(data: bytes) -> str:
    """Why bytes that no format of `find_format` begins with can't be used."""
    kind = next((words for beginning, words in _OTHERS if data.startswith(beginning)), "")
    if data.startswith(b"II*") or data[4:12] == b"ftypcrx ":  # Canon: CR2 and CR3
        kind = "a camera's raw file, which is not read: develop it to JPEG or TIFF"
    head = data[:_HEAD].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not kind and head.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<meta")):
        kind = "an HTML page instead of the picture: perhaps a login or an error page of the site that it came from"
    elif not kind and b"<svg" in head:
        kind = "an SVG drawing, which is not read: convert it to PNG"
    elif not kind and head.startswith((b"<?xml", b"<")):
        kind = "an XML or HTML text instead of the picture"
    elif not kind and head.startswith((b"{", b"[")):
        kind = "a JSON text instead of the picture"
    elif not kind and data[4:8] == b"ftyp":
        kind = "a video (MP4 or QuickTime)"
    elif not kind and data[128:132] == b"DICM":
        kind = "a DICOM file, which is not read: export it as PNG or TIFF"
    elif not kind and len(data) > 16 and not any(data):
        kind = f"{len(data):,} bytes, all 0: a download or a copy that was cut off"
    elif not kind and (text := _read_text(data)):
        kind = f"a text instead of the picture, which begins with {text!r}"
    return f"not an image: {kind or 'no known format in its first bytes'}"


def _read_text(data: bytes) -> str:
    """The beginning of what is nothing but text in ASCII, or empty; a few letters say nothing."""
    text = data[:_HEAD]
    is_text = len(text) >= _LEAST_TEXT and text.isascii() and all(byte >= 32 or byte in b"\t\n\r" for byte in text)
    return " ".join(text.decode().split())[:_QUOTED] if is_text else ""


def is_picture_name(name: str) -> bool:
    """Whether a file's name has an extension of a picture, whatever is in it."""
    return any(name.lower().endswith(extension) for extension in IMAGE_EXTENSIONS)
