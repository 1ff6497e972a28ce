"""Imports the module of a source when it is needed. A source is a module that matches `Source`, and one line in SOURCES."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from pipeline.config.sources import SOURCES, ReadingSettings
from pipeline.sources.raw_image import RawImage
from pipeline.sources.reading import Record


class Source(Protocol):
    """What every module named in SOURCES provides."""

    def locate(self, path: str | None, reading: ReadingSettings, record: Record) -> Path | None:
        """Checks `data.path`. Returns the local file or folder that DVC must watch, or None if there is none.

        reading, record: as of `read_images`; a source whose files can be listed in a moment records how it will read them.
        """

    def read_images(
        self, *, path: str | None, sha256: str | None, settings: Any, reading: ReadingSettings, record: Record
    ) -> Iterator[RawImage]:
        """Yields every image, always in the same order, with a bounded number in memory at a time: files of a local folder are
        still to be read, by all cores.

        reading: what the user says of folders and files. record: called once, before the first image, by a source that has
        something to decide; see pipeline.sources.class_folders.
        """


def load_source(name: str) -> Source:
    """The module of a source, by its name in SOURCES."""
    return cast(Source, import_module(SOURCES[name][0]))
