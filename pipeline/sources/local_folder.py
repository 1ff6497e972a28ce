"""What lies in a local folder, and what of it DVC can't watch: said by name, before DVC fails on it, or says nothing."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import readable_name
from pipeline.sources.names import is_litter

_NO_FILES = ("/dev/", "/proc/", "/sys/")  # what lies there has no end, or another content at each reading
_UNWATCHED = frozenset({".git", ".hg"})  # DVC looks into none of these


@dataclass
class Listing:
    """Paths are relative to the folder, with forward slashes.

    sizes: bytes of each file, by path; those of links too, which are followed. folders: all but hidden ones. links: to folders,
    which are not followed: DVC does not follow them either. unreadable: no permission, or a link to nothing. special: pipes,
    sockets and devices, with what they are. projects: folders and files that belong to another DVC project.
    """

    sizes: dict[str, int] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    special: dict[str, str] = field(default_factory=dict)
    projects: list[str] = field(default_factory=list)


def list_folder(folder: Path) -> Listing:
    """Everything below a folder. Raises PermissionError for a folder in it that can't be read."""
    listing = Listing()
    for path, entry in _walk(folder, ""):
        if entry.name == ".dvcignore" or (entry.name == ".dvc" and Path(entry.path).is_dir()):
            listing.projects.append(path)
        if entry.is_symlink() and Path(entry.path).is_dir():
            listing.links.append(path)
        elif entry.is_dir(follow_symlinks=False):
            if not is_litter(entry.name):
                listing.folders.append(path)
        else:
            _add_file(listing, path, entry)
    return listing


def list_stamps(folder: Path) -> dict[str, str]:
    """Of each file that `list_folder` has a size of, what is another text once the file has changed. Sorted by path."""
    stamps = {}
    for path, entry in _walk(folder, ""):
        if not entry.is_dir(follow_symlinks=False) and not (entry.is_symlink() and Path(entry.path).is_dir()):
            with suppress(OSError):  # a link to nothing, or in a circle
                stamps[path] = describe_stamp(entry.stat())
    return dict(sorted(stamps.items()))


def describe_stamp(status: os.stat_result) -> str:
    """Size, times and number of a file."""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def _walk(folder: Path, path: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """(path, entry) of all below, each folder before what is in it."""
    waiting = [path]
    while waiting:  # no recursion: a thousand folders in each other would end it
        above = waiting.pop()
        try:
            with os.scandir(folder / above) as found:
                entries = list(found)
        except PermissionError:
            if above and any(map(is_litter, above.split("/"))):  # lost+found of a disk is the system's own
                continue
            raise
        for entry in entries:
            below = f"{above}/{entry.name}" if above else entry.name
            yield below, entry
            if entry.is_dir(follow_symlinks=False) and entry.name not in _UNWATCHED:
                waiting.append(below)


def _add_file(listing: Listing, path: str, entry: os.DirEntry[str]) -> None:
    try:
        status = entry.stat()
    except OSError:  # a link to nothing, or in a circle
        listing.unreadable.append(path)
        return
    listing.sizes[path] = status.st_size
    if what := describe_special(status.st_mode):
        listing.special[path] = what
    elif entry.is_symlink() and os.path.realpath(entry.path).startswith(_NO_FILES):
        listing.special[path] = "a link to what is no file on a disk"
    elif not os.access(entry.path, os.R_OK):
        listing.unreadable.append(path)


def describe_special(mode: int) -> str:
    """What a file is that is no regular one, or empty. mode: as of os.stat."""
    if stat.S_ISREG(mode):
        return ""
    kinds = {
        stat.S_ISFIFO: "a named pipe",
        stat.S_ISSOCK: "a socket",
        stat.S_ISCHR: "a device",
        stat.S_ISBLK: "a device",
    }
    return next((what for is_kind, what in kinds.items() if is_kind(mode)), "")


def check_listing(listing: Listing, path: str) -> None:
    """Raises PipelineError, one line, for what would stop DVC, or what DVC would not notice. path: as the user wrote it."""
    if listing.unreadable:
        raise PipelineError(
            f"data.path {path!r}: {len(listing.unreadable)} file(s) can't be read, such as {listing.unreadable[0]!r} (no "
            "permission, or a link to nothing): make them readable or move them away"
        )
    if listing.special:
        name, what = min(listing.special.items())
        raise PipelineError(
            f"data.path {path!r}: {readable_name(name)!r} is {what}: reading it may never end; move it away"
        )
    check_encoding(listing, f"data.path {path!r}", ", or pack the folder into a tar and set data.source to archive")
    check_projects(listing.projects, f"data.path {path!r}")


def check_encoding(listing: Listing, what: str, otherwise: str = "") -> None:
    """Raises PipelineError, one line, for names that DVC can't store. what: the folder. otherwise: what else to do."""
    foreign = [name for name in (*listing.sizes, *listing.folders, *listing.links) if not _is_utf8(name)]
    if foreign:
        raise PipelineError(
            f"{what}: {len(foreign)} name(s) are not UTF-8, such as {os.fsencode(min(foreign))!r}, which DVC "
            f"can't store: rename them, for example with convmv -f latin1 -t utf8{otherwise}"
        )


def _is_utf8(name: str) -> bool:
    return name.isascii() or not any("\udc80" <= character <= "\udcff" for character in name)


def check_projects(projects: list[str], what: str) -> None:
    """Raises PipelineError, one line, for a folder in which DVC would not notice changes. projects: see `Listing`. what: the
    parameter and the path, as the user wrote it."""
    if not projects:
        return
    first = min(projects, key=lambda name: (name.count("/"), name))
    folder = first.rpartition("/")[0]
    raise PipelineError(
        f"{what} contains {first!r}: {repr(folder) if folder else 'it'} belongs to a DVC project of its own, "
        f"in which DVC would not notice changes; set {what.split()[0]} to a folder of pictures below or beside it, or move "
        f"{', '.join(map(repr, sorted(projects)[:3]))} away"
    )
