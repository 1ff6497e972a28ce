"""What registries name and a stage imports only while it runs: the modules of sources, families' builders and backbones."""

from collections.abc import Collection
from dataclasses import dataclass

from pipeline.config.families import BACKBONES, FAMILIES
from pipeline.config.sources import SOURCES

# Modules whose dicts are registries: an entry counts for whoever uses it, not for all that import the module.
REGISTRIES = {"pipeline.config.families": ("FAMILIES", "BACKBONES"), "pipeline.config.sources": ("SOURCES",)}
_SOURCE_LOADER = "pipeline.sources.loader"
_FAMILY_LOADER = "pipeline.models.build"
_BACKBONE_LOADER = "pipeline.models.backbones.loader"


@dataclass(frozen=True)
class Variant:
    """What a verb runs besides its imports, for one source or family. modules: by name. entries: of registries, as text."""

    modules: frozenset[str]
    entries: tuple[str, ...]


def find_source_variant(source: str, closure: Collection[str]) -> Variant | None:
    """For `closure`, the modules that a verb imports; None for a verb that loads no source."""
    if _SOURCE_LOADER not in closure:
        return None
    module = SOURCES[source][0]
    return Variant(frozenset([module]), (f"{source}: {module}",))


def find_family_variant(family: str, closure: Collection[str], teacher: str | None = None) -> Variant | None:
    """The same for a family; None for a verb that neither builds a family's model nor loads its backbone. teacher: a family
    that it learns from, whose model and backbone count too."""
    if _FAMILY_LOADER not in closure and _BACKBONE_LOADER not in closure:
        return None
    modules, entries = set(), []
    for declared in [FAMILIES[name] for name in (family, teacher) if name is not None]:
        if _FAMILY_LOADER in closure:
            modules.add(declared.builder.partition(":")[0])
            entries.append(repr(declared))
        if _BACKBONE_LOADER in closure and declared.backbone is not None:
            modules.add(BACKBONES[declared.backbone].partition(":")[0])
            entries.append(f"{declared.backbone}: {BACKBONES[declared.backbone]}")
    return Variant(frozenset(modules), tuple(entries))
