"""Where images come from. A source is a module with `locate` and `read_images`, its settings, and one line in SOURCES."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from stages.schema import Count, Pixels, Positive, Section, Seed


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


class SourceSettings(Section):
    """What every source brings along."""

    image_size: Pixels
    drop_classes: list[str]
    merge_classes: dict[str, list[str]]
    max_images_per_class: Count | None
    min_images_per_class: Count | None


class ScenesSettings(SourceSettings):
    images_per_class: Count
    seed: Seed


class Cifar10Settings(SourceSettings):
    url: str
    npm_package: str
    timeout: Positive


class FolderSettings(SourceSettings):
    pass


class ArchiveSettings(SourceSettings):
    max_unpacked_gb: Positive
    max_ratio: Positive
    timeout: Positive


# Modules are named, not imported: a run draws on one source, and a stage that only reads parameters on none.
SOURCES: dict[str, tuple[str, type[SourceSettings]]] = {
    "scenes": ("stages.sources.scenes", ScenesSettings),
    "cifar10": ("stages.sources.cifar10", Cifar10Settings),
    "folder": ("stages.sources.folder", FolderSettings),
    "archive": ("stages.sources.archive", ArchiveSettings),
}


def load_source(name: str) -> Source:
    """The module behind a name of SOURCES."""
    return cast(Source, import_module(SOURCES[name][0]))
