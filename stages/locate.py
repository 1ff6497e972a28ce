"""Checks where the images come from, before any work, and tells DVC what to watch there.

Writes data/located: a digest of the user's folder or archive, so that `download` runs again when an image in it was added,
changed or removed; for a source that can't change, a line that says so. Likewise of the CSV file that data.labels names on this
machine. Copies the pictures that are in no split, of evaluate.outside_path, to data/outside, and the files of prune.exclude and
prune.relabel to data/corrections.

Says what it takes the folders for, and stops where they can be read in two ways. What is not on this machine, but was read
under the same parameters, stops nothing: what was downloaded from it is used.
"""

import logging
from functools import partial

from pipeline.config.reader import load_params
from pipeline.data.correction_files import copy_corrections, locate_corrections
from pipeline.data.outside import copy_pictures, locate_outside
from pipeline.runtime.cli import run_verb
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import folder_aside
from pipeline.runtime.paths import LOCATED, OUTSIDE
from pipeline.sources.finding import Finder
from pipeline.sources.labels import find_labels_file
from pipeline.sources.loader import load_source
from pipeline.sources.reading import log_reading

logger = logging.getLogger(__name__)


def locate() -> None:
    params = load_params()
    data, finder = params.data, Finder()
    settings, outside = data.model_dump(mode="json", exclude={"keep"}), params.evaluate.outside_path
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
    rules = {"exclude": params.prune.exclude, "relabel": params.prune.relabel}
    copy_corrections(
        {
            kind: finder.find(kind, path, {"path": path}, partial(locate_corrections, kind, path))
            for kind, path in rules.items()
        }
    )
    with folder_aside(LOCATED) as folder:
        constant = f"Images of source {data.source} do not change on this machine.\n"
        (folder / data.source).write_text(f"{source.seen.content}\n" if source.seen.content else constant)
        constant = "There is no file of labels beside the source.\n"
        (folder / "labels").write_text(f"{labels.seen.content}\n" if labels.seen.content else constant)
    finder.finish()
    logger.info("images come from %s", f"{data.source}: {source.target}" if source.target else data.source)


if __name__ == "__main__":
    run_verb(locate, __doc__)
