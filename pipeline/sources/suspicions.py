"""What a person should look at once classes and splits are decided: spellings, empty folders, copies, missing classes."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from unicodedata import normalize

from pipeline.sources.copies import Contents, find_copied_classes
from pipeline.sources.decision import Decision, is_plain, quote, suggest_map, write_name
from pipeline.sources.inner_folders import describe_inner_folders
from pipeline.sources.names import (
    describe_rewritten,
    find_copied_name,
    fold_name,
    is_litter,
    make_class_names,
)
from pipeline.sources.reading import TreeFile
from pipeline.sources.tree import find_extension, is_picture
from pipeline.sources.versions import find_versions

_FEW = 3  # files that go unused without a warning
_LAST_WORD = re.compile(r"[ ._-]+[A-Za-z]+$")
_ENDINGS = 8  # extensions of files that are no pictures, from which they get one line together
BY_EXTENSION = "not an image file: extension"
_SHARE = 0.05  # fraction of the pictures that are used, likewise
_SIDECARS = frozenset(  # what lies beside pictures, and is none
    {
        *(
            ".txt",
            ".xml",
            ".json",
            ".csv",
            ".tsv",
            ".yaml",
            ".yml",
            ".md",
            ".mat",
            ".npy",
            ".xmp",
            ".html",
            ".log",
            ".pdf",
        ),
        *(".ini", ".db", ".pts", ".py", ".ipynb", ".xlsx", ".doc", ".docx", ".h5", ".hdf5", ".pkl", ".aae"),
    }
)


def merge_spellings(found: Iterable[tuple[str, str]], decision: Decision) -> dict[tuple[str, str], str]:
    """The class of each (split, folder name): composed and decomposed names are one class, Cat in train and cat in test too.

    Two spellings within one split are asked, as they can be two classes.
    """
    pairs = sorted(set(found))
    names = make_class_names(label for _, label in pairs)
    if line := describe_rewritten(names, "class names"):
        decision.warn(line)
    by_name = Counter(names[label] for label in {label for _, label in pairs})
    for name in [name for name, count in by_name.items() if count > 1]:
        decision.warn(f"folders whose names are {name!r} in two Unicode forms count as one class")
    spellings: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for split, label in pairs:
        # By the folder's own name: a blank without width, written as its number, still makes two names look alike.
        spellings[fold_name(label)][names[label]].add(split)
    chosen: dict[str, str] = {}
    for by_spelling in spellings.values():
        chosen |= _choose_spelling(dict(by_spelling), decision)
    return {(split, label): chosen[names[label]] for split, label in pairs}


def _choose_spelling(by_spelling: Mapping[str, set[str]], decision: Decision) -> dict[str, str]:
    """by_spelling: the splits in which each spelling occurs."""
    names = sorted(by_spelling)
    if len(names) == 1:
        return {names[0]: names[0]}
    if sum(map(len, by_spelling.values())) > len(set().union(*by_spelling.values())):
        ascii_name = normalize("NFKD", names[0]).encode("ascii", "ignore").decode().strip()
        merged = next(filter(is_plain, [*names, fold_name(names[0]), ascii_name]), "merged")
        pair, spellings = ", ".join(map(repr, names)), ", ".join(map(write_name, names))
        decision.ask(
            f"{pair} look alike: they are different classes (data.layout=flat, or split, says so), or one, "
            f"which prune.merge_classes={{{write_name(merged)}: [{spellings}]}} beside it makes of them"
        )
        return {name: name for name in names}
    first = next((name for name in names if "train" in by_spelling[name]), names[0])
    decision.warn(f"{', '.join(map(repr, names))} in different splits count as one class, {first!r}")
    return dict.fromkeys(names, first)


def review(
    files: list[TreeFile], decision: Decision, contents: Contents, empty: list[str], kept: Mapping[str, str]
) -> None:
    """Adds warnings to the decision. empty: paths of folders without pictures. kept: normal form of each path."""
    used = [file for file in files if not file.reason]
    _report_empty(empty, decision, files, kept)
    _report_missing(used, decision)
    _report_odd(files, decision)
    _report_names(used, decision)
    _report_inner_folders(used, decision)
    by_class: dict[str, list[str]] = defaultdict(list)
    for file in used:
        if file.source_split in ("", "train"):
            by_class[file.label].append(kept[file.path])
    copied = find_copied_classes(by_class, contents) if not decision.by_file else {}
    _report_copied(copied, by_class, decision)
    _report_renderings(by_class, decision)


def _report_renderings(by_class: Mapping[str, list[str]], decision: Decision) -> None:
    """A class whose pictures all have the names of another's and one word more: face_1_aligned of face_1. Numbers alone are no
    names."""
    stems = {label: {path.rpartition("/")[2].rpartition(".")[0] for path in paths} for label, paths in by_class.items()}
    whole = {frozenset(found): label for label, found in sorted(stems.items()) if not all(map(str.isdecimal, found))}
    for label, found in sorted(stems.items()):
        words = {match[0] if (match := _LAST_WORD.search(stem)) else "" for stem in found}
        word = words.pop() if len(words) == 1 else ""
        original = whole.get(frozenset(stem.removesuffix(word) for stem in found)) if word else None
        if original is not None:
            decision.warn(
                f"the pictures of class {label!r} have the names of those of {original!r} and {word!r}: if they are the same "
                "pictures once more, they are no classes, and the labels stand elsewhere (data.labels)"
            )


def _report_copied(copied: dict[str, str], by_class: Mapping[str, list[str]], decision: Decision) -> None:
    """Of classes that are copies of each other, the largest is the one made of others."""
    if not copied:
        return
    name = max(sorted(copied), key=lambda label: (len(by_class[label]), bool(find_copied_name(label)), len(label)))
    layout = "split" if decision.splits else "flat"  # which would make classes of train and test
    decision.ask(
        f"each of the {len(by_class[name]):,} pictures of class {name!r} is also in another class, such as {copied[name]!r}: "
        f"it is no class, but a copy of others ({_suggest_ignoring(name, decision)}), or they have two labels "
        f"(data.layout={layout})"
    )


def _report_names(used: list[TreeFile], decision: Decision) -> None:
    """One class only, classes with the names of copies, and changed copies of pictures, which leak into test."""
    classes = sorted({file.label for file in used})
    if len(classes) == 1:
        decision.warn(
            f"there is only one class, {classes[0]!r}: a classifier needs two; if its pictures have labels elsewhere, set "
            "data.labels (a CSV file), data.classes=parent (folders inside) or data.classes=file (names of files)"
        )
    folded = {fold_name(label): label for label in classes}
    for label in classes:
        if original := folded.get(fold_name(find_copied_name(label) or "/")):
            decision.warn(
                f"class {label!r} has the name of a copy of {original!r}: if it is one, leave it out "
                f"({_suggest_ignoring(label, decision)}); if both are one class, prune.merge_classes merges them"
            )
    is_divided = _has_all_splits(used)
    drawn = [file for file in used if file.source_split in ("", "train")]  # whatever is drawn is drawn from these
    versions = [] if is_divided else find_versions(file.name for file in drawn)
    if versions and len(versions) < len(used):
        decision.warn(
            f"{len(versions):,} pictures, such as {versions[0]!r}, are changed copies by their names or their folders: one in "
            "train makes test too easy; split.group=near keeps those together that look alike, and a column group in "
            "data.labels all of them"
        )


def _has_all_splits(used: list[TreeFile]) -> bool:
    """Whether none is drawn."""
    return {"train", "val", "test"} <= {file.source_split for file in used}


def _report_inner_folders(used: list[TreeFile], decision: Decision) -> None:
    """Where a split is drawn, folders whose pictures may belong together."""
    if not _has_all_splits(used):
        splits = {path.rpartition("/")[2] for path in decision.splits}
        line = describe_inner_folders([file.name for file in used], [file.label for file in used], splits)
        if line:
            decision.warn(line)


def _suggest_ignoring(label: str, decision: Decision) -> str:
    folders = sorted(path for path, name in decision.classes.items() if name == label)
    return suggest_map(folders or [label], "ignore")


def _report_empty(empty: list[str], decision: Decision, files: list[TreeFile], kept: Mapping[str, str]) -> None:
    """Folders without pictures beside class folders. A folder in a class is no class."""
    beside = {path.rpartition("/")[0] for path in decision.classes}
    found = [path for path in empty if path.rpartition("/")[0] in beside and not decision.place(path)[2]]
    found = [path for path in found if not is_litter(path.rpartition("/")[2])]
    if not found:
        return
    names = sorted(path.rpartition("/")[2] for path in found)
    known = {file.label for file in files}
    lost = [name for name in names if name not in known]
    what = "class folder" if len(found) == 1 else "class folders"
    below = tuple(f"{path}/" for path in found)
    inside = [file for file in files if file.reason and kept[file.path].startswith(below)]
    others = f" ({len(inside):,} other files, such as {inside[0].name!r})" if inside else ""
    decision.warn(
        f"{what} {quote(sorted(found))} without any picture{others}"
        + (f": no class of {'its' if len(found) == 1 else 'their'} name is made" if lost else "")
    )


def _report_missing(used: list[TreeFile], decision: Decision) -> None:
    """Classes that one split has and another lacks."""
    classes: dict[str, set[str]] = defaultdict(set)
    for file in used:
        if file.source_split:
            classes[file.source_split].add(file.label)
    everything = set().union(*classes.values()) if classes else set()
    for split, labels in sorted(classes.items()):
        if missing := sorted(everything - labels):
            decision.warn(f"split {split} has no picture of class {quote(missing)}")


def _report_odd(files: list[TreeFile], decision: Decision) -> None:
    """Pictures outside classes, and files in classes that are no pictures: how many, and one of them. Many are a warning."""
    unused: dict[str, list[TreeFile]] = defaultdict(list)
    for file in files:
        if file.reason:
            unused[file.reason].append(file)
    endings = [reason for reason, found in unused.items() if reason.startswith(BY_EXTENSION) and _is_odd(found[0].path)]
    if len(endings) > _ENDINGS:  # 1.jpg?w=200, 2.jpg?w=640: each has one of its own
        every = f"{BY_EXTENSION}s of {len(endings):,} kinds; if these are pictures, rename them"
        unused[every] = [file for reason in endings for file in unused.pop(reason)]
    most = max(_FEW, _SHARE * sum(not file.reason for file in files))
    for reason, found in sorted(unused.items()):
        lost = [file for file in found if is_picture(file.path) or (file.label and _is_odd(file.path))]
        example = (lost or found)[0].name
        line = f"not used: {len(found):,} file(s), such as {example!r} ({reason})"
        if len(lost) > most:
            decision.warn(line)
        else:
            decision.notes.append(line)


def _is_odd(path: str) -> bool:
    """Whether a file that is no picture by its extension may be one still."""
    return find_extension(path) not in _SIDECARS
