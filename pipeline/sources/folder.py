"""A local folder of class folders."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.config.sources import FolderSettings, ReadingSettings
from pipeline.runtime.errors import PipelineError
from pipeline.sources.class_folders import read_tree
from pipeline.sources.local_folder import Listing, check_listing, list_folder
from pipeline.sources.local_paths import resolve_path
from pipeline.sources.raw_image import RawImage, read_file
from pipeline.sources.reading import AS_FOUND, Reading, Record, ignore_reading


def locate(path: str | None, reading: ReadingSettings | None = None, record: Record = ignore_reading) -> Path:
    """The folder. Raises PipelineError unless it is one that DVC can watch: DVC hashes every file in it.

    reading: what the user says of its folders; if given, it is read, so that questions are asked before anything is copied.
    """
    folder, listing = _list(path)
    if reading is not None:
        record(read_layout(folder, reading, listing))
    return folder


def _list(path: str | None) -> tuple[Path, Listing]:
    """The folder and what lies in it. Raises PipelineError, see `locate`."""
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
    listing = list_folder(folder)
    check_listing(listing, path)
    return folder, listing


def read_images(
    *,
    path: str | None,
    sha256: str | None,  # noqa: ARG001
    settings: FolderSettings,  # noqa: ARG001
    reading: ReadingSettings = AS_FOUND,
    record: Record = ignore_reading,
) -> Iterator[RawImage]:
    """Every file below the class folders, sorted by path; pipeline.sources.class_folders says what a class is."""
    folder, listing = _list(path)
    yield from read_folder(folder, reading, record, listing)


def read_folder(
    folder: Path,
    reading: ReadingSettings = AS_FOUND,
    record: Record = ignore_reading,
    listing: Listing | None = None,
    *,
    is_named: bool = True,
) -> Iterator[RawImage]:
    """Every file of a local folder of class folders, sorted by path, still to be read. reading, record: see
    pipeline.sources.loader. listing: of the folder, if it is known. is_named: by a person, not by a number of a version."""
    listing = list_folder(folder) if listing is None else listing
    layout = read_layout(folder, reading, listing, is_named=is_named)
    record(layout)
    place = str(folder)
    for file in layout:
        yield RawImage(
            file.name,
            file.label,
            file.source_split,
            None,
            file.reason,
            file.group,
            file.time,
            file.path,
            place,
            listing.sizes[file.path],
        )


def read_layout(
    folder: Path, reading: ReadingSettings = AS_FOUND, listing: Listing | None = None, *, is_named: bool = True
) -> Reading:
    """What the files of a local folder are. Reads no picture, but a few of those that look like copies of others. listing: of
    the folder, if it is known. is_named: see `read_folder`."""
    listing = list_folder(folder) if listing is None else listing
    return read_tree(
        listing.sizes,
        f"folder {folder.name!r}",
        reading,
        folders=listing.folders,
        links=listing.links,
        identify=lambda path: _compute_digest(folder / path),
        read_file=lambda path: (folder / path).read_bytes(),
        name=folder.name if is_named else "",
    )


def _compute_digest(file: Path) -> bytes:
    """Of a file's bytes; of one that is no regular file or can't be read, its path: it is a copy of nothing."""
    data, _ = read_file(file)
    return hashlib.blake2b(os.fsencode(file) if data is None else data, digest_size=16).digest()
