"""Archives that are damaged, odd or made with intent, and what reading each must give. Run as a program, it reads them all
under limits of memory and time, and prints what came out, as JSON."""

import bz2
import gzip
import json
import lzma
import resource
import signal
import struct
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.sources import ArchiveSettings
from pipeline.runtime.errors import PipelineError
from pipeline.sources.archive import read_images
from tests.pipeline.sources.packing import (
    CATS_AND_DOGS,
    END_MARK,
    overwrite,
    pax_entry,
    pax_record,
    raw_zip,
    tar_entry,
    tar_of,
    zip_bytes,
)

MEMORY_BYTES = 700 << 20  # address space; the interpreter with its libraries takes 200 MB of it
SECONDS = 20  # per archive
BASE, BASE_TAR = CATS_AND_DOGS, tar_of(CATS_AND_DOGS)
PICTURE = b"picture" * 50
SETTINGS = ArchiveSettings(
    image_size=32,
    drop_classes=[],
    merge_classes={},
    max_images_per_class=None,
    min_images_per_class=None,
    max_unpacked_gb=2.0,
    max_ratio=100.0,
    max_download_gb=1.0,
    min_rate=0.0,
    timeout=5.0,
)


@dataclass(frozen=True)
class Outcome:
    """used, refused: files; ignored: litter. line: part of the error, if the archive is refused as a whole."""

    used: int = 0
    refused: int = 0
    ignored: int = 0
    line: str = ""


Case = tuple[str, Callable[[], bytes], Outcome]  # name of the file, its bytes, what must come out


def _names(*names: bytes) -> list[tuple[bytes, bytes]]:
    return [(name, PICTURE) for name in (*names, b"dog/7.png")]


def _unicode_path(name: bytes) -> bytes:
    field = b"\1" + struct.pack("<L", zlib.crc32(name)) + name.decode("cp932").encode()
    return struct.pack("<HH", 0x7075, len(field)) + field


def _set_method(method: int, only: int | None = None) -> bytes:
    data = zip_bytes(BASE)
    for signature, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        overwrite(data, signature, offset, bytes([method, 0]), only=only)
    return data


def _encrypt(only: int | None = None) -> bytes:
    data = zip_bytes(BASE)
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        overwrite(data, signature, offset, b"\1\0", only=only)
    return data


def _overlap() -> bytes:
    """5,000 names in the directory for one member of 1 MB of zeros: unpacked, 5 GB."""
    packed = zip_bytes({"cat/1.png": bytes(1 << 20)})
    at = packed.index(b"PK\1\2")
    entry, body = bytes(packed[at : packed.index(b"PK\5\6")]), packed[:at]
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 5000, 5000, 5000 * len(entry), len(body), 0)
    return bytes(body) + entry * 5000 + end


def _understate() -> bytes:
    """A member that says 10 bytes, and inflates to 300 MB."""
    data = zip_bytes(BASE | {"cat/3.png": bytes(300 << 20)})
    for signature, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        overwrite(data, signature, offset, struct.pack("<L", 10), only=3)
    return data


def _damage(data: bytes, at: int, by: int = 1) -> bytes:
    changed = bytearray(data)
    changed[at] ^= by
    return bytes(changed)


def _repeat(entry: bytes, times: int) -> bytes:
    """A gzip stream of `times` entries and an end mark, packed piece by piece."""
    packer = zlib.compressobj(1, wbits=31)
    piece = entry * max(1, (1 << 20) // len(entry))
    count = times * len(entry) // len(piece)
    return b"".join(packer.compress(piece) for _ in range(count)) + packer.compress(END_MARK) + packer.flush()


def _declare(kind: bytes, size: int) -> bytes:
    """A header of `size` bytes of zeros before a file, gzipped: a name or a pax header that wants all the memory."""
    packer = zlib.compressobj(1, wbits=31)
    parts = [packer.compress(tar_entry(b"long", kind=kind, size=b"%011o\0" % size))]
    parts += [packer.compress(b"a" * (1 << 20)) for _ in range(size >> 20)]
    return b"".join(parts) + packer.compress(BASE_TAR + END_MARK) + packer.flush()


def _zstd(data: bytes) -> bytes:
    from backports import zstd

    return zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})


def _long_names() -> bytes:
    """500 files, each with a name of 64 KB: 35 MB of headers in 150 KB."""
    name = b"cat/" + b"n" * 65_000
    return _repeat(tar_entry(b"long", name, kind=b"L") + tar_entry(b"cat/1.png", b"x"), 500)


def _link(name: bytes, target: bytes) -> bytes:
    return tar_entry(name, kind=b"1", target=target)


WHOLE = Outcome(used=3)
ZIPS: dict[str, Case] = {
    "UTF-8 without the flag": (
        "a.zip",
        lambda: raw_zip(_names("Käfer/1.png".encode(), "猫/2.png".encode())),
        WHOLE,
    ),
    "code page 932": ("a.zip", lambda: raw_zip(_names("猫/1.png".encode("cp932"))), Outcome(used=2)),
    "name in an extra field": (
        "a.zip",
        lambda: raw_zip(_names("猫/1.png".encode("cp932")), extra=_unicode_path),
        Outcome(used=2),
    ),
    "flag UTF-8, bytes are not": (
        "a.zip",
        lambda: raw_zip(_names(b"k\xe4fer/1.png"), flags=0x800),
        Outcome(line="damaged"),
    ),
    "backslashes": ("a.zip", lambda: raw_zip(_names(b"cat\\1.png", b"cat\\2.png")), WHOLE),
    "folder with a backslash": ("a.zip", lambda: raw_zip([*_names(b"cat\\1.png"), (b"cat\\", b"")]), Outcome(used=2)),
    "two of one name": ("a.zip", lambda: raw_zip(_names(b"cat/1.png", b"cat/1.png")), Outcome(used=2, refused=1)),
    "two of one name by slashes": (
        "a.zip",
        lambda: raw_zip(_names(b"cat/1.png", b"cat\\1.png", b"cat//1.png", b"./cat/1.png")),
        Outcome(used=2, refused=3),
    ),
    "5,000 times the same member": ("a.zip", _overlap, Outcome(line="sources.archive.max_ratio")),
    "more than it says": ("a.zip", _understate, Outcome(used=3, refused=1)),
    "less than it says": (
        "a.zip",
        lambda: overwrite(zip_bytes(BASE), b"PK\1\2", 24, struct.pack("<L", 10**6), only=0),
        Outcome(used=2, refused=1),
    ),
    "says 4 GB": (
        "a.zip",
        lambda: overwrite(zip_bytes(BASE), b"PK\1\2", 24, b"\xfe\xff\xff\xff", only=0),
        Outcome(line="sources.archive.max_unpacked_gb"),
    ),
    "zip64 size of 2 ** 63": (
        "a.zip",
        lambda: overwrite(
            raw_zip(_names(b"cat/1.png"), extra=lambda _: struct.pack("<HHQ", 1, 8, 1 << 63)),
            b"PK\1\2",
            24,
            b"\xff" * 4,
        ),
        Outcome(line="sources.archive.max_unpacked_gb"),
    ),
    "zip64 field cut off": (
        "a.zip",
        lambda: overwrite(
            raw_zip(_names(b"cat/1.png"), extra=lambda _: struct.pack("<HHL", 1, 4, 7)), b"PK\1\2", 24, b"\xff" * 4
        ),
        Outcome(line="damaged"),
    ),
    "bomb": ("a.zip", lambda: zip_bytes({"cat/1.png": bytes(120 << 20)}), Outcome(line="sources.archive.max_ratio")),
    "bytes after the end": ("a.zip", lambda: bytes(zip_bytes(BASE)) + b"more" * 100, WHOLE),
    "bytes before the beginning": ("a.zip", lambda: b"MZ program" * 100 + bytes(zip_bytes(BASE)), WHOLE),
    "two joined": (
        "a.zip",
        lambda: bytes(zip_bytes({"eel/1.png": b"eel"})) + bytes(zip_bytes(BASE)),
        Outcome(line="two or more zips joined"),
    ),
    "second half": ("a.zip.002", lambda: zip_bytes(BASE)[150:], Outcome(line="lacks its beginning")),
    "second half without a number": ("a.zip", lambda: zip_bytes(BASE)[150:], Outcome(line="lacks its beginning")),
    "cut off": ("a.zip", lambda: zip_bytes(BASE)[:-60], Outcome(line="begins as a zip, and its end is missing")),
    "first half": ("a.zip.001", lambda: zip_bytes(BASE)[:99], Outcome(line="`cat a.zip.* > whole.zip`")),
    "first part of a split archive": (
        "a.z01",
        lambda: b"PK\7\x08" + bytes(zip_bytes(BASE)[:99]),
        Outcome(line="`zip -s 0 a.zip --out whole.zip`"),
    ),
    "last part of a split archive": (
        "a.zip",
        lambda: overwrite(zip_bytes(BASE), b"PK\5\6", 4, b"\2\0\2\0"),
        Outcome(line="is the last of 3 parts of a split archive"),
    ),
    "Deflate64": ("a.zip", lambda: _set_method(9), Outcome(line="compressed with Deflate64")),
    "Implode": ("a.zip", lambda: _set_method(6), Outcome(line="compressed with Implode")),
    "one file of an unknown method": ("a.zip", lambda: _set_method(77, only=1), Outcome(used=2, refused=1)),
    "password": ("a.zip", _encrypt, Outcome(line="protected (password required)")),
    "one file with a password": ("a.zip", lambda: _encrypt(only=0), Outcome(used=2, refused=1)),
    "absolute path": ("a.zip", lambda: raw_zip(_names(b"/etc/1.png")), Outcome(line="leads outside")),
    "path upwards": ("a.zip", lambda: raw_zip(_names(b"cat/../../1.png")), Outcome(line="leads outside")),
    "path upwards with backslashes": ("a.zip", lambda: raw_zip(_names(b"..\\1.png")), Outcome(line="leads outside")),
    "path on a drive": ("a.zip", lambda: raw_zip(_names(b"C:\\cat\\1.png")), Outcome(line="leads outside")),
    "no name": ("a.zip", lambda: raw_zip(_names(b"cat/1.png", b"")), Outcome(used=2, refused=1)),
    "name of a dot": ("a.zip", lambda: raw_zip(_names(b"cat/1.png", b".")), Outcome(used=2, refused=1)),
    "NUL in a name": ("a.zip", lambda: raw_zip(_names(b"cat/1.png\0.exe")), Outcome(used=2)),
    "line feed in a name": ("a.zip", lambda: raw_zip(_names(b"cat/1\r\n2.png")), Outcome(used=2)),
    "name of 60 KB": ("a.zip", lambda: raw_zip(_names(b"cat/" + b"n" * 60_000 + b".png")), Outcome(used=2)),
    "file named as a folder": ("a.zip", lambda: raw_zip(_names(b"cat/1.png", b"cat")), Outcome(used=2, refused=1)),
    "version 9.9": (
        "a.zip",
        lambda: overwrite(zip_bytes(BASE), b"PK\1\2", 6, b"\x63\0"),
        Outcome(line="damaged (NotImplementedError: zip file version 9.9)"),
    ),
    "one file too few in the directory": (
        "a.zip",
        lambda: overwrite(zip_bytes(BASE), b"PK\5\6", 8, b"\4\0\4\0"),
        Outcome(line="its directory has 3 files, and should have 4"),
    ),
    "size of the directory": (
        "a.zip",
        lambda: overwrite(zip_bytes(BASE), b"PK\5\6", 12, b"\1"),
        Outcome(line="damaged"),
    ),
    "file beyond the end": (
        "a.zip",
        lambda: overwrite(zip_bytes(BASE), b"PK\1\2", 42, b"\xff\xff\xff\0", only=1),
        Outcome(used=2, refused=1),
    ),
    "two names for one file": (
        "a.zip",
        lambda: overwrite(zip_bytes(BASE), b"PK\1\2", 46, b"cow/1.png", only=0),
        Outcome(used=2, refused=1),
    ),
    "checksum": (
        "a.zip",
        lambda: overwrite(zip_bytes(BASE), b"PK\1\2", 16, b"\0\0", only=2),
        Outcome(used=2, refused=1),
    ),
    "month 0": ("a.zip", lambda: overwrite(zip_bytes(BASE), b"PK\1\2", 14, b"\0\0"), WHOLE),
    "no file": ("a.zip", lambda: zip_bytes({}), Outcome(line="contains no files")),
    "folders only": ("a.zip", lambda: raw_zip([(b"cat/", b""), (b"dog/", b"")]), Outcome(line="contains no files")),
    "zip in a zip": (
        "a.zip",
        lambda: zip_bytes(BASE | {"cat/more.zip": bytes(zip_bytes(BASE))}),
        Outcome(used=3, refused=1),
    ),
    "litter": ("a.zip", lambda: zip_bytes(BASE | {"__MACOSX/cat/._1.png": b"x"}), Outcome(used=3, ignored=1)),
}
TARS: dict[str, Case] = {
    "no end mark": ("a.tar", lambda: BASE_TAR, Outcome(line="it ends before its end mark")),
    "cut off in a header": ("a.tar", lambda: BASE_TAR[:1200], Outcome(line="cut off")),
    "cut off in a file": ("a.tar", lambda: BASE_TAR[: 1024 + 512 + 100], Outcome(line="cut off")),
    "one bit of a header": ("a.tar", lambda: _damage(BASE_TAR + END_MARK, 1030), Outcome(line="a header is damaged")),
    "one bit of the first header": (
        "a.tar",
        lambda: _damage(BASE_TAR + END_MARK, 3),
        Outcome(line="a header is damaged"),
    ),
    "one bit of a packed header": (
        "a.tar.gz",
        lambda: gzip.compress(_damage(BASE_TAR + END_MARK, 1030)),
        Outcome(line="a header is damaged"),
    ),
    "a header of zeros": (
        "a.tar",
        lambda: BASE_TAR[:1024] + bytes(512) + BASE_TAR[1536:] + END_MARK,
        Outcome(line="a header is lost"),
    ),
    "gzip: checksum": (
        "a.tar.gz",
        lambda: _damage(gzip.compress(BASE_TAR + END_MARK), -8),
        Outcome(line="damaged (BadGzipFile: CRC check failed"),
    ),
    "gzip: length": (
        "a.tgz",
        lambda: _damage(gzip.compress(BASE_TAR + END_MARK), -1),
        Outcome(line="damaged (BadGzipFile"),
    ),
    "gzip: without checksum": (
        "a.tgz",
        lambda: gzip.compress(BASE_TAR + END_MARK)[:-8],
        Outcome(line="damaged (EOFError"),
    ),
    "gzip: bytes after the end": ("a.tgz", lambda: gzip.compress(BASE_TAR + bytes(10240)) + b"more" * 99, WHOLE),
    "gzip: zeros after the end": ("a.tgz", lambda: gzip.compress(BASE_TAR + END_MARK) + bytes(999), WHOLE),
    "gzip: two streams, one tar": (
        "a.tgz",
        lambda: gzip.compress(BASE_TAR[:900]) + gzip.compress(BASE_TAR[900:] + END_MARK),
        WHOLE,
    ),
    "gzip: two tars": (
        "a.tgz",
        lambda: gzip.compress(tar_of({"eel/1.png": b"e"}) + END_MARK) + gzip.compress(BASE_TAR + END_MARK),
        Outcome(used=4),
    ),
    "gzip: of a zip": ("a.gz", lambda: gzip.compress(bytes(zip_bytes(BASE))), Outcome(line="there is a zip inside")),
    "gzip: of a text": ("a.gz", lambda: gzip.compress(b"a text" * 99), Outcome(line="something else than a tar")),
    "gzip: of nothing": ("a.gz", lambda: gzip.compress(b""), Outcome(line="something else than a tar")),
    "gzip: bomb": ("a.tgz", lambda: _repeat(bytes(512), 240_000), Outcome(line="sources.archive.max_ratio")),
    "bzip2: one bit": ("a.tbz", lambda: _damage(bz2.compress(BASE_TAR + END_MARK), 60), Outcome(line="damaged (")),
    "bzip2: cut off": ("a.tbz", lambda: bz2.compress(BASE_TAR + END_MARK)[:-9], Outcome(line="damaged (EOFError")),
    "xz: one bit": (
        "a.txz",
        lambda: _damage(lzma.compress(BASE_TAR + END_MARK), 60),
        Outcome(line="damaged (LZMAError"),
    ),
    "xz: cut off": ("a.txz", lambda: lzma.compress(BASE_TAR + END_MARK)[:-9], Outcome(line="damaged (EOFError")),
    "lzma": (
        "a.tar.lzma",
        lambda: lzma.compress(BASE_TAR + END_MARK, format=lzma.FORMAT_ALONE),
        WHOLE,
    ),
    "zstd": ("a.tar.zst", lambda: _zstd(BASE_TAR + END_MARK), WHOLE),
    "zstd: one bit": ("a.tar.zst", lambda: _damage(_zstd(BASE_TAR + END_MARK), -1), Outcome(line="damaged (ZstdError")),
    "zstd: cut off": ("a.tar.zst", lambda: _zstd(BASE_TAR + END_MARK)[:-9], Outcome(line="damaged (EOFError")),
    "two joined": ("a.tar", lambda: tar_of({"eel/1.png": b"e"}) + bytes(10240) + BASE_TAR + END_MARK, Outcome(used=4)),
    "two joined at one block of zeros": (
        "a.tar",
        lambda: tar_of({"eel/1.png": b"e"}) + bytes(512) + BASE_TAR + END_MARK,
        Outcome(used=4),
    ),
    "bytes after the end": ("a.tar", lambda: BASE_TAR + END_MARK + b"more" * 999, WHOLE),
    "hard link": ("a.tar", lambda: BASE_TAR + _link(b"dog/2.png", b"cat/1.png") + END_MARK, Outcome(used=4)),
    "hard link in the folder": (
        "a.tar",
        lambda: BASE_TAR + _link(b"./dog/2.png", b"./cat/1.png") + END_MARK,
        Outcome(used=4),
    ),
    "hard link to a hard link": (
        "a.tar",
        lambda: BASE_TAR + _link(b"dog/2.png", b"cat/1.png") + _link(b"dog/3.png", b"dog/2.png") + END_MARK,
        Outcome(used=5),
    ),
    "hard link to a file outside class folders": (
        "a.tar",
        lambda: tar_entry(b"0.png", b"zero") + BASE_TAR + _link(b"dog/2.png", b"0.png") + END_MARK,
        Outcome(used=4, refused=1),
    ),
    "hard link before its file": (
        "a.tar",
        lambda: _link(b"dog/2.png", b"cat/1.png") + BASE_TAR + END_MARK,
        Outcome(used=3, refused=1),
    ),
    "hard link to itself": ("a.tar", lambda: BASE_TAR + _link(b"dog/2.png", b"dog/2.png") + END_MARK, Outcome(3, 1)),
    "hard link to nothing": ("a.tar", lambda: BASE_TAR + _link(b"dog/2.png", b"cow/2.png") + END_MARK, Outcome(3, 1)),
    "hard link outside": (
        "a.tar",
        lambda: BASE_TAR + _link(b"dog/2.png", b"../cat/1.png") + END_MARK,
        Outcome(line="outside the archive"),
    ),
    "10,000 hard links to one file": (
        "a.tar",
        lambda: (
            tar_entry(b"cat/1.png", bytes(300_000))
            + b"".join(_link(b"cat/%d.png" % i, b"cat/1.png") for i in range(2, 10_000))
            + END_MARK
        ),
        Outcome(line="sources.archive.max_ratio"),
    ),
    "symbolic link": (
        "a.tar",
        lambda: BASE_TAR + tar_entry(b"cat/3.png", kind=b"2", target=b"1.png") + END_MARK,
        Outcome(3, 1),
    ),
    "symbolic link outside": (
        "a.tar",
        lambda: BASE_TAR + tar_entry(b"cat/3.png", kind=b"2", target=b"../../1.png") + END_MARK,
        Outcome(line="outside the archive"),
    ),
    "named pipe": ("a.tar", lambda: BASE_TAR + tar_entry(b"cat/3.png", kind=b"6") + END_MARK, Outcome(3, 1)),
    "device": ("a.tar", lambda: BASE_TAR + tar_entry(b"cat/3.png", kind=b"3") + END_MARK, Outcome(3, 1)),
    "unknown kind": ("a.tar", lambda: BASE_TAR + tar_entry(b"cat/3.png", b"x", kind=b"Z") + END_MARK, Outcome(3, 1)),
    "rest of another volume": (
        "a.tar",
        lambda: BASE_TAR + tar_entry(b"cat/3.png", b"x", kind=b"M") + END_MARK,
        Outcome(3, 1),
    ),
    "label of a volume": ("a.tar", lambda: tar_entry(b"backup", kind=b"V") + BASE_TAR + END_MARK, WHOLE),
    "sparse file": ("a.tar", lambda: BASE_TAR + tar_entry(b"cat/3.png", b"x", kind=b"S") + END_MARK, Outcome(3, 1)),
    "sparse file of pax": (
        "a.tar",
        lambda: (
            BASE_TAR
            + pax_entry(pax_record(b"GNU.sparse.major", b"1"))
            + tar_entry(b"GNUSparseFile.0/3.png", b"x")
            + END_MARK
        ),
        Outcome(3, 1),
    ),
    "no name": ("a.tar", lambda: BASE_TAR + tar_entry(b"", b"x") + END_MARK, Outcome(3, 1)),
    "two without a name": ("a.tar", lambda: BASE_TAR + tar_entry(b"", b"x") * 2 + END_MARK, Outcome(3, 2)),
    "name of a dot": ("a.tar", lambda: BASE_TAR + tar_entry(b".", b"x") + END_MARK, Outcome(3, 1)),
    "name of a slash": ("a.tar", lambda: BASE_TAR + tar_entry(b"./", kind=b"5") + END_MARK, WHOLE),
    "two of one name": ("a.tar", lambda: BASE_TAR + tar_entry(b"cat/1.png", b"new") + END_MARK, Outcome(3, 1)),
    "names in Latin-1": (
        "a.tar",
        lambda: BASE_TAR + tar_entry(b"cat/k\xe4.png", b"1") + tar_entry(b"cat/k\xf6.png", b"2") + END_MARK,
        Outcome(used=5),
    ),
    "backslashes": (
        "a.tar",
        lambda: tar_entry(b"cat\\1.png", b"1") + tar_entry(b"dog\\1.png", b"2") + END_MARK,
        Outcome(2),
    ),
    "negative size": (
        "a.tar",
        lambda: BASE_TAR + tar_entry(b"cat/3.png", size=b"\xff" * 11 + b"\0") + END_MARK,
        Outcome(line="damaged ("),
    ),
    "size of 2 ** 80": (
        "a.tar",
        lambda: BASE_TAR + tar_entry(b"cat/3.png", size=b"\x80\0" + b"\xff" * 10) + END_MARK,
        Outcome(line="archive 'a.tar'"),
    ),
    "size of 8 GB": (
        "a.tar.gz",
        lambda: gzip.compress(BASE_TAR + tar_entry(b"cat/3.png", size=b"77777777777\0") + END_MARK),
        Outcome(line="cut off"),
    ),
    "long name of 64 MB": (
        "a.tgz",
        lambda: _declare(b"L", 64 << 20),
        Outcome(line="has a header of 67,108,864 bytes"),
    ),
    "long target of 64 MB": (
        "a.tgz",
        lambda: _declare(b"K", 64 << 20),
        Outcome(line="has a header of 67,108,864 bytes"),
    ),
    "pax header of 64 MB": (
        "a.tgz",
        lambda: _declare(b"x", 64 << 20),
        Outcome(line="has a header of 67,108,864 bytes"),
    ),
    "global header of 64 MB": (
        "a.tgz",
        lambda: _declare(b"g", 64 << 20),
        Outcome(line="has a header of 67,108,864 bytes"),
    ),
    "long name of 65 KB, 500 times": ("a.tgz", _long_names, Outcome(line="a file name of 65,004 bytes")),
    "long name of negative length": (
        "a.tar",
        lambda: tar_entry(b"long", kind=b"L", size=b"\xff" * 12) + BASE_TAR + END_MARK,
        Outcome(line="archive 'a.tar'"),
    ),
    "long name and no file": (
        "a.tar",
        lambda: BASE_TAR + tar_entry(b"l", b"cat/9.png", kind=b"L") + END_MARK,
        Outcome(line="damaged"),
    ),
    "120 MB of headers and no data": (
        "a.tgz",
        lambda: _repeat(pax_entry(pax_record(b"comment", b"c" * 30_000)) + tar_entry(b"cat/1.png"), 4000),
        Outcome(line="sources.archive.max_ratio"),
    ),
    "pax: length 0": ("a.tar", lambda: pax_entry(b"0 path=a\n") + BASE_TAR + END_MARK, Outcome(line="damaged")),
    "pax: length of 40 digits": (
        "a.tar",
        lambda: pax_entry(b"9" * 40 + b" a=b\n") + BASE_TAR + END_MARK,
        Outcome(line="damaged"),
    ),
    "pax: no length": ("a.tar", lambda: pax_entry(b"path=cat/9.png\n") + BASE_TAR + END_MARK, Outcome(line="damaged")),
    "pax: negative size": (
        "a.tar",
        lambda: pax_entry(pax_record(b"size", b"-512")) + BASE_TAR + END_MARK,
        Outcome(line="damaged"),
    ),
    "pax: size of 19 digits": (
        "a.tar",
        lambda: pax_entry(pax_record(b"size", b"9" * 19)) + BASE_TAR + END_MARK,
        Outcome(line="archive 'a.tar'"),
    ),
    "pax: empty path": ("a.tar", lambda: pax_entry(pax_record(b"path", b"")) + BASE_TAR + END_MARK, WHOLE),
    "pax: path upwards": (
        "a.tar",
        lambda: pax_entry(pax_record(b"path", b"../../9.png")) + BASE_TAR + END_MARK,
        Outcome(line="leads outside"),
    ),
    "pax: 100,000 records": (
        "a.tar",
        lambda: pax_entry(b"6 a=b\n" * 100_000) + BASE_TAR + END_MARK,
        WHOLE,
    ),
    "global header only": (
        "a.tar",
        lambda: pax_entry(pax_record(b"comment", b"x"), kind=b"g") + END_MARK,
        Outcome(line="contains no files"),
    ),
    "no file": ("a.tar", lambda: bytes(10240), Outcome(line="contains no files")),
}
OTHERS: dict[str, Case] = {
    "empty": ("a.zip", lambda: b"", Outcome(line="is empty (0 bytes)")),
    "text": ("a.zip", lambda: b"a text" * 99, Outcome(line="neither a zip nor a tar")),
    "RAR": ("a.rar", lambda: b"Rar!\x1a\x07\1\0" + bytes(99), Outcome(line="is a RAR archive")),
    "7z": ("a.7z", lambda: b"7z\xbc\xaf\x27\x1c" + bytes(99), Outcome(line="is a 7z archive")),
    "LZ4": ("a.tar.lz4", lambda: b"\x04\x22\x4d\x18" + bytes(99), Outcome(line="packed with LZ4")),
    "compress": ("a.tar.Z", lambda: b"\x1f\x9d\x90" + bytes(99), Outcome(line="packed with compress")),
    "web page": ("a.zip", lambda: b"<!DOCTYPE html><title>Login</title>" * 20, Outcome(line="is a web page (HTML)")),
    "web page with a mark": (
        "a.zip",
        lambda: b"\xef\xbb\xbf \r\n<html><body>" * 50,
        Outcome(line="is a web page (HTML)"),
    ),
    "XML": ("a.zip", lambda: b"<?xml version='1.0'?><Error><Code>AccessDenied", Outcome(line="a text in XML or JSON")),
    "JSON": ("a.zip", lambda: b'{"message": "Not Found"}', Outcome(line="a text in XML or JSON")),
    "LFS pointer": (
        "a.zip",
        lambda: b"version https://git-lfs.github.com/spec/v1\n",
        Outcome(line="a Git LFS pointer"),
    ),
    "JPEG": ("a.zip", lambda: b"\xff\xd8\xff\xe0" + bytes(600), Outcome(line="is a JPEG picture")),
    "PDF": ("a.zip", lambda: b"%PDF-1.7" + bytes(600), Outcome(line="is a PDF document")),
    "middle part": ("a.tar.gz.002", lambda: bytes(range(1, 250)) * 9, Outcome(line="`cat a.tar.gz.* > whole`")),
}
CORPUS: dict[str, Case] = {
    f"{kind}: {name}": case
    for kind, cases in (("zip", ZIPS), ("tar", TARS), ("other", OTHERS))
    for name, case in cases.items()
}


def read(file: Path) -> dict[str, Any]:
    """What reading one archive gives: counts, or the line of the error, or the name of another exception; seconds."""
    began, names, used = time.monotonic(), set(), 0
    result: dict[str, Any] = {"line": "", "crash": ""}
    signal.alarm(SECONDS)
    try:
        for image in read_images(path=str(file), sha256=None, settings=SETTINGS):
            assert (image.data is None) == bool(image.reason)
            assert image.name not in names
            names.add(image.name)
            used += image.data is not None
    except PipelineError as error:
        result["line"] = str(error)
    except BaseException as error:
        result["crash"] = repr(error)
    signal.alarm(0)
    return result | {"used": used, "refused": len(names) - used, "seconds": time.monotonic() - began}


def _stop(*_: object) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


def main() -> None:
    folder = Path(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    signal.signal(signal.SIGALRM, _stop)
    print(json.dumps({entry.name: read(next(entry.iterdir())) for entry in sorted(folder.iterdir())}))


if __name__ == "__main__":
    main()
