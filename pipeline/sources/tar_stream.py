"""The entries of a tar, one after another, from a stream that may only be readable forwards.

The standard library's tarfile parses single headers for us, and their checksums. Its loop over them is not used: it takes a
damaged header for the end of the archive, reads long names and extended headers of any size into memory, and never reaches the
checksum at the end of a packed stream. Formats: v7, ustar, GNU and pax, as POSIX.1-2008 and GNU tar's manual describe them.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from gzip import BadGzipFile
from pathlib import Path
from typing import Self

from pipeline.runtime.errors import PipelineError
from pipeline.sources.member import Bounds
from pipeline.sources.tar_packing import is_plain, open_unpacked

BLOCK = tarfile.BLOCKSIZE
_END = bytes(BLOCK)
_CHUNK_BYTES = 1 << 20
_MAX_HEADER_BYTES = 1 << 24  # of one long name or extended header: a few hundred, but macOS puts whole icons into some
_MAX_NAME_BYTES = 1 << 15  # no file system has longer paths
_WITH_PREFIX = tarfile.POSIX_MAGIC[:6]  # the only magic number whose headers have the first part of a long name
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_LONG_NAME, _LONG_TARGET = tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK
_EXTENDED = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_WITHOUT_DATA = (
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.FIFOTYPE,
    tarfile.DIRTYPE,
    b"V",  # GNU: the label of a volume
)


@dataclass(slots=True)
class Entry:
    """One entry. name, target: bytes as stored; target is what a link points to. kind: a type flag of tarfile, REGTYPE for
    every regular file. size: bytes of its content in the archive."""

    name: bytes
    kind: bytes
    size: int
    target: bytes
    is_sparse: bool = False

    @property
    def is_regular(self) -> bool:
        return self.kind == tarfile.REGTYPE and not self.is_sparse


class TarStream:
    """Iterates over the entries; `read` gives the content of the current one, which is otherwise skipped.

    trailing_bytes: after the last entry, how many bytes that are no tar follow its end mark. num_ends: end marks met.
    Raises tarfile.ReadError where bytes are damaged or missing, and what packed streams raise for the same.
    """

    def __init__(self, archive: Path, bounds: Bounds | None = None) -> None:
        self._stream = open_unpacked(archive)
        self._file_size = archive.stat().st_size if is_plain(archive) else None  # bytes, if they can be skipped
        self._name, self._bounds = archive.name, bounds
        self._unread = 0  # of the current entry: its content and the padding to a whole block
        self._content = 0
        self.trailing_bytes = self.num_ends = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def __iter__(self) -> Iterator[Entry]:
        has_entries = False
        while (block := self._next_header(has_entries)) is not None:
            entry = self._read_entry(block)
            has_entries = True
            if entry is None:
                continue
            yield entry
            self._skip(self._unread)

    def read(self) -> bytes:
        """The content of the current entry, once."""
        content, self._unread = self._read_exactly(self._content), self._unread - self._content
        return content

    def _next_header(self, has_entries: bool) -> bytes | None:
        """The next header, across end marks, as of tars that were joined; None at the end of the stream."""
        block = self._read_block()
        if block != _END:
            if len(block) < BLOCK:
                raise tarfile.ReadError("it is cut off: it ends before its end mark")
            return block
        zeros = 1
        try:
            while (block := self._read_block()) == _END:
                zeros += 1
        except BadGzipFile as error:
            if "Not a gzipped file" not in str(error):
                raise
            self.trailing_bytes, block = 1, b""  # how many can't be known: the stream can't be unpacked further
        self.num_ends += 1
        if not block.strip(b"\0"):
            return None
        if has_entries and len(block) == BLOCK and _is_header(block):
            return block
        if zeros < 2:
            raise tarfile.ReadError("a header is lost: zeros stand in its place")
        self.trailing_bytes = len(block) + self._skip_rest()
        return None

    def _read_entry(self, block: bytes) -> Entry | None:
        """The entry that begins with `block`, or None for one that is no file, such as a global extended header."""
        long: dict[bytes, bytes] = {}
        extended: dict[str, bytes] = {}
        while True:
            header = _parse_header(block)
            if header.type not in (_LONG_NAME, _LONG_TARGET, *_EXTENDED, tarfile.XGLTYPE):
                return self._make_entry(header, block, long, extended)
            content = self._read_header_content(header.size)
            if header.type in _EXTENDED:
                extended |= _parse_extended(content)
            elif header.type != tarfile.XGLTYPE:
                long[header.type] = content.partition(b"\0")[0]
            elif not long and not extended:
                self._content = self._unread = 0
                return None
            block = self._read_exactly(BLOCK)

    def _make_entry(
        self, header: tarfile.TarInfo, block: bytes, long: dict[bytes, bytes], extended: dict[str, bytes]
    ) -> Entry:
        # GNU tar keeps the name of a sparse file in a field of its own: its path has a folder GNUSparseFile.<process> in it.
        name = extended.get("GNU.sparse.name") or extended.get("path") or long.get(_LONG_NAME) or _encode(header.name)
        target = extended.get("linkpath") or long.get(_LONG_TARGET) or _encode(header.linkname)
        if max(len(name), len(target)) > _MAX_NAME_BYTES:
            raise PipelineError(
                f"archive {self._name!r} has a file name of {max(len(name), len(target)):,} bytes: expected at most "
                f"{_MAX_NAME_BYTES:,}; do not trust it"
            )
        size = _parse_number(extended["size"]) if "size" in extended else header.size
        is_sparse = header.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse.") for key in extended)
        if header.type == tarfile.GNUTYPE_SPARSE:
            self._skip_sparse_map(block)
        if size < 0:
            raise tarfile.ReadError(f"a file has {size} bytes")
        self._content = 0 if header.type in _WITHOUT_DATA else size
        self._unread = -(-self._content // BLOCK) * BLOCK
        kind = tarfile.REGTYPE if header.type in _REGULAR else header.type
        return Entry(name, kind, self._content, target, is_sparse)

    def _skip_sparse_map(self, block: bytes) -> None:
        """GNU's old sparse files: one flag in the header, and one in each block of the map, say that another block follows."""
        more = block[482]
        while more:
            more = self._read_exactly(BLOCK)[504]

    def _read_header_content(self, size: int) -> bytes:
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise PipelineError(
                f"archive {self._name!r} has a header of {size:,} bytes: expected at most "
                f"{_MAX_HEADER_BYTES:,}; do not trust it"
            )
        return self._read_exactly(-(-size // BLOCK) * BLOCK)[:size]

    def _count(self, size: int) -> None:
        if self._bounds is not None:
            self._bounds.add(size)

    def _read_block(self) -> bytes:
        """One block; less at the end of the stream."""
        block = self._stream.read(BLOCK)
        self._count(len(block))
        return block

    def _read_exactly(self, size: int) -> bytes:
        data = b"".join(self._read_chunks(size))
        if len(data) < size:
            raise tarfile.ReadError("it is cut off: it ends within a file")
        return data

    def _skip(self, size: int) -> None:
        if self._file_size is not None:
            self._count(size)
            if self._stream.tell() + size > self._file_size:
                raise tarfile.ReadError("it is cut off: it ends within a file")
            self._stream.seek(size, 1)
        elif sum(len(chunk) for chunk in self._read_chunks(size)) < size:
            raise tarfile.ReadError("it is cut off: it ends within a file")

    def _skip_rest(self) -> int:
        return sum(len(chunk) for chunk in self._read_chunks(1 << 62))

    def _read_chunks(self, size: int) -> Iterator[bytes]:
        """Up to `size` bytes in bounded pieces, so that a size in a header never decides how much memory is taken."""
        while size and (chunk := self._stream.read(min(size, _CHUNK_BYTES))):
            self._count(len(chunk))
            size -= len(chunk)
            yield chunk


def _is_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _parse_header(block: bytes) -> tarfile.TarInfo:
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise tarfile.ReadError(f"a header is damaged: {error}") from error
    if block[257:263] != _WITH_PREFIX:
        # tarfile puts the prefix before the name in any format. GNU tar has other fields there, such as times of access.
        header.name = block[:100].partition(b"\0")[0].decode("utf-8", "surrogateescape")
    return header


def _parse_extended(content: bytes) -> dict[str, bytes]:
    """The records `LENGTH KEY=VALUE\\n` of a pax header; LENGTH counts itself."""
    records, position = {}, 0
    while position < len(content) and content[position]:
        length, space, _ = content[position : position + 20].partition(b" ")
        record = content[position + len(length) + 1 : position + _parse_number(length)]
        key, equals, value = record.partition(b"=")
        if not (space and equals and value.endswith(b"\n")):
            raise tarfile.ReadError("an extended header is damaged")
        records[key.decode("utf-8", "replace")] = value[:-1]
        position += int(length)
    return records


def _parse_number(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise tarfile.ReadError(f"an extended header has the number {text[:30]!r}")
    return int(text)


def _encode(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
