"""Where images come from. A source is a module with `locate` and `read_images`, its settings, and one line in SOURCES."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from pipeline.config.sources import SOURCES


@dataclass(frozen=True)
class RawImage:
    """One file as the source has it.

    name: path inside the source, with forward slashes; unique. label: class name. source_split: train, val, test, or
    empty where the source brings no splits. data: the encoded bytes, or None where they can't be had, and then
    reason says why.
    """

    name: str
    label: str
    source_split: str
    data: bytes | None
    reason: str = ""


class Source(Protocol):
    """What every module named in SOURCES has."""

    def locate(self, path: str | None) -> Path | None:
        """Checks `data.path`. Returns the local file or folder whose changes matter, or None if there is none."""

    def read_images(self, *, path: str | None, sha256: str | None, settings: Any) -> Iterator[RawImage]:
        """Yields every image, always in the same order, a bounded number in memory at a time."""


def load_source(name: str) -> Source:
    """The module behind a name of SOURCES."""
    return cast(Source, import_module(SOURCES[name][0]))
