"""Masks and thumbnails, which lie beside the pictures that they were made from, and are left out: folders of them, and files
whose names say so."""

from collections.abc import Iterable
from functools import cache

from pipeline.sources.decision import Decision, quote
from pipeline.sources.derived import find_derived
from pipeline.sources.names import find_split_word, find_words, means_images, means_masks, means_thumbnails
from pipeline.sources.tree import Folder, drop

EXTRAS = "masks or thumbnails"
_MAPS = frozenset({"map", "maps", "depth"})  # of a picture that is there too


def leave_out_neighbours(level: Folder, decision: Decision) -> None:
    """Those that have a folder of their own: images/… and masks/… ."""
    tops = level.filled
    extra = [top for top in tops if means_thumbnails(top.name) or means_masks(top.name)]
    rest = [top for top in tops if top not in extra]
    are_named = rest and all(means_images(top.name) or find_split_word(top.name) for top in rest)
    if extra and (are_named or all(_are_made_of(top, rest) for top in extra)):
        for folder in extra:
            decision.ignore([folder], EXTRAS)
            decision.warn(
                f"folder {folder.path} ({folder.count:,} pictures) beside {quote(rest)} is left out: masks or thumbnails"
            )
            drop(folder, level)


def _are_made_of(top: Folder, others: list[Folder]) -> bool:
    """Whether most pictures of a folder have the folder and the name, without extension, of one in others: those of
    segmentations/cat and of photos/cat."""
    known = {_find_place(path) for other in others for path in other.list_pictures()}
    paths = top.list_pictures()
    return 10 * sum(_find_place(path) in known for path in paths) > 9 * len(paths)


def _find_place(path: str) -> tuple[str, str]:
    """The folder of a picture, unless its name says images or masks, and its own name without extension."""
    above, _, name = path.rpartition("/")
    folder = above.rpartition("/")[2]
    says_nothing = means_images(folder) or means_masks(folder) or means_thumbnails(folder)
    return "" if says_nothing else folder, name.rpartition(".")[0]


def leave_out_inside_classes(level: Folder, decision: Decision) -> None:
    """Those in folders inside classes, beside pictures: <class>/images and <class>/masks."""
    found: dict[str, list[Folder]] = {}
    for folder in level.walk():
        if folder.path in decision.classes:
            for child in folder.filled:
                is_extra = means_masks(child.name) or means_thumbnails(child.name) or _are_maps(child, folder)
                if is_extra and (folder.pictures or len(folder.filled) > 1):
                    found.setdefault(child.name, []).append(child)
    for name, folders in found.items():
        count = sum(folder.count for folder in folders)
        decision.ignore(folders, EXTRAS)
        decision.warn(
            f"{count:,} pictures in folders {name} inside {len(folders)} classes are left out as masks or thumbnails of the "
            "others: data.layout=flat reads them too"
        )


def _are_maps(folder: Folder, above: Folder) -> bool:
    """Whether a folder called maps or depth has as many pictures as lie beside it: these words alone may mean a class."""
    return bool(set(find_words(folder.name)) & _MAPS) and folder.count == len(above.pictures)


def find_files_of_extras(names: Iterable[str]) -> set[str]:
    """Pictures such as 1_mask.png and 1_mask_2.png beside 1.png. names: paths with /."""
    return find_derived(names, _means_extra)


@cache
def _means_extra(word: str) -> bool:
    """Not of a folder: seg_train is a split."""
    return word.lower() in {"seg", *_MAPS} or means_masks(word) or means_thumbnails(word)
