"""What the system refused, in one line that says what to do: a full disk, missing permission, too little memory.

Libraries hide it: NumPy says how many numbers it asked for, HDF5, TensorFlow and SQLite raise errors of their own.
"""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_OUTPUTS = (("data",), ("models",), ("metrics",))  # stages write below these, which are relative paths
_FULL = re.compile(
    r"No space left on device|Disk quota exceeded|database or disk is full|^\d+ requested and \d+ written$"
)
_MEMORY = re.compile(r"Cannot allocate memory|can't start new thread|OOM when allocating|failed to allocate memory")
_READ_ONLY = re.compile(r"^(attempt to write a readonly database|unable to open database file)$")
_USUAL = (Path(), Path(tempfile.gettempdir()))  # the project, as far as stages know
_FULL_BELOW = 0.1  # MB
_BEYOND = 1_000  # MB; of a disk with more room than this, another one must be meant


def explain(error: BaseException, *folders: Path) -> str | None:
    """One line; None if it is something else, as is a bug. folders: where, besides, it may have been writing."""
    for cause in _list_causes(error):
        if message := _explain_shortage(cause, folders):
            return message
    return _explain_path(error) if isinstance(error, OSError) else None


def _list_causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or error.__context__


def _explain_shortage(error: BaseException, folders: tuple[Path, ...]) -> str | None:
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT) or _FULL.search(str(error)):
        return describe_full_disk(_find_name(error), folders)
    if isinstance(error, MemoryError) or number == errno.ENOMEM or _MEMORY.search(str(error)):
        said = str(error).splitlines()[0][:200] if str(error) else ""
        return f"out of memory{f' ({said})' if said else ''}: close other programs, or lower what needs it"
    if _READ_ONLY.search(str(error)):
        return f"no permission: a disk is read-only, or a folder of DVC's is another user's ({error}): make it writable"
    return None


def _explain_path(error: OSError) -> str | None:
    name = _find_name(error)
    where = f" ({name})" if name else ""
    match error.errno:
        case errno.EFBIG:
            return f"the file is larger than this user may write{where}: raise the limit, `ulimit -f unlimited`"
        case errno.EMFILE:
            return f"too many open files{where}: raise the limit, `ulimit -n 4096`"
        case errno.EROFS:
            return f"no permission{where}: the disk is read-only: mount it writable, or move the project"
        case errno.EACCES | errno.EPERM:
            return f"no permission{where}: change the mode or the owner"
        case errno.ENAMETOOLONG:
            return f"the path is too long{where[:200]}: expected at most 255 bytes a name and 4,096 in all; shorten it"
        case errno.ELOOP:
            return f"links lead in a circle{where}: expected a file or folder; remove the link"
        case errno.EISDIR | errno.ENOTDIR | errno.EEXIST if name:
            return f"{name} is a folder where a file is expected, or a file where a folder is: give another name"
        case errno.ENOENT if name and Path(name).parts[:1] in _OUTPUTS:
            return f"{name} is not here: expected what an earlier stage writes; run `dvc repro`"
        case errno.ENOENT if name:
            return f"{name} does not exist, or was removed meanwhile"
        case errno.EIO | errno.ESTALE | errno.ETIMEDOUT | errno.ENOTCONN | errno.EHOSTDOWN | errno.EHOSTUNREACH:
            said = os.strerror(error.errno)
            return (
                f"a disk or the network failed{where}, which said {said!r}: check it, or mount it anew, and run again"
            )
    return None


def _find_name(error: BaseException) -> str:
    """The file's, or nothing."""
    name = getattr(error, "filename", None)
    return os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else ""


def describe_full_disk(name: str = "", folders: tuple[Path, ...] = ()) -> str:
    """name: of the file that was being written, if known. Of the places where it may be, the fullest is said."""
    fullest, room = _find_fullest(Path(name).parent) if name else _find_fullest(*_USUAL, *folders)
    facts = ", ".join(filter(None, [name, f"{room:,.1f} MB free in {fullest}" if room < _BEYOND else ""]))
    return (
        f"the disk is full{f' ({facts})' if facts else ''}: free some space and run again: finished stages are kept, and "
        "nothing half-written; `python -m stages.doctor` says how much a run needs"
    )


def find_full(*folders: Path) -> str | None:
    """The line for a full disk where there is one: what fails then may not say why. None if there is room everywhere."""
    return describe_full_disk("", folders) if _find_fullest(*_USUAL, *folders)[1] < _FULL_BELOW else None


def _find_fullest(*folders: Path) -> tuple[Path, float]:
    """(The folder, or one above it that is there; megabytes free.)"""
    paths = [folder.absolute() for folder in folders]
    there = [next(place for place in (path, *path.parents) if place.exists()) for path in paths]
    return min(((place, _measure_room(place)) for place in there), key=lambda pair: pair[1])


def _measure_room(folder: Path) -> float:
    return shutil.disk_usage(folder).free / 1e6
