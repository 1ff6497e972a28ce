"""Copies the images of data.source to data/raw: their bytes unchanged, in a few large files, with an index.
With data.keep: reference, only the index, with a digest of each.

Says what it takes the source's folders for; data/raw/source.json keeps that, and data.root, layout, splits, classes and labels
settle it.
"""

import logging
from itertools import chain, islice

from pipeline.config.reader import load_params
from pipeline.data.raw import save_raw
from pipeline.runtime.cli import run_verb
from pipeline.runtime.progress import progress_bar
from pipeline.sources.loader import load_source
from pipeline.sources.reading import Reading, SourceFacts, log_reading

logger = logging.getLogger(__name__)


def download() -> None:
    params = load_params()
    name = params.data.source
    facts: SourceFacts = {"source": name}

    def record(reading: Reading) -> None:
        log_reading(reading)
        facts["reading"] = reading.facts()

    images = load_source(name).read_images(
        path=params.data.path,
        sha256=params.data.sha256,
        settings=params.source_settings,
        reading=params.data,
        record=record,
    )
    first = list(islice(images, 1))  # by then the source has said how it is read; the progress bar comes below that
    root = params.data.path if params.data.keep == "reference" else None
    written = save_raw(progress_bar(chain(first, images), desc="download", unit=" images"), facts, root=root)
    logger.info(f"{written:,} files from {name}")


if __name__ == "__main__":
    run_verb(download, __doc__)
