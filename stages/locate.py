"""Checks where the images come from, before any work, and tells DVC what to watch there.

Writes data/watch/<source>: a link to the user's folder or archive, so that `dvc repro` notices when an image in it is added,
changed or removed; for a source that can't change, a line that says so. Likewise data/watch/labels, the CSV file that
data.labels names on this machine, and data/watch/outside, the folder of pictures that are in no split, evaluate.outside_path.

Says what it takes the folders for, and stops where they can be read in two ways.
"""

import logging
from pathlib import Path

from pipeline.config.reader import load_params
from pipeline.data.image_files import list_pictures
from pipeline.runtime.cli import run_verb
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import folder_aside
from pipeline.runtime.paths import WATCH
from pipeline.sources.labels import find_labels_file
from pipeline.sources.loader import load_source
from pipeline.sources.local_folder import check_projects, list_folder
from pipeline.sources.local_paths import resolve_path
from pipeline.sources.reading import log_reading

logger = logging.getLogger(__name__)


def locate() -> None:
    params = load_params()
    data = params.data
    target = load_source(data.source).locate(data.path, data, log_reading)
    labels = find_labels_file(data.labels, target)
    outside = locate_outside(params.evaluate.outside_path)
    with folder_aside(WATCH) as folder:
        watch(folder / data.source, target, f"Images of source {data.source} do not change on this machine.\n")
        watch(folder / "labels", labels, "There is no file of labels beside the source.\n")
        watch(folder / "outside", outside, "There are no outside pictures: evaluate.outside_path is null.\n")
    logger.info("images come from %s", f"{data.source}: {target}" if target else data.source)


def watch(entry: Path, target: Path | None, otherwise: str) -> None:
    """Makes `entry` a link to what may change, or a file with one line if nothing can."""
    if target is None:
        entry.write_text(otherwise)
    else:
        entry.symlink_to(target)


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


if __name__ == "__main__":
    run_verb(locate, __doc__)
