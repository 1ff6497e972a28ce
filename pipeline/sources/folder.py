"""A local folder of class folders."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.config.sources import FolderSettings, ReadingSettings
from pipeline.runtime.errors import PipelineError
from pipeline.sources.class_folders import read_tree
from pipeline.sources.formats import MAX_IMAGE_BYTES
from pipeline.sources.local_folder import check_listing, describe_special, list_folder
from pipeline.sources.local_paths import resolve_path
from pipeline.sources.raw_image import RawImage
from pipeline.sources.reading import AS_FOUND, Reading, Record, ignore_reading


def locate(path: str | None, reading: ReadingSettings | None = None, record: Record = ignore_reading) -> Path:
    """The folder. Raises PipelineError unless it is one that DVC can watch: DVC hashes every file in it.

    reading: what the user says of its folders; if given, it is read, so that questions are asked before anything is copied.
    """
    if not path:
        raise PipelineError(
            "data.source is folder, but data.path is null: expected a folder, as -S data.path=/home/me/pictures (a path with "
            """~, blanks, brackets or umlauts takes two pairs of quotes: -S 'data.path="~/my pictures"')"""
        )
    folder = resolve_path(path)
    if not folder.exists():
        tried = "" if Path(path).is_absolute() else f"; a relative path starts from the project: tried {str(folder)!r}"
        raise PipelineError(f"data.path {path!r} does not exist: expected a folder of class folders{tried}")
    if not folder.is_dir():
        raise PipelineError(f"data.path {path!r} is not a folder: for a zip or tar file set data.source to archive")
    check_listing(list_folder(folder), path)
    if reading is not None:
        record(read_layout(folder, reading))
    return folder


def read_images(
    *,
    path: str | None,
    sha256: str | None,  # noqa: ARG001
    settings: FolderSettings,  # noqa: ARG001
    reading: ReadingSettings = AS_FOUND,
    record: Record = ignore_reading,
) -> Iterator[RawImage]:
    """Every file below the class folders, sorted by path; pipeline.sources.class_folders says what a class is."""
    yield from read_folder(locate(path), reading, record)


def read_folder(
    folder: Path, reading: ReadingSettings = AS_FOUND, record: Record = ignore_reading
) -> Iterator[RawImage]:
    """Every file of a local folder of class folders, sorted by path. reading, record: see pipeline.sources.loader."""
    layout = read_layout(folder, reading)
    record(layout)
    for file in layout:
        data, reason = (None, file.reason) if file.reason else _read(folder / file.path)
        yield RawImage(file.name, file.label, file.source_split, data, reason, file.group, file.time, file.path)


def read_layout(folder: Path, reading: ReadingSettings = AS_FOUND) -> Reading:
    """What the files of a local folder are. Reads no picture, but a few of those that look like copies of others."""
    listing = list_folder(folder)
    return read_tree(
        listing.sizes,
        f"folder {folder.name!r}",
        reading,
        folders=listing.folders,
        links=listing.links,
        identify=lambda path: _compute_digest(folder / path),
        read_file=lambda path: (folder / path).read_bytes(),
    )


def _compute_digest(file: Path) -> bytes:
    """Of a file's bytes; of one that is no regular file or can't be read, its path: it is a copy of nothing."""
    data, _ = _read(file)
    return hashlib.blake2b(os.fsencode(file) if data is None else data, digest_size=16).digest()


def _read(file: Path) -> tuple[bytes | None, str]:
    try:
        status = file.stat()
        if what := describe_special(status.st_mode):
            return None, f"{what}: reading it may never end"
        if status.st_size > MAX_IMAGE_BYTES:
            return None, f"too large: {status.st_size / 1e6:.0f} MB"
        return file.read_bytes(), ""
    except OSError as error:
        return None, f"not readable: {error.strerror}"
