"""Checks the places where images come from, before any work, and shows DVC what to watch there.

Writes data/watch/<source>: a link to the user's own folder or archive, so that `dvc repro` notices when an image in it is
added, changed or removed; for sources that can't change, a line that says so. data/watch/outside likewise: the folder of
pictures that are in no split, where evaluate.outside_path names one.
"""

from pathlib import Path

from pipeline.config.reader import load_params
from pipeline.data.image_files import list_pictures
from pipeline.runtime.cli import run_verb
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import folder_aside
from pipeline.runtime.paths import WATCH
from pipeline.sources import load_source


def locate() -> None:
    params = load_params()
    source = params.data.source
    target = load_source(source).locate(params.data.path)
    outside = locate_outside(params.evaluate.outside_path)
    with folder_aside(WATCH) as folder:
        watch(folder / source, target, f"Images of source {source} do not change on this machine.\n")
        watch(folder / "outside", outside, "There are no outside pictures: evaluate.outside_path is null.\n")
    print(f"images come from {source}" + (f": {target}" if target else ""))


def watch(entry: Path, target: Path | None, otherwise: str) -> None:
    """A link to what may change, or a line where nothing can."""
    if target is None:
        entry.write_text(otherwise)
    else:
        entry.symlink_to(target)


def locate_outside(path: str | None) -> Path | None:
    """The folder of pictures that are in no split, checked to hold some. Raises PipelineError."""
    if path is None:
        return None
    folder = Path(path).expanduser().absolute()
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise PipelineError(f"evaluate.outside_path {path!r} {what}: expected a folder of pictures, or null")
    if next(list_pictures(folder), None) is None:
        raise PipelineError(
            f"evaluate.outside_path {path!r} holds no picture: expected files such as .jpg or .png below it, or null"
        )
    return folder


if __name__ == "__main__":
    run_verb(locate, __doc__)
