"""Changed copies of pictures, such as flipped ones, by the names that programs give them. With one in train and another in
test, test is too easy."""

import re
from collections.abc import Iterable

from pipeline.sources.names import find_words

_FOLDERS = frozenset({"augmented", "augmentation", "augmentations", "aug"})
_CHANGES = frozenset(  # at the end of a name: 1_flipped.jpg beside 1.jpg
    {
        *_FOLDERS,
        *("flip", "flipped", "hflip", "vflip", "fliplr", "flipud", "mirror", "mirrored", "rot", "rotate", "rotated"),
        *(
            "rotation",
            "blur",
            "blurred",
            "noise",
            "noisy",
            "bright",
            "brightness",
            "contrast",
            "crop",
            "cropped",
            "zoom",
        ),
        *("zoomed", "sheared", "shear", "translated", "shifted"),
    }
)
_CHANGED = re.compile(r"[ ._-]+([A-Za-z]+)(?:[ ._-]?\d+)?$")
_ROBOFLOW = re.compile(
    r"(.+)\.rf\.[0-9A-Za-z]{8,}$"
)  # cat_1_jpg.rf.5f3a…: of one original there are as many as were asked for
_AUGMENTOR = re.compile(r"_original_.+_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


def find_versions(names: Iterable[str]) -> list[str]:
    """Those of `names`, paths with /, that are changed copies, in order: in a folder of such, or by their own names. Of several
    versions of an original that is not there, the first is none."""
    paths = list(names)
    folders = {path.rpartition("/")[0] for path in paths}
    changed = {folder for folder in folders if any(_FOLDERS & set(find_words(part)) for part in folder.split("/"))}
    originals: set[str] = set()
    found: dict[str, str] = {}  # with the original that must be there, or empty
    for path in paths:
        stem = path.rpartition(".")[0]
        if path.rpartition("/")[0] in changed or _AUGMENTOR.search(stem):
            found[path] = ""
        elif version := _ROBOFLOW.fullmatch(stem):
            if version[1] in originals:
                found[path] = ""
            originals.add(version[1])
        elif (last := _CHANGED.search(stem)) and last[1].lower() in _CHANGES:
            found[path] = stem[: last.start()]
    wanted = set(found.values()) - {""}
    known = {stem for path in paths if wanted and (stem := path.rpartition(".")[0]) in wanted}
    return [path for path, original in found.items() if not original or original in known]
