"""What kind of archive a file is, by its bytes: never by its name. What can't be read is named."""

import re
import tarfile
import zipfile
from pathlib import Path

from pipeline.runtime.errors import PipelineError
from pipeline.sources.member import ArchiveReader, Bounds
from pipeline.sources.tar_archive import TarReader
from pipeline.sources.tar_packing import name_packing, open_unpacked
from pipeline.sources.zip_archive import ZipReader

_ZIP_HEADS = (b"PK\3\4", b"PK\5\6", b"PK\7\x08", b"PK00PK")  # a file, no file, the mark of split archives (two kinds)
_UNPACK = "unpack it and set data.source to folder, or pack it again as .zip or .tar.gz"
# What else people have, by its first bytes: a name, and what to do.
_OTHER_FORMATS = {
    b"Rar!\x1a\x07": ("a RAR archive", f"only `unrar` reads it: {_UNPACK}"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", f"run `7z x` on it: {_UNPACK}"),
    b"\x04\x22\x4d\x18": ("packed with LZ4", f"run `lz4 -d` on it: {_UNPACK}"),
    b"\x1f\x9d": ("packed with compress (.Z)", f"run `uncompress` on it: {_UNPACK}"),
    b"LZIP": ("packed with lzip", f"run `lzip -d` on it: {_UNPACK}"),
    b"MSCF": ("a Microsoft cabinet", _UNPACK),
    b"!<arch>": ("an ar archive or Debian package", _UNPACK),
    b"070701": ("a cpio archive", _UNPACK),
    b"\x89HDF": ("an HDF5 file", "export its pictures to class folders"),
    b"PAR1": ("a Parquet file", "export its pictures to class folders"),
    b"\x93NUMPY": ("a NumPy array", "export its pictures to class folders"),
    b"%PDF": ("a PDF document", "export its pictures to class folders"),
    b"\xff\xd8\xff": ("a JPEG picture", "put pictures into class folders and set data.source to folder"),
    b"\x89PNG": ("a PNG picture", "put pictures into class folders and set data.source to folder"),
    b"version https://git-lfs": ("a Git LFS pointer, not the file itself", "run `git lfs pull` where it comes from"),
}
_PAGE = re.compile(rb"(?i)(<!doctype html|<html|<head|<body|<script)")
_DOCUMENT = re.compile(rb"(?i)(<\?xml|[{]\s*[\"'])")
_PART = re.compile(r"(?i)\.(z?\d{2,3}|r\d\d|part\w{1,4}|[a-z]{2}\b(?<=\.a[a-z]))$")


def open_archive(archive: Path, *, bounds: Bounds, encoding: str | None) -> ArchiveReader:
    """A reader for a local archive. encoding: the code page of names that do not say theirs, or None.

    Raises PipelineError if it is none, or of a kind that is not read, and the errors in member.DAMAGE if it is damaged.
    """
    with archive.open("rb") as file:
        head = file.read(tarfile.BLOCKSIZE)
    if not head:
        raise PipelineError(f"archive {archive.name!r} is empty (0 bytes): expected a zip or tar file; get it again")
    if head.startswith(_ZIP_HEADS):
        return ZipReader(archive, bounds=bounds, encoding=encoding)
    if name_packing(head):
        _check_packed(archive, name_packing(head))
        return TarReader(archive, bounds=bounds, encoding=encoding)
    if _is_tar(head):
        return TarReader(archive, bounds=bounds, encoding=encoding)
    if named := _name_other(head):
        raise PipelineError(f"archive {archive.name!r} is {named[0]}: expected a zip or tar file; {named[1]}")
    if zipfile.is_zipfile(archive):  # behind other bytes, as in a self-extracting one
        return ZipReader(archive, bounds=bounds, encoding=encoding)
    raise PipelineError(
        f"archive {archive.name!r} is neither a zip nor a tar file: expected one of them; received a file that begins with "
        f"{head[:16]!r}{suggest_parts(archive)}"
    )


def suggest_parts(archive: Path) -> str:
    """More to a message, if the file has the name of one part of several."""
    if part := _PART.search(archive.name):
        return f"; it may be one part of a split archive: join all, as `cat {archive.name.removesuffix(part[0])}.* > whole`"
    return ""


def _is_tar(head: bytes) -> bool:
    """Whether a first block is a header, even a damaged one, or the end mark of an empty tar."""
    if len(head) < tarfile.BLOCKSIZE:
        return False
    if head[257:262] == b"ustar" or not head.strip(b"\0"):
        return True
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _check_packed(archive: Path, packing: str | None) -> None:
    with open_unpacked(archive) as stream:
        inside = stream.read(tarfile.BLOCKSIZE)
    if not _is_tar(inside):
        is_zip = inside.startswith(_ZIP_HEADS)
        advice = "unpack it once: there is a zip inside" if is_zip else _UNPACK
        raise PipelineError(f"archive {archive.name!r} is a {packing} file of something else than a tar; {advice}")


def _name_other(head: bytes) -> tuple[str, str] | None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _PAGE.match(text):
        return (
            "a web page (HTML), not an archive",
            "a server may send one that asks for a login or a click: give the address of the file itself, and for a login set "
            "IMAGE_PIPELINE_USER and IMAGE_PIPELINE_PASSWORD",
        )
    if _DOCUMENT.match(text):
        return "a text in XML or JSON, such as a server's error message", "open it to read what it says"
    return next((named for magic, named in _OTHER_FORMATS.items() if head.startswith(magic)), None)
