"""What the names of folders and files say: litter, splits, parts of a set, thumbnails; and names as text in tables."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from pipeline.runtime.files import readable_name

# What operating systems, servers and programs put beside pictures.
_LITTER = frozenset(
    {
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "zbthumbnail.info", "picasa.ini"),
        *("__macosx", "@eadir", "#recycle", "@recycle", "@recently-snapshot", "#snapshot", "$recycle.bin", "recycler"),
        *("system volume information", "lost+found", "__pycache__", "_vti_cnf", "network trash folder"),
        *("temporary items",),
    }
)

# Names that say alone, without doubt, which split a folder is.
PLAIN_SPLITS = {
    **dict.fromkeys(("train", "training", "seg_train", "train_set", "training_set", "trainset"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "seg_val", "val_set", "validation_set", "valset"), "val"),
    **dict.fromkeys(("test", "testing", "seg_test", "test_set", "testing_set", "testset"), "test"),
}
PLAIN_UNLABELLED = frozenset({"seg_pred", "pred", "predict", "prediction", "unlabelled", "unlabeled"})

# The same words inside longer names: Training_data, asl_alphabet_train, imgs-val, single_prediction.
_WORDS = {
    **dict.fromkeys(("train", "training", "trn", "trainval"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "crossval", "crossvalidation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "holdout"), "test"),
    **dict.fromkeys(("eval", "evaluation", "evaluate"), "eval"),
    **dict.fromkeys(("pred", "predict", "prediction", "predictions", "inference"), "pred"),
    **dict.fromkeys(("unlabelled", "unlabeled"), "unlabelled"),
}
_STUCK = r"(?:image|img|pic|picture|photo|data|dataset|sample|folder|file|set|split|part|dir)s?"
_WORD = re.compile(rf"(?:{_STUCK})?({'|'.join(sorted(_WORDS, key=len, reverse=True))})(?:{_STUCK})?")

_IMAGES = frozenset(
    {
        *(
            "image",
            "images",
            "img",
            "imgs",
            "picture",
            "pictures",
            "pic",
            "pics",
            "photo",
            "photos",
            "jpg",
            "jpeg",
            "jpegs",
        ),
        *("png", "pngs", "data", "files", "raw", "original", "originals", "full", "color", "colour"),
    }
)
_MASKS = frozenset(
    {
        *(
            "mask",
            "masks",
            "segmentation",
            "segmentations",
            "segmented",
            "annotation",
            "annotations",
            "groundtruth",
            "gt",
        ),
        *("bbox", "bboxes", "heatmap", "heatmaps", "contour", "contours", "msk", "msks"),
    }
)
_THUMBNAILS = frozenset({"thumb", "thumbs", "thumbnail", "thumbnails", "preview", "previews"})
_PARTS = frozenset(
    {
        *(
            "part",
            "parts",
            "fold",
            "folds",
            "batch",
            "batches",
            "chunk",
            "chunks",
            "shard",
            "shards",
            "subset",
            "split",
        ),
        *("volume", "vol", "piece", "archive", "disk", "disc", "zip"),
    }
)
_NOT_LETTERS = re.compile(r"[\W\d_]+")
_DIGIT = re.compile(r"\d")
_HUMPS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")
_HELD_OUT = re.compile(r"(?i)(?<![^\W_])(?:hold|held)[ _-]?out(?![^\W_])")
_INVISIBLE = re.compile(r"[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff\u00ad]")
_BETWEEN = re.compile(r"(?<=[^\W_])[\s_-]+(?=[^\W_])")
_COPY = re.compile(  # cat - Copy (2), cat (1), cat_aug, Copy of cat, augmented_cat
    r"(?i)[ _-]+(?:copy(?: ?\(?\d+\)?)?|aug|augmented)$| ?\(\d+\)$|^copy (?:\(\d+\) )?of |^(?:aug|augmented)[ _-]+"
)
_NUMBER = re.compile(r"[\s._#-]*(?:\(\d+\)|\[\d+\]|\d+)$")


def fits(path: str, pattern: str) -> bool:
    """Whether a pattern of data.splits means a folder: `*` is any name or part of one, and what is equal always fits, as names
    may have brackets."""
    return path == pattern or (path.count("/") == pattern.count("/") and fnmatchcase(path, pattern))


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is no part of a data set: hidden, or made by an operating system."""
    return name.lower() in _LITTER or (name.startswith(".") and name not in (".", ".."))


def find_words(name: str) -> list[str]:
    """The words of a name, in lower case: TrainSet2 and train_set-2 are train, set."""
    text = _HUMPS.sub(" ", unicodedata.normalize("NFKC", name))
    return [word for word in _NOT_LETTERS.sub(" ", text).casefold().split() if word]


def find_split_word(name: str) -> str:
    """train, val, test, eval, pred or unlabelled, if the name has such a word; else, or if it has two, empty."""
    if name.lower() in PLAIN_SPLITS:
        return PLAIN_SPLITS[name.lower()]
    name = _HELD_OUT.sub("holdout", name)
    words = {*find_words(name), *_NOT_LETTERS.sub(" ", name.casefold()).split()}  # TrainSet, and TRAINset
    found = {_WORDS[match[1]] for word in words if (match := _WORD.fullmatch(word))}
    if found == {"train", "val"}:
        return "train"
    return next(iter(found)) if len(found) == 1 else ""


def is_plain_split(name: str) -> bool:
    """Whether nothing but a split has this name."""
    return name.lower() in PLAIN_SPLITS


def means_images(name: str) -> bool:
    """Whether a folder's name says no more than that pictures are in it."""
    words = find_words(name)
    return bool(words) and set(words) <= _IMAGES


def means_masks(name: str) -> bool:
    """Whether a folder's name says that its pictures are masks or other annotations of pictures."""
    return bool(set(find_words(name)) & _MASKS) or find_words(name) in (["ground", "truth"], ["bounding", "boxes"])


def means_thumbnails(name: str) -> bool:
    """Whether a folder's name says that small copies of pictures are in it."""
    words = find_words(name)
    return bool(words) and set(words) <= _THUMBNAILS | _IMAGES and bool(set(words) & _THUMBNAILS)


def are_parts(names: Iterable[str]) -> bool:
    """Whether two names or more differ only by a number, and have a word for a part: fold_0 and fold_1, images_001 and _002."""
    listed = list(names)
    stems = {" ".join(find_words(_drop_letter(name))) for name in listed}
    words = set(next(iter(stems)).split()) if len(stems) == 1 else set()
    return len(listed) > 1 and bool(words & (_PARTS | _IMAGES))


def are_numbered(names: Iterable[str]) -> bool:
    """Whether two names or more are a word and a number each, the same word: character01 and character02. Numbers alone are the
    names of classes."""
    listed = list(names)
    stems = {" ".join(find_words(name)) for name in listed}
    return len(listed) > 1 and len(stems) == 1 and "" not in stems and all(map(_DIGIT.search, listed))


def _drop_letter(name: str) -> str:
    """part_a as part_1: a single letter at the end, after a separator, counts."""
    return re.sub(r"(?<=[\s._-])[A-Za-z]$", "1", name)


def fold_name(name: str) -> str:
    """The same text for names that look alike: they differ only by case, by Unicode form, by characters that can't be seen, by
    blanks or dots around them, or by blank, hyphen or underscore between words."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", _INVISIBLE.sub("", name)).casefold())
    return _BETWEEN.sub(" ", text.strip(" .\t")) or text


def find_copied_name(name: str) -> str:
    """cat for `cat (1)`, `cat - Copy`, `Copy of cat` and `cat_aug`; empty for a name that is not that of a copy."""
    rest = _COPY.sub("", name).strip(" _-")
    return rest if rest != name.strip(" _-") else ""


def find_class_in_file_name(path: str) -> str:
    """cat for cat.12.jpg, cat (3).png and cat_0007.jpg; empty if nothing but a number is there."""
    return _NUMBER.sub("", PurePosixPath(path).stem).strip(" ._-")


def make_unique_names(paths: Iterable[str]) -> dict[str, str]:
    """Each path as text that every table can hold, one-to-one: where two would become alike, a digest tells them apart.

    paths: different ones; bytes that are not UTF-8 are surrogates in them.
    """
    names = {path: readable_name(path) for path in paths}
    if all(name == path for path, name in names.items()):
        return names
    counts = Counter(names.values())
    return {path: name if counts[name] == 1 or name == path else _mark(path, name) for path, name in names.items()}


def make_class_names(folders: Iterable[str]) -> dict[str, str]:
    """Each folder's name as the name of a class: text in Unicode's form NFC, so that composed and decomposed are one."""
    names = make_unique_names(set(folders))
    return {folder: unicodedata.normalize("NFC", name) for folder, name in names.items()}


def describe_rewritten(names: Mapping[str, str], what: str) -> str:
    """A line that says how many names are not written as they are, and one of them; empty if all are. names: as the source has
    them, and as they are written. what: they are, in the plural."""
    rewritten = sorted((old, new) for old, new in names.items() if new != old)
    changed = [new for old, new in rewritten if new != unicodedata.normalize("NFC", old)]
    if not changed:
        return ""
    example = f"'{changed[0]}'" + (" and so on" if len(changed) > 1 else "")
    return f"{what} with characters that can't be seen or stored: {len(changed):,}, written as {example}"


def _mark(path: str, name: str) -> str:
    digest = hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
    stem, dot, extension = name.rpartition(".")
    return f"{stem}~{digest}.{extension}" if dot and "/" not in extension else f"{name}~{digest}"
