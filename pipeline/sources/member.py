"""One file of an archive, its name, and the bounds that reading an archive keeps to, whatever its format."""

import errno
import logging
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import PurePosixPath
from typing import Protocol

from pipeline.runtime.errors import PipelineError
from pipeline.sources.formats import MAX_IMAGE_BYTES

logger = logging.getLogger(__name__)

try:
    from backports.zstd import ZstdError
except ImportError:  # the extra `archives` is not installed: then nothing raises it
    _EXTRA: tuple[type[Exception], ...] = ()
else:
    _EXTRA = (ZstdError,)

# What the standard library raises for bytes that are no archive, or a damaged one. ValueError and OverflowError come from
# numbers that nothing real has; OSError also stands for errors of the disk, see `is_disk_error`.
DAMAGE: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
    zlib.error,
    LZMAError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    *_EXTRA,
)
_SMALL_BYTES = 100 << 20  # below, no ratio is suspicious: small archives of uniform images compress well
_MAX_NAMES_BYTES = 256 << 20  # of all names together; a million ordinary ones take 60 MB
LINK = "a link in the archive: not followed"  # the reason not to use one
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive; folders are not listed.

    name: path with forward slashes, as text that every table can hold; empty if the archive gives none. size: bytes that
    reading it gives. reason: why it can't be used, or empty. checksum: CRC-32 of its bytes, if the archive has one.
    """

    name: str
    size: int
    reason: str = ""
    checksum: int | None = None


class ArchiveReader(Protocol):
    """What every format provides. folders: paths of its folders, once the members are listed."""

    folders: list[str]

    def list_members(self) -> list[Member]:
        """Every file, in the archive's order, those that can't be used too. Refuses damaged and unsafe archives."""

    def read_members(self, wanted: Iterable[int]) -> Iterator[tuple[int, bytes | None, str]]:
        """(index, bytes or None, reason for None) for the members at the indices `wanted`, each once, in any order."""

    def close(self) -> None: ...


class Bounds:
    """Counts what reading an archive costs, headers and copies included. Raises PipelineError beyond a bound."""

    def __init__(self, *, what: str, packed_bytes: int, max_unpacked_gb: float, max_ratio: float) -> None:
        self.what = what
        self._packed = max(packed_bytes, 1)
        self._max_unpacked_gb, self._max_ratio = max_unpacked_gb, max_ratio
        self._limit = min(max_unpacked_gb * 1e9, max(max_ratio * self._packed, _SMALL_BYTES))
        self._unpacked = self._names = 0

    def add(self, size: int) -> None:
        """Counts `size` more unpacked bytes."""
        self._unpacked += size
        if self._unpacked > self._limit:
            raise PipelineError(self._explain())

    def add_name(self, size: int) -> None:
        """Counts one more name of `size` bytes, which stays in memory."""
        self._names += size
        if self._names > _MAX_NAMES_BYTES:
            raise PipelineError(
                f"{self.what} has more than {_MAX_NAMES_BYTES >> 20} MB of file names: expected a data set; do not trust it"
            )

    def _explain(self) -> str:
        if self._unpacked > self._max_unpacked_gb * 1e9:
            return (
                f"{self.what} unpacks to {self._unpacked / 1e9:.1f} GB or more: expected at most "
                f"sources.archive.max_unpacked_gb = {self._max_unpacked_gb}; raise it if you trust the archive"
            )
        return (
            f"{self.what} unpacks to {self._unpacked / self._packed:.0f} times its size or more: expected at most "
            f"sources.archive.max_ratio = {self._max_ratio}; raise it if you trust the archive"
        )


def is_disk_error(error: Exception) -> bool:
    """Whether an exception of DAMAGE comes from the disk. EINVAL comes from an archive that points outside its own bytes."""
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def decode_names(
    stored: list[bytes], *, encoding: str | None, fallback: str | None, what: str, pages: str
) -> list[str]:
    """Names of files as text, one-to-one.

    stored: the names' bytes, of which the archive does not say what they mean. encoding: their code page, or None: UTF-8 where
    all of them can be read so, else `fallback`, with a warning. fallback: a code page, or None: bytes that are not UTF-8
    are kept as surrogates, which `clean_name` writes as \\xe4. pages: code pages that are usual in the format, for the warning.
    Raises PipelineError if a name can't be read by `encoding`.
    """
    if encoding is not None:
        return [_decode(name, encoding, what) for name in stored]
    try:
        return [name.decode("utf-8") for name in stored]
    except UnicodeDecodeError:
        pass
    names = [name.decode(fallback) if fallback else name.decode("utf-8", "surrogateescape") for name in stored]
    number = next(number for number, name in enumerate(stored) if not _is_utf8(name))
    example, read = stored[number], escape(names[number])
    logger.warning(
        "%s has file names that are not UTF-8, and does not say what they are: %r is read as %r; if that is wrong, set "
        "data.encoding to their code page, such as %s",
        what,
        example,
        read,
        pages,
    )
    return names


def _decode(name: bytes, encoding: str, what: str) -> str:
    try:
        return name.decode(encoding)
    except UnicodeDecodeError as error:
        raise PipelineError(
            f"{what}: the file name {name!r} can't be read as data.encoding = {encoding}: expected the code page of the "
            "machine that made the archive; set another, or null"
        ) from error


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def clean_name(name: str, what: str, *, backslashes: bool) -> str:
    """A stored name as the path of a member, as text that every table can hold: no `.` parts; may be empty.

    backslashes: whether they separate folders, as on Windows. Raises PipelineError if the path leads out of the archive.
    """
    slashed = name.replace("\\", "/")
    if slashed.startswith("/") or ".." in slashed.split("/") or slashed[1:3] == ":/":
        raise PipelineError(f"{what} contains the path {name!r}, which leads outside it: do not trust it")
    return "/".join(part for part in escape(slashed if backslashes else name).split("/") if part not in ("", "."))


def escape(name: str) -> str:
    """Bytes that were not UTF-8, and control characters, as \\xe4 and \\x0a."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _CONTROLS.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def refuse_link(name: str, target: str, what: str, *, from_root: bool = False) -> None:
    """Raises PipelineError for a link that leads out of the archive; one inside is harmless, as it is not followed.

    from_root: the target is a path inside the archive, as hard links have it, and not relative to the link.
    """
    depth = 0
    for part in (PurePosixPath("" if from_root else name).parent / target).parts:
        depth += -1 if part == ".." else part != "."
        if depth < 0 or target.startswith("/"):
            raise PipelineError(f"{what} has a link {name!r} to {target!r}, outside the archive: do not trust it")


def refuse_size(size: int) -> str:
    """The reason not to read a file of this many bytes, or empty."""
    return f"too large: {size / 1e6:.0f} MB" if size > MAX_IMAGE_BYTES else ""
