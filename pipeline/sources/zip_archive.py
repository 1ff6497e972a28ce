"""Zip archives: their names, the compression methods that zipfile lacks, and sizes that nothing is trusted to state."""

import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from copy import copy
from pathlib import Path
from typing import IO

from pipeline.runtime.errors import PipelineError
from pipeline.sources.member import (
    DAMAGE,
    LINK,
    Bounds,
    Member,
    clean_name,
    decode_names,
    is_disk_error,
    refuse_link,
    refuse_size,
)
from pipeline.sources.zip_end import check_end

_READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_METHODS = {  # 0, 8, 12 and 14 are the usual ones; PKWARE's APPNOTE.TXT 6.3.10, section 4.4.5
    **dict.fromkeys(_READABLE, "Deflate"),
    1: "Shrink",
    6: "Implode",
    9: "Deflate64",  # by Windows' Explorer from 2 GB on; inflate64, its one library, can crash the interpreter
    20: "Zstandard",
    93: "Zstandard",
    94: "MP3",
    95: "XZ",
    96: "JPEG",
    97: "WavPack",
    98: "PPMd",
    99: "AES encryption",
}
_CHUNK_BYTES = 1 << 16
_MAX_TARGET_BYTES = 4096  # of a link: no file system has longer paths
_LOCAL_HEADER_BYTES = 30  # of the header before a member's bytes, without its name (APPNOTE.TXT, section 4.3.7)
_ENCRYPTED, _UTF8 = 0x1, 0x800  # flags
_UNICODE_PATH = 0x7075  # extra field of Info-ZIP: the name in UTF-8 (APPNOTE.TXT, section 4.6.9)
# Windows and DOS write the pages of their command line (OEM) into zips, not those of their windows (ANSI).
_PAGES = "cp932 (Japanese), gbk (Chinese), cp850 (Western) or cp866 (Cyrillic)"
DAMAGED = "damaged in the archive"


class ZipReader:
    """The members of a zip; see ArchiveReader. encoding: the code page of names that are not marked as UTF-8."""

    def __init__(self, archive: Path, *, bounds: Bounds, encoding: str | None) -> None:
        self._bounds, self._encoding = bounds, encoding
        end = check_end(archive)
        self._zip = zipfile.ZipFile(archive)
        self.close = self._zip.close
        end.check_members(self._zip.infolist())
        self._infos: list[zipfile.ZipInfo] = []
        self.folders: list[str] = []

    def list_members(self) -> list[Member]:
        infos = self._zip.infolist()
        for info in infos:
            self._bounds.add(max(info.file_size, 0))
            self._bounds.add_name(len(info.filename))
        members = []
        for info, stored in zip(infos, self._list_names(infos), strict=True):
            name = clean_name(stored, self._bounds.what, backslashes=True)
            if stored.endswith(("/", "\\")) and not info.file_size:
                self.folders.append(name)
                continue
            self._infos.append(info)
            members.append(Member(name, info.file_size, self._refuse(info), info.CRC))
        self._refuse_all(members)
        return members

    def read_members(self, wanted: Iterable[int]) -> Iterator[tuple[int, bytes | None, str]]:
        for index in wanted:
            try:
                data = _read(self._zip, self._infos[index], self._encoding)
            except DAMAGE as error:
                if is_disk_error(error):
                    raise
                yield index, None, DAMAGED
            else:
                yield index, data, ""

    def explain_damage(self) -> str:
        """More to the message that files are damaged: a method that few programs write, or empty."""
        methods = sorted({_name_method(info.compress_type) for info in self._infos} - {"Deflate"})
        return f", compressed with {', '.join(methods)}: pack it again, for example with zip -r" if methods else ""

    def _list_names(self, infos: list[zipfile.ZipInfo]) -> list[str]:
        """Names as the archive says: marked as UTF-8, or in an extra field; the others are decoded together."""
        said = [_say_name(info) for info in infos]
        raw = [info.orig_filename.encode("cp437") for info, name in zip(infos, said, strict=True) if name is None]
        decoded = iter(
            decode_names(raw, encoding=self._encoding, fallback="cp437", what=self._bounds.what, pages=_PAGES)
        )
        names = [next(decoded) if name is None else name for name in said]
        return [name.partition("\0")[0] for name in names]

    def _refuse(self, info: zipfile.ZipInfo) -> str:
        if info.flag_bits & _ENCRYPTED:
            return "protected by a password"
        if info.compress_type not in _READABLE:
            return f"compressed with {_name_method(info.compress_type)}, which is not read"
        if stat.S_ISLNK(info.external_attr >> 16):
            return self._refuse_link(info)
        return refuse_size(info.file_size)

    def _refuse_link(self, info: zipfile.ZipInfo) -> str:
        """The reason not to use a link. Its target is the member's content, and may be damaged as any other."""
        target = b"?"
        if 0 <= info.file_size < _MAX_TARGET_BYTES:
            try:
                target = _read(self._zip, info, self._encoding)
            except DAMAGE as error:
                if is_disk_error(error):
                    raise
                return DAMAGED
        refuse_link(info.filename, target.decode("utf-8", "replace"), self._bounds.what)
        return LINK

    def _refuse_all(self, members: list[Member]) -> None:
        """One line for an archive of which no file can be read, as all share one reason."""
        reasons = {member.reason for member in members}
        if len(reasons) != 1 or not (reason := next(iter(reasons))):
            return
        if reason.startswith("protected"):
            raise PipelineError(
                f"{self._bounds.what} is protected (password required): expected one without; unpack it with its password "
                "and set data.source to folder"
            )
        if reason.startswith("compressed"):
            raise PipelineError(
                f"{self._bounds.what} is {reason}: expected Deflate, bzip2, LZMA or no compression; unpack it and pack it "
                f"again, for example with zip -r"
            )


def _say_name(info: zipfile.ZipInfo) -> str | None:
    """The name of a member if the archive says how it is encoded, or None."""
    if info.flag_bits & _UTF8:
        return info.orig_filename
    extra = info.extra
    while len(extra) >= 4:
        kind, size = int.from_bytes(extra[:2], "little"), int.from_bytes(extra[2:4], "little")
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        stored = info.orig_filename.encode("cp437")
        if kind == _UNICODE_PATH and field[:1] == b"\1" and field[1:5] == zlib.crc32(stored).to_bytes(4, "little"):
            return field[5:].decode("utf-8", "replace")
    return None


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, encoding: str | None) -> bytes:
    """A member's bytes: never more than it says, and exactly as many."""
    pieces, size = [], 0
    with _open(archive, info, encoding) as stream:
        while size <= info.file_size and (piece := stream.read(_CHUNK_BYTES)):
            pieces.append(piece)
            size += len(piece)
    data = b"".join(pieces)
    if size != info.file_size or zlib.crc32(data) != info.CRC:
        raise zipfile.BadZipFile(f"{info.filename!r} does not have the size or the checksum that the archive states")
    return data


def _open(archive: zipfile.ZipFile, info: zipfile.ZipInfo, encoding: str | None) -> IO[bytes]:
    """A member's stream, also if the header before its bytes spells its name otherwise than the directory, which zipfile takes
    for damage. encoding: as of ZipReader."""
    try:
        return archive.open(info)
    except zipfile.BadZipFile:
        if (name := _find_spelling(archive, info, encoding)) is None:
            raise
        spelled = copy(info)
        spelled.orig_filename = name  # what zipfile compares; it takes all else from the directory
        return archive.open(spelled)


def _find_spelling(archive: zipfile.ZipFile, info: zipfile.ZipInfo, encoding: str | None) -> str | None:
    """The name in the header before a member's bytes, as zipfile reads it; None if it is not the directory's name, written with
    the other slash or in another encoding."""
    assert archive.fp is not None
    archive.fp.seek(info.header_offset)
    header = archive.fp.read(_LOCAL_HEADER_BYTES)
    stored = archive.fp.read(int.from_bytes(header[26:28], "little"))
    is_utf8 = int.from_bytes(header[6:8], "little") & _UTF8
    names = [_decode(stored, known) for known in ("utf-8", "cp437", encoding) if known]
    expected = {info.orig_filename.replace("\\", "/")}
    if encoding and not info.flag_bits & _UTF8:
        expected.add(_decode(info.orig_filename.encode("cp437"), encoding).replace("\\", "/"))
    is_same = any(name.replace("\\", "/") in expected for name in names)
    return _decode(stored, "utf-8" if is_utf8 else "cp437") if is_same else None


def _decode(name: bytes, encoding: str) -> str:
    return name.decode(encoding, "replace")


def _name_method(number: int) -> str:
    return _METHODS.get(number, f"method {number}")
