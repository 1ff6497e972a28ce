"""The end of a zip, where its directory is: says whether the file is whole, one part of several, or several joined.

zipfile reads the directory, but ignores that parts are missing, and how many files the directory should have. Numbers of bytes
and fields as in PKWARE's APPNOTE.TXT 6.3.10, section 4.3.16.
"""

import re
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.errors import PipelineError

_SIGNATURE = b"PK\5\6"
_RECORD = struct.Struct("<4s4H2LH")
_MAX_COMMENT_BYTES = 65535
_ZIP64_COUNT = _ZIP64_DISK = 0xFFFF
_ZIP64_SIZE = 0xFFFFFFFF
_FIRST_FILE = b"PK\3\4"
_PART = re.compile(r"(?i)\.(z?\d{2,3})$")


@dataclass(frozen=True)
class ZipEnd:
    """archive: the file. num_files: entries that the directory should have, modulo 65,536. bytes_before: how many bytes come
    before the archive's own first byte, or None if a zip64 record holds the numbers. is_zip: whether the file begins as a zip
    does."""

    archive: Path
    num_files: int
    bytes_before: int | None
    is_zip: bool

    def check_members(self, infos: Sequence[zipfile.ZipInfo]) -> None:
        """Raises PipelineError if the beginning, another archive or an entry of the directory is missing."""
        name = self.archive.name
        if any(info.header_offset < 0 for info in infos):
            raise _explain_missing_beginning(self.archive)
        if self.bytes_before and self.is_zip and infos and min(info.header_offset for info in infos) > 0:
            raise PipelineError(
                f"archive {name!r} is two or more zips joined to one file: expected one zip; only the last would be read, so "
                "unpack each of them into one folder and set data.source to folder"
            )
        if self.num_files not in (_ZIP64_COUNT, len(infos) % 65536):
            raise zipfile.BadZipFile(f"its directory has {len(infos)} files, and should have {self.num_files}")


def check_end(archive: Path) -> ZipEnd:
    """Reads the end record. Raises PipelineError if it or the beginning is missing, or if the archive goes on in
    other files."""
    size = archive.stat().st_size
    with archive.open("rb") as file:
        head = file.read(4)
        start = max(0, size - _RECORD.size - _MAX_COMMENT_BYTES)
        file.seek(start)
        tail = file.read()
    at = tail.rfind(_SIGNATURE, 0, max(len(tail) - _RECORD.size + len(_SIGNATURE), 0))
    if at < 0:
        raise PipelineError(_explain_cut_off(archive))
    _, disk, first_disk, _, count, directory_size, directory_start, _ = _RECORD.unpack_from(tail, at)
    if max(disk, first_disk) > 0 and _ZIP64_DISK not in (disk, first_disk):
        raise PipelineError(_explain_last_part(archive, disk + 1))
    is_zip64 = _ZIP64_SIZE in (directory_size, directory_start) or count == _ZIP64_COUNT
    before = None if is_zip64 else start + at - directory_size - directory_start
    if before is not None and before < 0:
        raise _explain_missing_beginning(archive)
    return ZipEnd(archive, count, before, head == _FIRST_FILE)


def _explain_cut_off(archive: Path) -> str:
    if part := _PART.search(archive.name):
        whole = archive.name.removesuffix(part[0])
        joined = f"zip -s 0 {whole}.zip --out whole.zip" if part[1][0] in "zZ" else f"cat {whole}.* > whole.zip"
        return (
            f"archive {archive.name!r} begins as a zip, and its end is missing: it is one part of a split archive; expected "
            f"the whole, so join all parts, for example with `{joined}`"
        )
    return (
        f"archive {archive.name!r} begins as a zip, and its end is missing: it is cut off, as by a broken download, or one "
        "part of a split archive; get it again, or join its parts"
    )


def _explain_last_part(archive: Path, parts: int) -> str:
    return (
        f"archive {archive.name!r} is the last of {parts} parts of a split archive ({archive.stem}.z01 and so on): expected "
        f"the whole; put all parts into one folder, run `zip -s 0 {archive.name} --out whole.zip`, and use whole.zip"
    )


def _explain_missing_beginning(archive: Path) -> PipelineError:
    part = _PART.search(archive.name)
    joined = f", for example with `cat {archive.name.removesuffix(part[0])}.* > whole.zip`" if part else ""
    return PipelineError(
        f"archive {archive.name!r} lacks its beginning: it is the last part of a split archive, or damaged; expected the "
        f"whole, so join all parts{joined}, or get it again"
    )
