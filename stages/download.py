"""Copies the images of data.source to data/raw: their bytes unchanged, in a few large files, with an index."""

import logging

from pipeline.config.reader import load_params
from pipeline.data.raw import save_raw
from pipeline.runtime.cli import run_verb
from pipeline.runtime.progress import progress_bar
from pipeline.sources.loader import load_source

logger = logging.getLogger(__name__)


def download() -> None:
    params = load_params()
    source = load_source(params.data.source)
    images = source.read_images(path=params.data.path, sha256=params.data.sha256, settings=params.source_settings)
    written = save_raw(progress_bar(images, desc="download", unit=" images"), {"source": params.data.source})
    logger.info(f"{written:,} files from {params.data.source}")


if __name__ == "__main__":
    run_verb(download, __doc__)
