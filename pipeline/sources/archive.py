"""A zip or tar of class folders: a local file, an http(s) URL, a DOI, or a Kaggle data set.

Nothing is unpacked to disk: members are read one by one, so that a path in an archive never becomes a path on this machine. An
archive with an absolute path, with `..` or with a link that leads out of it is still refused: it was made with intent.
"""

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import accumulate
from pathlib import Path

from pipeline.config.sources import ArchiveSettings, ReadingSettings
from pipeline.runtime.errors import PipelineError
from pipeline.sources.archive_format import open_archive, suggest_parts
from pipeline.sources.class_folders import read_tree
from pipeline.sources.folder import read_folder
from pipeline.sources.http import check_address, check_sha256, fetch
from pipeline.sources.local_paths import resolve_path
from pipeline.sources.member import DAMAGE, LINK, ArchiveReader, Bounds, Member, is_disk_error, refuse_size
from pipeline.sources.proposals import TEXTS
from pipeline.sources.raw_image import RawImage
from pipeline.sources.reading import AS_FOUND, Reading, Record, TreeFile, ignore_reading
from pipeline.sources.remote_archive import fetch_kaggle, find_doi_address
from pipeline.sources.transfer import Limits
from pipeline.sources.tree import find_extension, is_picture
from pipeline.sources.zip_archive import DAMAGED, ZipReader

logger = logging.getLogger(__name__)

_SMALL_TEXT, _ALL_TEXTS = 1 << 22, 1 << 26  # bytes of one, and of all together, that are read with another
_FOLLOWED = "unpack it and set data.source to folder, where links to files are followed"


def _is_url(path: str) -> bool:
    return path.lower().startswith(("http://", "https://"))


def locate(path: str | None, reading: ReadingSettings = AS_FOUND, record: Record = ignore_reading) -> Path | None:
    """The local archive, or None for one on the network. Raises PipelineError if there is no such file, or if it is no archive.

    A zip is listed and its reading recorded. A tar is not: listing one takes as long as reading it.
    """
    archive = _find(path)
    if archive is not None:
        _preview(archive, reading, record)
    return archive


def _find(path: str | None) -> Path | None:
    """The file that data.path names, or None for an address. Raises PipelineError if it can't be one."""
    if not path:
        raise PipelineError(
            "data.source is archive, but data.path is null: expected a zip or tar file, http(s)://…, doi:… or "
            """kaggle:owner/name, as -S data.path=/home/me/animals.zip or -S 'data.path="~/animals (1).zip"'"""
        )
    if _is_url(path):
        check_address(path)
    if _is_url(path) or path.startswith(("doi:", "kaggle:")):
        return None
    archive = resolve_path(path)
    if not archive.exists():
        raise PipelineError(
            f"data.path {path!r} does not exist: expected a zip or tar file, http(s)://…, doi:… or kaggle:…"
        )
    if archive.is_dir():
        raise PipelineError(f"data.path {path!r} is a folder: set data.source to folder")
    if not archive.is_file():
        raise PipelineError(f"data.path {path!r} is a named pipe or a device: expected a zip or tar file")
    with archive.open("rb"):
        pass  # a lack of permission is reported now, not an hour later
    return archive


def _preview(archive: Path, reading: ReadingSettings, record: Record) -> None:
    """What can be said of a local archive in a moment, so that it is said now and not after an hour of other stages."""
    size = archive.stat().st_size
    bounds = Bounds(what=f"archive {archive.name!r}", packed_bytes=size, max_unpacked_gb=math.inf, max_ratio=math.inf)
    with _explain_damage(bounds.what, archive):
        reader = open_archive(archive, bounds=bounds, encoding=reading.encoding)
    with closing(reader):
        if isinstance(reader, ZipReader):
            with _explain_damage(bounds.what, archive):
                members = reader.list_members()
            _warn_of_links(members, bounds.what)
            record(_read_tree(reader, members, _find_newest(members), bounds.what, reading))


def _warn_of_links(members: list[Member], what: str) -> None:
    """Before the tree is read, as links may be why it is not understood. Those without an extension may be to folders."""
    names = (member.name for member in members if member.reason == LINK)
    links = [name for name in names if is_picture(name) or not find_extension(name)]
    if links:
        logger.warning(
            "%s has %s link(s) to pictures or folders, such as %r, which are not followed: if they matter, %s",
            what,
            f"{len(links):,}",
            links[0],
            _FOLLOWED,
        )


def _find_newest(members: list[Member]) -> dict[str, int]:
    """The last member of each name."""
    return {member.name: index for index, member in enumerate(members) if member.name}


def read_images(
    *,
    path: str | None,
    sha256: str | None,
    settings: ArchiveSettings,
    reading: ReadingSettings = AS_FOUND,
    record: Record = ignore_reading,
) -> Iterator[RawImage]:
    """Every file of the archive; those outside class folders come without data. See pipeline.sources.class_folders."""
    archive = _find(path)
    assert path is not None  # _find has refused it
    if path.startswith("kaggle:"):
        yield from read_folder(fetch_kaggle(path.removeprefix("kaggle:")), reading, record, is_named=False)
        return
    if archive is None:
        is_doi = path.startswith("doi:")
        address = find_doi_address(path, settings.timeout) if is_doi else path
        max_gb = settings.max_download_gb
        limits = Limits(max_gb=max_gb, min_rate=settings.min_rate, timeout=settings.timeout, cache_gb=max_gb)
        archive = fetch(address, sha256=sha256, limits=limits, may_log_in=not is_doi)
    else:
        check_sha256(archive, sha256, f"archive {path!r}")
    yield from read_archive(archive, settings, reading, record)


def read_archive(
    archive: Path, settings: ArchiveSettings, reading: ReadingSettings = AS_FOUND, record: Record = ignore_reading
) -> Iterator[RawImage]:
    """Every file of a local zip or tar. Raises PipelineError if it is damaged or not safe to read."""
    bounds = Bounds(
        what=f"archive {archive.name!r}",
        packed_bytes=archive.stat().st_size,
        max_unpacked_gb=settings.max_unpacked_gb,
        max_ratio=settings.max_ratio,
    )
    with _explain_damage(bounds.what, archive):
        reader = open_archive(archive, bounds=bounds, encoding=reading.encoding)
    with closing(reader):
        with _explain_damage(bounds.what, archive):
            members = reader.list_members()
        _warn_of_links(members, bounds.what)
        newest = _find_newest(members)
        tree = _read_tree(reader, members, newest, bounds.what, reading)
        record(tree)
        files = {newest[file.path]: file for file in tree}
        yield from _refuse_replaced(members, newest, files, bounds.what)
        with _explain_damage(bounds.what, archive):
            yield from _read_files(reader, members, files, bounds.what)


@contextmanager
def _explain_damage(what: str, archive: Path) -> Iterator[None]:
    """Turns what libraries raise for a damaged archive into one line; errors of the disk pass."""
    try:
        yield
    except DAMAGE as error:
        if is_disk_error(error):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise PipelineError(
            f"{what} is damaged ({reason}): expected a whole zip or tar; get it again{suggest_parts(archive)}"
        ) from error


def _read_files(
    reader: ArchiveReader, members: list[Member], files: dict[int, TreeFile], what: str
) -> Iterator[RawImage]:
    """The images; between them, in their places, files that can't be used. files: by the index of their member."""
    reasons = {index: members[index].reason or file.reason for index, file in files.items()}
    order, done, num_damaged = list(files), 0, 0
    wanted = [index for index in order if not reasons[index]]
    position = {index: number for number, index in enumerate(order)}

    def refuse(end: int) -> Iterator[RawImage]:
        return (_make_image(files[index], None, reasons[index]) for index in order[done:end] if reasons[index])

    for index, data, reason in reader.read_members(wanted):
        yield from refuse(position[index])
        done = max(done, position[index])
        num_damaged += reason == DAMAGED
        yield _make_image(files[index], data, reason)
    yield from refuse(len(order))
    if num_damaged:
        _report_damage(num_damaged, len(wanted), reader, what)
    links = [files[index].name for index in order if reasons[index] == LINK]
    if links and not wanted:
        raise PipelineError(
            f"{what} has no picture that can be read: {len(links):,} of {len(order):,} files are links, such as "
            f"{links[0]!r}, which are not followed; {_FOLLOWED}"
        )


def _read_tree(
    reader: ArchiveReader, members: list[Member], newest: dict[str, int], what: str, reading: ReadingSettings
) -> Reading:
    """What the names mean. Files are compared by their checksums where the format has them, else by name and size."""
    sizes = {name: members[index].size for name, index in newest.items()}
    has_checksums = all(member.checksum is not None for member in members)

    def identify(path: str) -> tuple[int, int | None]:
        member = members[newest[path]]
        return member.size, member.checksum

    return read_tree(
        sizes,
        what,
        reading,
        folders=reader.folders,
        identify=identify if has_checksums else None,
        read_file=_make_read_file(reader, members, newest, what),
    )


def _make_read_file(
    reader: ArchiveReader, members: list[Member], newest: dict[str, int], what: str
) -> Callable[[str], bytes]:
    """Of a path its bytes. In a tar, the first that is asked for comes with all small texts, see `_list_texts`."""
    texts: dict[int, bytes] = {}
    others = set() if isinstance(reader, ZipReader) else _list_texts(members)

    def read_file(path: str) -> bytes:
        index = newest[path]
        reason = members[index].reason
        if reason == refuse_size(members[index].size):  # none, or one of pictures only: tables may be larger
            if index in texts:
                return texts[index]
            found = {number: (data, why) for number, data, why in reader.read_members({index, *others} - texts.keys())}
            texts.update((number, data) for number, (data, _) in found.items() if data is not None and number in others)
            data, reason = found.get(index, (None, DAMAGED))
            if data is not None:
                return data
        raise PipelineError(f"{what}: {path!r} can't be read: {reason}{f'; {_FOLLOWED}' * (reason == LINK)}")

    return read_file


def _list_texts(members: list[Member]) -> set[int]:
    """Files that may be asked for after one of them: in a tar, one by one, each would be a pass over the whole archive."""
    small = [
        index
        for index, member in enumerate(members)
        if member.name.lower().endswith(TEXTS) and not member.reason and member.size <= _SMALL_TEXT
    ]
    sizes = accumulate(members[index].size for index in small)
    return {index for index, size in zip(small, sizes, strict=True) if size <= _ALL_TEXTS}


def _make_image(file: TreeFile, data: bytes | None, reason: str) -> RawImage:
    return RawImage(file.name, file.label, file.source_split, data, reason, file.group, file.time)


def _refuse_replaced(
    members: list[Member], newest: dict[str, int], files: dict[int, TreeFile], what: str
) -> Iterator[RawImage]:
    """Files that unpacking would overwrite by a later one of the same name, and files without a name: none goes unseen."""
    seen: Counter[str] = Counter()
    for index, member in enumerate(members):
        file = files.get(newest.get(member.name, -1))
        if newest.get(member.name) == index or (member.name and file is None):
            continue
        seen[member.name] += 1
        if file is None:
            yield RawImage(f"#{seen['']}", "", "", None, "has no name in the archive")
        else:
            reason = "replaced by a later file of the same name in the archive"
            yield RawImage(f"{file.name}#{seen[member.name]}", file.label, file.source_split, None, reason)
    if seen:
        logger.warning(
            "%s has %d file(s) without a name of their own, such as %r: of several the last is used, as in unpacking; the "
            "others are in data/quarantine.csv",
            what,
            seen.total(),
            next(iter(seen)),
        )


def _report_damage(num_damaged: int, num_wanted: int, reader: ArchiveReader, what: str) -> None:
    """Raises PipelineError if no file could be read; else a warning."""
    method = reader.explain_damage() if isinstance(reader, ZipReader) else ""
    if num_damaged == num_wanted:
        raise PipelineError(
            f"{what}: none of its {num_wanted} files can be read: they are damaged{method or '; get it again'}"
        )
    logger.warning("%s has %d damaged file(s) of %d%s", what, num_damaged, num_wanted, method or ": get it again")
