"""The user's pictures that are in no split: where they are, and their copy, which goes along to machines that lack them."""

import shutil
from pathlib import Path

from pipeline.data.picture_paths import list_pictures
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import folder_aside
from pipeline.runtime.paths import OUTSIDE
from pipeline.sources.local_folder import check_encoding, check_projects, list_folder
from pipeline.sources.local_paths import resolve_path


def locate_outside(path: str | None) -> Path | None:
    """The folder of pictures that are in no split. Raises PipelineError if it does not exist, contains no picture or
    another DVC project, or has names that are not UTF-8."""
    if path is None:
        return None
    folder = resolve_path(path)
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise PipelineError(f"evaluate.outside_path {path!r} {what}: expected a folder of pictures, or null")
    if next(list_pictures(folder), None) is None:
        raise PipelineError(
            f"evaluate.outside_path {path!r} contains no picture: expected files such as .jpg or .png below it, or null"
        )
    listing = list_folder(folder)
    check_encoding(listing, f"evaluate.outside_path {path!r}")
    check_projects(listing.projects, f"evaluate.outside_path {path!r}")
    return folder


def copy_pictures(folder: Path | None) -> None:
    """To data/outside, so that they go along to machines that lack the folder. None: a line that says that there are none."""
    with folder_aside(OUTSIDE) as copies:
        if folder is None:
            (copies / "none.txt").write_text("There are no outside pictures: evaluate.outside_path is null.\n")
            return
        for picture in map(Path, list_pictures(folder)):
            copy = copies / picture.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if picture.is_file():
                shutil.copyfile(picture, copy)
