"""What the paths of a data set mean: which folder is a split, which is a class, which file is an image.

The sources folder and archive share this: both turn a list of paths into (path, label, split).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from pipeline.runtime.errors import PipelineError
from pipeline.sources.formats import IMAGE_EXTENSIONS

# Files and folders that operating systems create beside images; they are ignored.
_LITTER = frozenset({"thumbs.db", "desktop.ini", "icon\r", "__macosx"})

_SPLIT_OF_FOLDER = {
    **dict.fromkeys(("train", "training", "seg_train", "train_set", "training_set", "trainset"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "seg_val", "val_set", "validation_set", "valset"), "val"),
    **dict.fromkeys(("test", "testing", "seg_test", "test_set", "testing_set", "testset"), "test"),
}
_UNLABELLED_FOLDERS = frozenset({"seg_pred", "pred", "predict", "prediction", "unlabelled", "unlabeled"})


@dataclass(frozen=True)
class TreeFile:
    """path: as given. label: class name, or empty outside class folders. reason: why it can't be used, or empty."""

    path: str
    label: str
    source_split: str
    reason: str = ""


def read_tree(paths: Iterable[str], where: str) -> list[TreeFile]:
    """Labels and splits of the files below one root.

    paths: relative, with forward slashes. where: the root, for messages. Returns one TreeFile per path, sorted by path, without
    litter and unlabelled folders. Raises PipelineError if there are no class folders, or if splits and classes can't be told
    apart.
    """
    parts = {path: PurePosixPath(path).parts for path in sorted(paths)}
    parts = {path: names for path, names in parts.items() if not any(_is_litter(name) for name in names)}
    if not parts:
        raise PipelineError(f"{where} contains no files: expected <class>/<image>, or train/<class>/<image> and so on")
    # The folders of images count; a licence text in the root says nothing about the others.
    images = [names for path, names in parts.items() if not _refusal(path, "any")] or list(parts.values())
    depth = _count_wrappers(images)
    has_splits = _check_tops({names[depth] for names in images if len(names) > depth + 1}, where)
    doubled = _find_doubled([names[depth:] for names in images]) if has_splits else set()
    placed = [_place(path, names[depth:] or names[-1:], has_splits, doubled) for path, names in parts.items()]
    files = [file for file in placed if file is not None]
    if not any(file.label for file in files):
        raise PipelineError(
            f"{where} has no class folders: expected <class>/<image>, or train/<class>/<image> and so on; "
            f"received files such as {next(iter(parts))!r} with no folder above them"
        )
    return files


def _is_litter(name: str) -> bool:
    return name.lower() in _LITTER or (name.startswith(".") and name not in (".", ".."))


def _count_wrappers(images: list[tuple[str, ...]]) -> int:
    """How many folders wrap the whole tree: animals/train/… is read as train/…, as everything is in `animals`."""
    depth = 0
    while len({names[depth] for names in images}) == 1 and _is_wrapper([names[depth:] for names in images]):
        depth += 1
    return depth


def _is_wrapper(images: list[tuple[str, ...]]) -> bool:
    """Whether the folders below the only top folder can be classes or splits: two or more, or one with the name of a split."""
    if images[0][0].lower() in _SPLIT_OF_FOLDER or any(len(names) < 3 for names in images):
        return False
    below = {names[1].lower() for names in images}
    return len(below) > 1 or next(iter(below)) in _SPLIT_OF_FOLDER or _is_wrapper([names[1:] for names in images])


def _check_tops(tops: set[str], where: str) -> bool:
    """Whether the top folders are splits. One named train may be a class (of vehicles), but not beside one named test."""
    tops = {top for top in tops if top.lower() not in _UNLABELLED_FOLDERS}
    splits = {top: _SPLIT_OF_FOLDER[top.lower()] for top in sorted(tops) if top.lower() in _SPLIT_OF_FOLDER}
    others = sorted(tops - set(splits))
    if others and len(set(splits.values())) > 1:
        raise PipelineError(
            f"{where} mixes splits ({', '.join(splits)}) with other folders ({', '.join(others[:5])}): "
            "expected either class folders or train/val/test folders; move the others away"
        )
    if splits and not others and "train" not in splits.values():
        raise PipelineError(f"{where} has {', '.join(splits)} but no train folder: expected one")
    return bool(splits) and not others


def _find_doubled(images: list[tuple[str, ...]]) -> set[str]:
    """Split folders that contain only a folder of the same name, as in Kaggle's archives: seg_train/seg_train/<class>.

    In a data set of vehicles, train/train is a class: there are others beside it.
    """
    below: dict[str, set[str]] = {}
    for names in images:
        if len(names) > 2:
            below.setdefault(names[0], set()).add(names[1].lower())
    return {top for top, folders in below.items() if folders == {top.lower()}}


def _place(path: str, names: tuple[str, ...], has_splits: bool, doubled: set[str]) -> TreeFile | None:
    """One file's label and split; None in a folder that is named as unlabelled."""
    if names[0].lower() in _UNLABELLED_FOLDERS and len(names) > 1 and has_splits:
        return None
    split = _SPLIT_OF_FOLDER.get(names[0].lower(), "") if has_splits and len(names) > 1 else ""
    if split:
        is_doubled = names[0] in doubled and len(names) > 2 and names[1].lower() == names[0].lower()
        names = names[2:] if is_doubled else names[1:]
    label = names[0] if len(names) > 1 else ""
    return TreeFile(path, label, split, _refusal(path, label))


def _refusal(path: str, label: str) -> str:
    if not label:
        return "lies in no class folder"
    extension = PurePosixPath(path).suffix.lower()
    return "" if extension in IMAGE_EXTENSIONS else f"not an image file: extension {extension!r}"
