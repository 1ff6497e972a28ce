"""Changed copies of pictures, such as flipped ones, by the names that programs give them. With one in train and another in
test, test is too easy."""

import re
from collections.abc import Iterable

from pipeline.sources.derived import find_derived
from pipeline.sources.names import find_words

_FOLDERS = frozenset({"augmented", "augmentation", "augmentations", "aug"})
# At the end of a name: 1_flipped.jpg beside 1.jpg.
_FLIPS = frozenset({"flip", "flipped", "hflip", "vflip", "fliplr", "flipud", "mirror", "mirrored"})
_MOVES = frozenset({"rot", "rotate", "rotated", "rotation", "sheared", "shear", "translated", "shifted"})
_CROPS = frozenset({"crop", "cropped", "zoom", "zoomed"})
_SHADES = frozenset({"blur", "blurred", "noise", "noisy", "bright", "brightness", "contrast"})
_CHANGES = _FOLDERS | _FLIPS | _MOVES | _CROPS | _SHADES
# cat_1_jpg.rf.5f3a…: of one original there are as many as were asked for.
_ROBOFLOW = re.compile(r"(.+)\.rf\.[0-9A-Za-z]{8,}$")
_AUGMENTOR = re.compile(r"_original_.+_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


def find_versions(names: Iterable[str]) -> list[str]:
    """Those of `names`, paths with /, that are changed copies, in order: in a folder of such, or by their own names, also those
    that differ by their extension alone. Of several versions of an original that is not there, the first is none."""
    paths = list(names)
    folders = {path.rpartition("/")[0] for path in paths}
    changed = {folder for folder in folders if any(_FOLDERS & set(find_words(part)) for part in folder.split("/"))}
    found = find_derived(paths, lambda word: word.lower() in _CHANGES)
    originals: set[str] = set()
    stems: set[str] = set()
    for path in paths:
        stem = path.rpartition(".")[0]
        if path.rpartition("/")[0] in changed or _AUGMENTOR.search(stem) or stem in stems:  # 1.jpg beside 1.tif
            found.add(path)
        elif version := _ROBOFLOW.fullmatch(stem):
            if version[1] in originals:
                found.add(path)
            originals.add(version[1])
        stems.add(stem)
    return [path for path in paths if path in found]
