"""A local folder of class folders."""

import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.config.sources import FolderSettings
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import readable_name
from pipeline.sources.class_folders import read_tree
from pipeline.sources.formats import MAX_IMAGE_BYTES
from pipeline.sources.raw_image import RawImage


def locate(path: str | None) -> Path:
    """The folder. Raises PipelineError unless it is one and every file in it can be read: DVC hashes them all."""
    if not path:
        raise PipelineError(
            "data.source is folder, but data.path is null: expected a folder, as -S data.path=~/pictures"
        )
    folder = Path(path).expanduser().absolute()
    if not folder.exists():
        raise PipelineError(f"data.path {path!r} does not exist: expected a folder of class folders")
    if not folder.is_dir():
        raise PipelineError(f"data.path {path!r} is not a folder: for a zip or tar file set data.source to archive")
    unreadable = [name for name in _list_files(folder) if not os.access(folder / name, os.R_OK)]
    if unreadable:
        raise PipelineError(
            f"data.path {path!r}: {len(unreadable)} file(s) can't be read, such as {unreadable[0]!r} (no permission, or a "
            "link to nothing): make them readable or move them away"
        )
    return folder


def read_images(*, path: str | None, sha256: str | None, settings: FolderSettings) -> Iterator[RawImage]:  # noqa: ARG001
    """Every file below the class folders, sorted by path; pipeline.sources.class_folders says what a class is."""
    yield from read_folder(locate(path))


def read_folder(folder: Path) -> Iterator[RawImage]:
    """Every file of a local folder of class folders, sorted by path."""
    for file in read_tree(_list_files(folder), f"folder {folder.name!r}"):
        data, reason = (None, file.reason) if file.reason else _read(folder / file.path)
        yield RawImage(readable_name(file.path), readable_name(file.label), file.source_split, data, reason)


def _list_files(folder: Path) -> list[str]:
    """Relative paths of all files. Links to folders are not followed: DVC does not follow them either."""

    def fail(error: OSError) -> None:
        raise error

    return [
        (Path(root) / name).relative_to(folder).as_posix()
        for root, _, names in os.walk(folder, onerror=fail)
        for name in names
    ]


def _read(file: Path) -> tuple[bytes | None, str]:
    try:
        size = file.stat().st_size
        if size > MAX_IMAGE_BYTES:
            return None, f"too large: {size / 1e6:.0f} MB"
        return file.read_bytes(), ""
    except OSError as error:
        return None, f"not readable: {error.strerror}"
