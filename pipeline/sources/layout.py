"""Decides what each folder of a source is: a wrapper, a split, a class, a part of the set, a copy, or nothing.

What a folder's name and its neighbours say without doubt is decided; what can be read in two ways is asked, in one line that
names both readings and the parameters that choose; `data.layout`, `data.splits`, `data.classes` and `data.root` settle it.
"""

from pipeline.config.sources import ReadingSettings
from pipeline.runtime.errors import PipelineError
from pipeline.sources.copies import Contents, find_nested_copy
from pipeline.sources.decision import IGNORED, Decision, quote, suggest_map, write_value
from pipeline.sources.extras import leave_out_inside_classes, leave_out_neighbours
from pipeline.sources.flat_layout import check_tops, find_joined, hold_versions
from pipeline.sources.names import are_numbered, find_split_word, fits, is_plain_split, means_images
from pipeline.sources.split_layout import (
    decide_splits,
    has_class_folders,
    leave_out_unlabelled,
    name_splits,
    refuse_unknown,
)
from pipeline.sources.tree import Folder, drop

_FEW = 3  # pictures beside folders that count as strays: a cover, a sample


def decide_layout(
    root: Folder, where: str, settings: ReadingSettings, contents: Contents, tables: list[str]
) -> Decision:
    """root: all pictures; what is left out is taken out of it. tables: paths of CSV files. Raises PipelineError, see above."""
    chosen = {pattern: split for pattern, split in settings.splits.items() if split != "ignore"}
    decision = Decision(where, is_settled=settings.layout != "auto" or bool(chosen) or settings.classes != "folders")
    dropped = [pattern for pattern, split in settings.splits.items() if split == "ignore"]
    from_root = [pattern for pattern in dropped if any(_fits(folder, root, pattern) for folder in root.walk())]
    _ignore(from_root, root, root, decision)
    level = _find_level(root, decision, contents, settings)
    if from_root != dropped:  # the others are names inside wrappers; without those folders there may be more wrappers
        _ignore([pattern for pattern in dropped if pattern not in from_root], level, root, decision)
        level = _find_level(level, decision, contents, settings)
    for folder in _match(level, root, list(chosen), where):
        decision.splits[folder.path] = next(chosen[p] for p in chosen if _fits(folder, level, p))
    _decide(level, decision, settings, tables)
    return decision


def _ignore(patterns: list[str], level: Folder, root: Folder, decision: Decision) -> None:
    for folder in _match(level, root, patterns, decision.where):
        decision.ignore([folder], IGNORED)
        _drop(folder, root)
    if not root.count and patterns:
        raise PipelineError(
            f"{decision.where} has no picture but in folders that data.splits ignores: expected some to be left"
        )


def _decide(level: Folder, decision: Decision, settings: ReadingSettings, tables: list[str]) -> None:
    if settings.classes != "folders":
        _decide_by_choice(level, decision, settings)
    elif settings.layout == "flat":
        decision.take_classes(level)
    elif settings.layout == "split" or decision.splits:
        decide_splits(level, decision, tables, is_told=True)
    else:
        _decide_alone(level, decision, tables)
    if settings.layout != "flat" and settings.classes == "folders":
        leave_out_inside_classes(level, decision)


def _decide_by_choice(level: Folder, decision: Decision, settings: ReadingSettings) -> None:
    """data.classes is parent or file; top folders may be splits still."""
    if settings.layout != "flat":
        _take_named_splits(level, decision, by_file=settings.classes == "file")
    if settings.classes == "file":
        decision.by_file = True
        return
    if settings.layout == "auto":
        for folder in list(level.walk()):
            leave_out_neighbours(folder, decision)
    pairs = [(above, folder) for above in level.walk() for folder in above.filled if folder.pictures]
    named = [(above, folder) for above, folder in pairs if folder.path not in decision.splits]
    only_images = all(
        means_images(folder.name) and above is not level and above.path not in decision.splits
        for above, folder in named
    )
    for above, folder in named:  # in n01440764/images the class is n01440764
        decision.classes[folder.path] = above.name if only_images else folder.name
    _warn_of_inner_splits(level, decision)
    _warn_of_shared(level, {folder.name for _, folder in named}, decision)
    if joined := find_joined(folder for _, folder in named if not only_images):
        paths = [path for path, name in sorted(decision.classes.items()) if name == joined[0]]
        decision.warn(
            f"{len(joined)} class(es) are of several folders, unlike most, such as {joined[0]} of {quote(paths[:3])}: if these "
            "are different classes, rename the folders, or name the classes in a CSV file (data.labels)"
        )


def _warn_of_inner_splits(level: Folder, decision: Decision) -> None:
    """Of folders above classes that are called train and test, inside of others, as data sets that each have splits."""
    inside = [folder for top in level.filled for child in top.filled for folder in child.walk() if folder.filled]
    words = {folder.path: find_split_word(folder.name) for folder in inside}
    splits = {path: word for path, word in words.items() if word in ("train", "val", "test")}
    kinds = set(splits.values())
    if len(kinds) > 1 and not any(path in decision.splits for path in splits):
        decision.warn(
            f"folders called {quote(sorted({path.rpartition('/')[2] for path in splits}))} inside of others are not read as "
            "splits; data.splits reads them, by their paths"
        )


def _warn_of_shared(level: Folder, classes: set[str], decision: Decision) -> None:
    """Where folders of one name are one class: of what are only numbered, and of versions of the same pictures."""
    tops = [top for top in level.filled if top.path not in decision.splits]
    if len(tops) > 1 and are_numbered(classes):
        decision.warn(
            f"classes are told apart by numbers only ({quote(sorted(classes)[:5])}), and those of one number are joined: if "
            "they are different in each folder, rename them, or name the classes in a CSV file (data.labels)"
        )
    if len(tops) > 1 and hold_versions(tops):
        decision.warn(
            f"the same names of pictures are in {quote(tops)}: if they are versions of the same pictures, read one of them "
            f"(data.root={write_value(tops[0].path)}), or else test has what training saw"
        )


def _take_named_splits(level: Folder, decision: Decision, *, by_file: bool) -> None:
    """Top folders that are splits by their names, or as the user says. Raises PipelineError where others are beside them."""
    tops = level.filled
    words = name_splits(tops, decision)
    named = {path: word for path, word in words.items() if word in ("train", "val", "test")}
    if len(named) < len(tops) and len(set(named.values())) < 2 and not decision.splits:
        return
    refuse_unknown(tops, words, decision)
    decision.splits = named | decision.splits
    is_deep = not by_file and any(top.filled for top in tops if top.path in named)
    for top in tops:
        if words[top.path] in ("pred", "unlabelled") or (top.path in named and is_deep and not top.filled):
            leave_out_unlabelled(top, decision)
            drop(top, level)


def _decide_alone(level: Folder, decision: Decision, tables: list[str]) -> None:
    """Nothing is told."""
    words = {top.name: find_split_word(top.name) for top in level.filled}
    splits = [top for top in level.filled if words[top.name] in ("train", "val", "test", "eval")]
    others = [top for top in level.filled if not words[top.name]]
    if splits and not others:
        decide_splits(level, decision, tables, is_told=False)
        return
    if others:
        _leave_out_predictions(level, decision)
    if others and len(others) < len(level.filled):
        _decide_mixture(level, decision, others)
    else:
        check_tops(level, decision, tables)


def _leave_out_predictions(level: Folder, decision: Decision) -> None:
    for folder in level.filled:
        if find_split_word(folder.name) == "unlabelled":
            decision.ignore([folder], "unlabelled")
            decision.warn(f"folder {folder.name} ({folder.count:,} pictures) is left out as unlabelled")
            drop(folder, level)


def _decide_mixture(level: Folder, decision: Decision, others: list[Folder]) -> None:
    """Folders named as splits or predictions beside `others`. One named train may be a class (of vehicles), but not
    beside one named test."""
    known = {top.path for top in others}
    odd = [top for top in level.filled if top.path not in known]
    splits = [top for top in odd if find_split_word(top.name) != "pred"]
    if len({find_split_word(top.name) for top in splits}) > 1:
        raise PipelineError(
            f"{decision.where} mixes splits ({quote(splits)}) with other folders ({quote(others[:5])}): expected either class "
            f"folders or train/val/test folders; leave the others out ({_suggest_ignoring(others[:5])}), say what they "
            f"are ({_suggest_split(splits, others)}), or read all as classes (data.layout=flat)"
        )
    if any(has_class_folders(top) for top in splits):
        decision.ask(
            f"all top folders are classes, {quote(odd)} too (data.layout=flat), or {quote(splits)} is a split that holds them "
            f"and {quote(others[:5])} are no part of it ({_suggest_ignoring(others[:5])}), or splits too "
            f"({_suggest_split(splits, others)})"
        )
    elif all(find_split_word(top.name) == "train" for top in odd):
        decision.warn(f"folder {quote(odd)} beside {quote(others[:5])} is read as a class, not as a split")
    elif not _are_opposites(odd, others):
        decision.ask(
            f"{quote(odd)} beside {quote(others[:5])} is one more class (data.layout=flat), or pictures without labels or of "
            f"another split, which do not belong there ({_suggest_ignoring(odd)})"
        )
    decision.take_classes(level)


def _are_opposites(tops: list[Folder], others: list[Folder]) -> bool:
    """Whether each top folder has its opposite beside it: valid and invalid are classes."""
    names = {other.name.lower() for other in others}
    return all(
        names & {f"{no}{top.name.lower()}" for no in ("in", "not_", "not ", "non_", "un", "no_")} for top in tops
    )


def _suggest_ignoring(folders: list[Folder]) -> str:
    return suggest_map([folder.path for folder in folders], "ignore")


def _suggest_split(splits: list[Folder], others: list[Folder]) -> str:
    """Others that hold classes may be the split that is missing."""
    known = {find_split_word(top.name) for top in splits}
    missing = next(split for split in ("train", "test", "val") if split not in known or split == "val")
    labelled = [top.name for top in others if has_class_folders(top)][:5]
    return suggest_map(labelled, missing) if labelled else "data.splits"


def _find_level(root: Folder, decision: Decision, contents: Contents, settings: ReadingSettings) -> Folder:
    """The folder whose folders are splits or classes: wrappers are skipped, and copies, masks and thumbnails taken out."""
    level = root
    while True:
        if settings.layout == "auto":
            _leave_out_copies(level, decision, contents)
            leave_out_neighbours(level, decision)
        wrapper = _find_wrapper(level)
        if wrapper is None:
            return level
        if wrapper is not level.filled[0] or len(level.filled) > 1:
            rest = [top for top in level.filled if top is not wrapper]
            decision.ignore(rest, "unlabelled")
            decision.warn(f"{quote(rest)} beside {wrapper.name} is left out as unlabelled")
        if level.pictures:
            decision.notes.append(
                f"{len(level.pictures)} picture(s) beside folder {wrapper.name} lie in no class folder"
            )
        decision.wrappers.append(wrapper.path)
        level = wrapper


def _find_wrapper(level: Folder) -> Folder | None:
    """The folder that wraps all: animals/train/… is read as train/…, as everything is in `animals`, but for a few strays."""
    tops = [top for top in level.filled if find_split_word(top.name) not in ("pred", "unlabelled")]
    return tops[0] if len(tops) == 1 and _few_beside(level) and _is_wrapper(tops[0]) else None


def _few_beside(folder: Folder) -> bool:
    return len(folder.pictures) <= max(_FEW, folder.count // 20)


def _is_wrapper(folder: Folder) -> bool:
    """Whether the folders in it can be classes or splits: two or more, or one with the name of a split."""
    below = folder.filled
    if is_plain_split(folder.name) or not below or not _few_beside(folder):
        return False
    if folder.pictures and len(below) < 2:
        return False
    return len(below) > 1 or is_plain_split(below[0].name) or _is_wrapper(below[0])


def _leave_out_copies(level: Folder, decision: Decision, contents: Contents) -> None:
    while found := find_nested_copy(level, contents):
        folder, originals, is_copy = found
        if not is_copy:
            decision.ask(
                f"{folder.name} holds folders of the same names as those beside it ({quote(originals)}): it is the whole set "
                f"once more ({_suggest_ignoring([folder])}), or the set itself (data.root={write_value(folder.path)})"
            )
            return
        words = {find_split_word(top.name) for top in (folder, *originals)}
        if "" not in words and len(words) > 1:  # test is train: said, and left as it is
            decision.warn(f"all {folder.count:,} pictures of {folder.name} have a copy in {quote(originals)}")
            return
        decision.ignore([folder], "copy of the set")
        decision.warn(
            f"folder {folder.path} is a copy of {quote(originals)} beside it: its {folder.count:,} pictures are left out"
        )
        drop(folder, level)


def _match(level: Folder, root: Folder, patterns: list[str], where: str) -> list[Folder]:
    """The folders that patterns of data.splits name. Raises PipelineError for a pattern that names none."""
    folders = []
    for pattern in patterns:
        found = [folder for folder in root.walk() if folder.path and _fits(folder, level, pattern)]
        if not found:
            names = quote(level.filled) or "none"
            raise PipelineError(
                f"data.splits: {where} has no folder {pattern!r} with pictures: expected one such as {names}, or a path with /"
            )
        folders += found
    return folders


def _fits(folder: Folder, level: Folder, pattern: str) -> bool:
    """Whether a pattern names a folder, by its path from the root or from the folder that holds splits or classes."""
    pattern = pattern.strip("/")
    below = folder.path[len(level.path) :].strip("/") if folder.path.startswith(level.path) else folder.path
    return any(fits(path, pattern) for path in (folder.path, below))


def _drop(folder: Folder, root: Folder) -> None:
    try:
        drop(folder, root)
    except KeyError:
        return  # it lies in one that is out already
