"""The sources of images that exist, and their settings. Cheap to import: no image is read here."""

from typing import Annotated, Literal

from pydantic import AfterValidator

from pipeline.config.address import Place
from pipeline.config.types import (
    Caps,
    ClassName,
    Count,
    Merges,
    Name,
    NotNegative,
    Pixels,
    Positive,
    Section,
    Seed,
)


def _check_encoding(name: str) -> str:
    try:
        b" ".decode(name)
    except (LookupError, UnicodeError):
        raise ValueError("the name of a code page, such as cp932, gbk or utf-8") from None
    return name


class LabelColumns(Section):
    """Columns of `data.labels`, by name. label null: the classes are columns, one of which is 1 in each row."""

    path: str
    label: str | None
    split: str | None
    group: str | None
    time: str | None


class ReadingSettings(Section):
    """The part of `data` that says what the folders and files of a source mean; see pipeline.sources.class_folders."""

    root: Name | None
    layout: Literal["auto", "flat", "split"]
    splits: dict[Name, Literal["train", "val", "test", "ignore"]]
    classes: Literal["folders", "parent", "file"]
    labels: Place | None
    label_columns: LabelColumns
    encoding: Annotated[str, AfterValidator(_check_encoding)] | None


class SourceSettings(Section):
    """The settings that every source has."""

    image_size: Pixels
    drop_classes: list[ClassName]
    merge_classes: Merges
    max_images_per_class: Caps | None
    min_images_per_class: Count | None


class ScenesSettings(SourceSettings):
    images_per_class: Count
    seed: Seed


class Cifar10Settings(SourceSettings):
    url: Place
    npm_package: str
    timeout: Positive


class FolderSettings(SourceSettings):
    pass


class ArchiveSettings(SourceSettings):
    max_unpacked_gb: Positive
    max_ratio: Positive
    max_download_gb: Positive
    min_rate: NotNegative
    timeout: Positive


# Modules are named, not imported: a run needs one source, and a stage that only reads parameters none.
SOURCES: dict[str, tuple[str, type[SourceSettings]]] = {
    "scenes": ("pipeline.sources.scenes", ScenesSettings),
    "cifar10": ("pipeline.sources.cifar10", Cifar10Settings),
    "folder": ("pipeline.sources.folder", FolderSettings),
    "archive": ("pipeline.sources.archive", ArchiveSettings),
}
