"""Zips and tars that a test packs, and single fields of them that it overwrites."""

import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

Files = dict[str, bytes]
CATS_AND_DOGS: Files = {"cat/1.png": b"cat one", "cat/2.png": b"cat two" * 100, "dog/1.png": b"dog"}
END_MARK = bytes(1024)


def pack_zip(file: Path, files: Files, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(file, "w", compression) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return file


def zip_bytes(files: Files, compression: int = zipfile.ZIP_DEFLATED) -> bytearray:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression, compresslevel=1) as packed:  # bombs are large
        for name, data in files.items():
            packed.writestr(name, data)
    return bytearray(buffer.getvalue())


def raw_zip(
    members: list[tuple[bytes, bytes]], *, flags: int = 0, extra: Callable[[bytes], bytes] = lambda _: b""
) -> bytearray:
    """A stored zip with names as bytes, which zipfile can't write."""
    body, directory = bytearray(), bytearray()
    for name, data in members:
        more = extra(name)
        fields = struct.pack(
            "<5H3L2H", 20, flags, 0, 0, 33, zlib.crc32(data), len(data), len(data), len(name), len(more)
        )
        directory += b"PK\1\2" + struct.pack("<H", 20) + fields + struct.pack("<3H2L", 0, 0, 0, 0o600 << 16, len(body))
        directory += name + more
        body += b"PK\3\4" + fields + name + more + data
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(members), len(members), len(directory), len(body), 0)
    return body + directory + end


def overwrite(data: bytearray, signature: bytes, offset: int, value: bytes, *, only: int | None = None) -> bytearray:
    """Overwrites a field at `offset` bytes after each signature, or after the one numbered `only`."""
    at, number = data.find(signature), 0
    while at >= 0:
        if only in (None, number):
            data[at + offset : at + offset + len(value)] = value
        at, number = data.find(signature, at + 1), number + 1
    return data


def pack_zip_link(file: Path, files: Files, name: str, target: str) -> Path:
    return add_zip_link(pack_zip(file, files), name, target)


def add_zip_link(file: Path, name: str, target: str) -> Path:
    with zipfile.ZipFile(file, "a") as packed:
        member = zipfile.ZipInfo(name)
        member.create_system = 3
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(member, target)
    return file


def pack_tar(
    file: Path, files: Files, mode: str = "w", links: dict[str, str] | None = None, kind: bytes = tarfile.SYMTYPE
) -> Path:
    with tarfile.open(file, mode) as packed:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            packed.addfile(member, io.BytesIO(data))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            packed.addfile(member)
    return file


def tar_entry(
    name: bytes, data: bytes = b"", *, kind: bytes = b"0", target: bytes = b"", size: bytes | None = None
) -> bytes:
    """One entry of a tar, its checksum right, whatever its fields say. size: the field's 12 bytes, if not that of the data."""
    header = bytearray(512)
    header[:100] = name[:100].ljust(100, b"\0")
    header[100:124] = b"0000644\0" + b"0000000\0" * 2
    header[124:136] = size if size is not None else b"%011o\0" % len(data)
    header[136:148] = b"00000000000\0"
    header[156:157] = kind
    header[157:257] = target[:100].ljust(100, b"\0")
    header[257:265] = b"ustar\x0000"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data + bytes(-len(data) % 512)


def tar_of(files: Files) -> bytes:
    """The entries of files, without an end mark."""
    return b"".join(tar_entry(name.encode(), data) for name, data in files.items())


def pax_entry(records: bytes, kind: bytes = b"x") -> bytes:
    return tar_entry(b"pax", records, kind=kind)


def pax_record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length += 1
    return str(length).encode() + body
