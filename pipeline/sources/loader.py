"""Imports the module of a source when it is needed. A source is a module that matches `Source`, and one line in SOURCES."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from pipeline.config.sources import SOURCES
from pipeline.sources.raw_image import RawImage


class Source(Protocol):
    """What every module named in SOURCES provides."""

    def locate(self, path: str | None) -> Path | None:
        """Checks `data.path`. Returns the local file or folder that DVC must watch, or None if there is none."""

    def read_images(self, *, path: str | None, sha256: str | None, settings: Any) -> Iterator[RawImage]:
        """Yields every image, always in the same order, with a bounded number in memory at a time."""


def load_source(name: str) -> Source:
    """The module of a source, by its name in SOURCES."""
    return cast(Source, import_module(SOURCES[name][0]))
