"""Checks where the images come from, before any work, and tells DVC what to watch there.

Writes data/located: a digest of the user's folder or archive, so that `download` runs again when an image in it was added,
changed or removed; for a source that can't change, a line that says so. Likewise of the CSV file that data.labels names on this
machine. Copies the pictures that are in no split, of evaluate.outside_path, to data/outside.

Says what it takes the folders for, and stops where they can be read in two ways. What is not on this machine, but was read
under the same parameters, stops nothing: what was downloaded from it is used.
"""

import logging
import shutil
from pathlib import Path

from pipeline.config.reader import load_params
from pipeline.data.image_files import list_pictures
from pipeline.runtime.cli import run_verb
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import folder_aside
from pipeline.runtime.paths import LOCATED, OUTSIDE
from pipeline.sources.finding import Finder
from pipeline.sources.labels import find_labels_file
from pipeline.sources.loader import load_source
from pipeline.sources.local_folder import check_projects, list_folder
from pipeline.sources.local_paths import resolve_path
from pipeline.sources.reading import log_reading

logger = logging.getLogger(__name__)


def locate() -> None:
    params = load_params()
    data, finder = params.data, Finder()
    settings, outside = data.model_dump(mode="json"), params.evaluate.outside_path
    source = finder.find(
        "source", data.path, settings, lambda: load_source(data.source).locate(data.path, data, log_reading)
    )
    labels = finder.find("labels", data.labels, settings, lambda: find_labels_file(data.labels, source.target))
    pictures = finder.find("outside", outside, {"path": outside}, lambda: locate_outside(outside))
    if pictures.target is not None or pictures.seen.content is None:
        copy_pictures(pictures.target)
    elif not OUTSIDE.exists():
        raise PipelineError(
            f"evaluate.outside_path {outside!r} is not on this machine, nor its copy: run `dvc pull {OUTSIDE}`"
        )
    with folder_aside(LOCATED) as folder:
        constant = f"Images of source {data.source} do not change on this machine.\n"
        (folder / data.source).write_text(f"{source.seen.content}\n" if source.seen.content else constant)
        constant = "There is no file of labels beside the source.\n"
        (folder / "labels").write_text(f"{labels.seen.content}\n" if labels.seen.content else constant)
    finder.finish()
    logger.info("images come from %s", f"{data.source}: {source.target}" if source.target else data.source)


def locate_outside(path: str | None) -> Path | None:
    """The folder of pictures that are in no split. Raises PipelineError if it does not exist, contains no picture, or
    contains another DVC project."""
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
    check_projects(list_folder(folder).projects, f"evaluate.outside_path {path!r}")
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


if __name__ == "__main__":
    run_verb(locate, __doc__)
