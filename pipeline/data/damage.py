"""What decoders don't say of damaged or hostile files: found in the encoded bytes, before any pixel is decoded."""

import re
import struct
import zlib

_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # not a stuffed 0, not a restart (D0 to D7), not a fill byte
_SOS, _EOI = 0xDA, 0xD9
_HUFFMAN_FRAMES = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended and progressive
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MAX_SCANS = 100  # of a JPEG: cameras write 1, web sites about 10. Decoding takes time in proportion
_UNWRITTEN = 64  # zeros at the end of a JPEG without an end mark: more than any that codes of pixels are padded with
_MAX_SEGMENTS = 10_000  # of a JPEG, scans and all else: an editor's profiles and drafts are a thousand at most

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset({b"tRNS", b"eXIf"})  # side chunks that change what is seen: transparency and orientation


def find_damage(data: bytes, kind: str) -> str:
    """Why a JPEG or WebP must not be decoded; empty if nothing speaks against it. kind: Pillow's name of the format."""
    if kind == "JPEG":
        return _check_jpeg(data)
    if kind == "WEBP":
        said = int.from_bytes(data[4:8], "little") + 8
        if len(data) < said:
            return f"cut off: a WebP of {said:,} bytes, of which {len(data):,} are here"
    return ""


def _check_jpeg(data: bytes) -> str:
    """Too many scans or segments, fewer bytes than its pixels need at the very least, or an end that was never written.

    A Huffman code has one bit or more, and each block of 8 × 8 pixels has at least one code, so that a grey image of w × h
    pixels takes w · h / 512 bytes (ITU-T T.81, F.1.2.1 and G.1.2.1). Decoders fill what is missing with grey, without an error.
    """
    segments, scans, frame, width, height, position = 0, 0, 0, 0, 0, 2
    while (found := _MARKER.search(data, position)) is not None and found[1][0] != _EOI:
        marker, start = found[1][0], found.end()
        length = int.from_bytes(data[start : start + 2], "big")
        if marker in _FRAMES and not frame:
            frame, (height, width) = marker, struct.unpack(">HH", data[start + 3 : start + 7].ljust(4, b"\0"))
        segments += 1
        scans += marker == _SOS
        if segments > _MAX_SEGMENTS:
            return f"more than {_MAX_SEGMENTS:,} segments in one JPEG: reading it could take minutes"
        if scans > _MAX_SCANS:
            return f"more than {_MAX_SCANS} scans in one JPEG: decoding it could take minutes"
        position = start + max(length, 2)
    least = -(-width // 8) * -(-height // 8) // 8
    if frame in _HUFFMAN_FRAMES and len(data) < least:
        return f"mostly empty: a JPEG of {width}x{height} pixels has {least:,} bytes or more, received {len(data):,}"
    if found is None and (zeros := _count_unwritten(data)):
        return f"cut off: a JPEG without its end mark, of whose {len(data):,} bytes the last {zeros:,} are 0"
    return ""


def _count_unwritten(data: bytes) -> int:
    """How many zeros stand where a copy that had reserved its space broke off, which decode as a flat area; 0 if none."""
    written = data.rstrip(b"\0")
    zeros = len(data) - len(written)
    return zeros if zeros >= _UNWRITTEN and not written.endswith(bytes((0xFF, _EOI))) else 0


def has_many_chunks(data: bytes, most: int) -> bool:
    """Whether a PNG has more than so many chunks, which take time to read whatever is in them."""
    position = len(_PNG_SIGNATURE)
    for _ in range(most):
        if position >= len(data):
            return False
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return position < len(data)


def drop_side_chunks(data: bytes) -> bytes:
    """A PNG without the chunks that its pixels do not need: text, profiles, times, resolution, animation, whatever their
    state. Browsers show an image whose side chunks are damaged; Pillow refuses it."""
    parts, position = [_PNG_SIGNATURE], len(_PNG_SIGNATURE)
    while position + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        chunk = data[position : position + 12 + length]
        position += 12 + length
        optional = bool(kind[0] & 0x20)  # PNG specification, 5.4: lower case means ancillary
        if not optional or (kind in _PNG_KEPT and _is_intact(chunk)):
            parts.append(chunk)
        if kind == b"IEND":
            break
    return b"".join(parts)


def _is_intact(chunk: bytes) -> bool:
    return len(chunk) >= 12 and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
