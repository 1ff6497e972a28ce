"""The compression around a tar: its first bytes name it, and a stream gives what is inside."""

import bz2
import gzip
import lzma
from pathlib import Path
from typing import BinaryIO, cast

from pipeline.runtime.errors import PipelineError

PACKINGS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x5d\0\0": "lzma", b"\x28\xb5\x2f\xfd": "zstd"}


def name_packing(head: bytes) -> str | None:
    """The compression of a file that begins with `head`, or None."""
    return next((name for magic, name in PACKINGS.items() if head.startswith(magic)), None)


def is_plain(archive: Path) -> bool:
    """Whether a file is not packed, so that its parts can be skipped."""
    with archive.open("rb") as file:
        return name_packing(file.read(8)) is None


def open_unpacked(archive: Path) -> BinaryIO:
    """A stream of the unpacked bytes. At its end it raises EOFError if the file is cut off, and checks the checksum of formats
    that have one."""
    with archive.open("rb") as file:
        packing = name_packing(file.read(8))
    match packing:
        case "gzip":
            return cast(BinaryIO, gzip.open(archive))
        case "bzip2":
            return cast(BinaryIO, bz2.open(archive))
        case "xz" | "lzma":
            return cast(BinaryIO, lzma.open(archive))
        case "zstd":
            return _open_zstd(archive)
    return archive.open("rb")


def _open_zstd(archive: Path) -> BinaryIO:
    try:
        from backports import zstd
    except ImportError as error:
        raise PipelineError(
            f"archive {archive.name!r} is packed with zstd, which needs backports.zstd: run "
            "`.venv/bin/pip install -e '.[archives]'`, or unpack it and pack it as .tar.gz"
        ) from error
    # A larger window than 128 MB (2 ** 27) is memory that the archive, not the user, would ask for.
    return cast(BinaryIO, zstd.open(archive, "rb", options={zstd.DecompressionParameter.window_log_max: 27}))
