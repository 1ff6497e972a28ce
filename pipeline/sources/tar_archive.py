"""Tars, packed or not. They are read from the first byte to the last before any picture counts, and then once more."""

import logging
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.sources.member import LINK, Bounds, Member, clean_name, decode_names, refuse_link, refuse_size
from pipeline.sources.tar_stream import Entry, TarStream

logger = logging.getLogger(__name__)

_PAGES = "cp932 (Japanese), gbk (Chinese), cp1252 (Western) or cp1251 (Cyrillic)"
_LINKS = (tarfile.SYMTYPE, tarfile.LNKTYPE)
_FOLDERS = (tarfile.DIRTYPE, b"D", b"V")  # GNU's folders with lists, and labels of volumes, hold no picture
_REASONS = {
    tarfile.SYMTYPE: LINK,
    tarfile.CHRTYPE: "a device in the archive: not read",
    tarfile.BLKTYPE: "a device in the archive: not read",
    tarfile.FIFOTYPE: "a named pipe in the archive: not read",
}


@dataclass
class _Found:
    """What the first pass found: entries, and their decoded names and link targets."""

    entries: list[Entry] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    has_backslashes: bool = False  # which then separate folders


class TarReader:
    """The members of a tar; see ArchiveReader. encoding: the code page of names, null = UTF-8."""

    def __init__(self, archive: Path, *, bounds: Bounds, encoding: str | None) -> None:
        self._archive, self._bounds, self._encoding = archive, bounds, encoding
        self._found = _Found()
        self.folders: list[str] = []
        self._contents: list[int | None] = []  # of each member: the entry that holds its bytes, or None

    def close(self) -> None:
        """Nothing is kept open between the passes."""

    def list_members(self) -> list[Member]:
        self._scan()
        found, what = self._found, self._bounds.what
        newest: dict[str, int] = {}  # the entry that a hard link to a name stands for: the last one before it
        members = []
        for index, entry in enumerate(found.entries):
            name = self._clean(found.names[index])
            if entry.kind in _LINKS:
                is_hard = entry.kind == tarfile.LNKTYPE
                refuse_link(found.names[index], found.targets[index], what, from_root=is_hard)
            if entry.kind in _FOLDERS:
                self.folders += [name] if name and entry.kind == tarfile.DIRTYPE else []
                continue
            file = self._find_file(index, newest)
            if name:
                newest[name] = file
            self._contents.append(file if found.entries[file].is_regular else None)
            members.append(self._describe(file, name))
        return members

    def read_members(self, wanted: Iterable[int]) -> Iterator[tuple[int, bytes | None, str]]:
        """In the order of the archive, as a packed tar can only be read forwards; links come with what they link to."""
        readers: dict[int, list[int]] = {}
        for member in wanted:
            if (content := self._contents[member]) is not None:
                readers.setdefault(content, []).append(member)
        with TarStream(self._archive) as stream:
            for index, _ in enumerate(stream):
                if index in readers:
                    data = stream.read()
                    yield from ((member, data, "") for member in readers[index])

    def _scan(self) -> None:
        """The first pass: every header, and every byte, so that a checksum at the end is reached."""
        names, targets, is_link = [], [], []
        with TarStream(self._archive, self._bounds) as stream:
            for entry in stream:
                self._bounds.add_name(len(entry.name))
                names.append(entry.name)
                is_link.append(entry.kind in _LINKS)
                targets.append(entry.target if is_link[-1] else b"")
                self._found.entries.append(entry)
        self._warn_of_end(stream)
        texts = decode_names(
            names + targets, encoding=self._encoding, fallback=None, what=self._bounds.what, pages=_PAGES
        )
        self._found.names, self._found.targets = texts[: len(names)], texts[len(names) :]
        self._found.has_backslashes = not any("/" in name.removeprefix("./") for name in self._found.names)

    def _warn_of_end(self, stream: TarStream) -> None:
        if stream.num_ends > 1:
            logger.warning("%s is %d tars joined to one: all are read", self._bounds.what, stream.num_ends)
        if stream.trailing_bytes:
            logger.warning(
                "%s has other bytes after its end mark, which are not read: if files are missing, get it again",
                self._bounds.what,
            )

    def _clean(self, name: str) -> str:
        return clean_name(name, self._bounds.what, backslashes=self._found.has_backslashes)

    def _find_file(self, index: int, newest: dict[str, int]) -> int:
        """The entry that a member stands for: its own; for a hard link that of what it links to, if that comes before it."""
        entry = self._found.entries[index]
        if entry.kind != tarfile.LNKTYPE:
            return index
        file = newest.get(self._clean(self._found.targets[index]), index)
        if self._found.entries[file].is_regular:
            self._bounds.add(self._found.entries[file].size)
        return file

    def _describe(self, file: int, name: str) -> Member:
        """file: as of `_find_file`; a hard link can't be used for the same reason as what it links to."""
        entry = self._found.entries[file]
        if entry.is_regular:
            return Member(name, entry.size, refuse_size(entry.size))
        if entry.kind == tarfile.LNKTYPE:
            return Member(name, 0, "a link to a file that the archive does not have")
        if entry.is_sparse:
            return Member(name, 0, "stored as a sparse file: pack it again without --sparse")
        kind = entry.kind.decode("latin-1")
        return Member(name, 0, _REASONS.get(entry.kind, f"an entry of kind {kind!r} in the archive: not read"))
