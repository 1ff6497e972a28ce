"""Checks where the images come from, before any work, and tells DVC what to watch there.

Writes data/watch/<source>: a link to the user's folder or archive, so that `dvc repro` notices when an image in it is added,
changed or removed; for a source that can't change, a line that says so. Likewise data/watch/outside: a link to the folder of
pictures that are in no split, if evaluate.outside_path names one.
"""

import logging
from pathlib import Path

from pipeline.config.reader import load_params
from pipeline.data.image_files import list_pictures
from pipeline.runtime.cli import run_verb
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import folder_aside
from pipeline.runtime.paths import WATCH
from pipeline.sources.loader import load_source

logger = logging.getLogger(__name__)


def locate() -> None:
    params = load_params()
    source = params.data.source
    target = load_source(source).locate(params.data.path)
    outside = locate_outside(params.evaluate.outside_path)
    with folder_aside(WATCH) as folder:
        watch(folder / source, target, f"Images of source {source} do not change on this machine.\n")
        watch(folder / "outside", outside, "There are no outside pictures: evaluate.outside_path is null.\n")
    logger.info("images come from %s", f"{source}: {target}" if target else source)


def watch(entry: Path, target: Path | None, otherwise: str) -> None:
    """Makes `entry` a link to what may change, or a file with one line if nothing can."""
    if target is None:
        entry.write_text(otherwise)
    else:
        entry.symlink_to(target)


def locate_outside(path: str | None) -> Path | None:
    """The folder of pictures that are in no split. Raises PipelineError if it does not exist or contains no picture."""
    if path is None:
        return None
    folder = Path(path).expanduser().absolute()
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise PipelineError(f"evaluate.outside_path {path!r} {what}: expected a folder of pictures, or null")
    if next(list_pictures(folder), None) is None:
        raise PipelineError(
            f"evaluate.outside_path {path!r} contains no picture: expected files such as .jpg or .png below it, or null"
        )
    return folder


if __name__ == "__main__":
    run_verb(locate, __doc__)
