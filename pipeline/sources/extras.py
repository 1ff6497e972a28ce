"""Masks and thumbnails, which lie beside the pictures that they were made from, and are left out: folders of them, and files
whose names say so."""

from collections.abc import Iterable
from functools import cache

from pipeline.sources.decision import Decision, quote
from pipeline.sources.derived import find_derived
from pipeline.sources.names import find_split_word, means_images, means_masks, means_thumbnails
from pipeline.sources.tree import Folder, drop

EXTRAS = "masks or thumbnails"


def leave_out_neighbours(level: Folder, decision: Decision) -> None:
    """Those that have a folder of their own: images/… and masks/… ."""
    tops = level.filled
    extra = [top for top in tops if means_thumbnails(top.name) or means_masks(top.name)]
    rest = [top for top in tops if top not in extra]
    if extra and rest and all(means_images(top.name) or find_split_word(top.name) for top in rest):
        for folder in extra:
            decision.ignore([folder], EXTRAS)
            decision.warn(
                f"folder {folder.path} ({folder.count:,} pictures) beside {quote(rest)} is left out: masks or thumbnails"
            )
            drop(folder, level)


def leave_out_inside_classes(level: Folder, decision: Decision) -> None:
    """Those in folders inside classes, beside pictures: <class>/images and <class>/masks."""
    found: dict[str, list[Folder]] = {}
    for folder in level.walk():
        if folder.path in decision.classes:
            for child in folder.filled:
                is_extra = means_masks(child.name) or means_thumbnails(child.name)
                if is_extra and (folder.pictures or len(folder.filled) > 1):
                    found.setdefault(child.name, []).append(child)
    for name, folders in found.items():
        count = sum(folder.count for folder in folders)
        decision.ignore(folders, EXTRAS)
        decision.warn(
            f"{count:,} pictures in folders {name} inside {len(folders)} classes are left out as masks or thumbnails of the "
            "others: data.layout=flat reads them too"
        )


def find_files_of_extras(names: Iterable[str]) -> set[str]:
    """Pictures such as 1_mask.png and 1_mask_2.png beside 1.png. names: paths with /."""
    return find_derived(names, _means_extra)


@cache
def _means_extra(word: str) -> bool:
    """Not of a folder: seg_train is a split."""
    return word.lower() == "seg" or means_masks(word) or means_thumbnails(word)
