"""The sources of images that exist, and their settings. Cheap to import: no image is read here."""

from pipeline.config.types import Count, Pixels, Positive, Section, Seed


class SourceSettings(Section):
    """The settings that every source has."""

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


# Modules are named, not imported: a run needs one source, and a stage that only reads parameters none.
SOURCES: dict[str, tuple[str, type[SourceSettings]]] = {
    "scenes": ("pipeline.sources.scenes", ScenesSettings),
    "cifar10": ("pipeline.sources.cifar10", Cifar10Settings),
    "folder": ("pipeline.sources.folder", FolderSettings),
    "archive": ("pipeline.sources.archive", ArchiveSettings),
}
