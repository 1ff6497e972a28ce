"""What a person should look at once classes and splits are decided: spellings, empty folders, copies, missing classes."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from pipeline.sources.copies import Contents, find_copied_classes
from pipeline.sources.decision import Decision, quote, suggest_map
from pipeline.sources.names import fold_name, is_litter, make_class_names
from pipeline.sources.reading import TreeFile


def merge_spellings(found: Iterable[tuple[str, str]], decision: Decision) -> dict[tuple[str, str], str]:
    """The class of each (split, folder name): composed and decomposed names are one class, Cat in train and cat in test too.

    Two spellings within one split are asked, as they can be two classes.
    """
    pairs = sorted(set(found))
    names = make_class_names(label for _, label in pairs)
    by_name = Counter(names[label] for label in {label for _, label in pairs})
    for name in [name for name, count in by_name.items() if count > 1]:
        decision.warn(f"folders whose names are {name!r} in two Unicode forms count as one class")
    spellings: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for split, label in pairs:
        spellings[fold_name(names[label])][names[label]].add(split)
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
        pair = ", ".join(map(repr, names))
        decision.ask(
            f"{pair} differ by case or blanks only: they are different classes (data.layout=flat, or split, says so), or one, "
            f"which prune.merge_classes={{{names[0]}: [{', '.join(names)}]}} beside it makes of them"
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
    _report_empty(empty, decision, files)
    _report_missing(used, decision)
    _report_odd(files, decision)
    by_class: dict[str, list[str]] = defaultdict(list)
    for file in used:
        if file.source_split in ("", "train"):
            by_class[file.label].append(kept[file.path])
    copied = find_copied_classes(by_class, contents) if not decision.by_file else {}
    _report_copied(copied, by_class, decision)


def _report_copied(copied: dict[str, str], by_class: Mapping[str, list[str]], decision: Decision) -> None:
    """Of classes that are copies of each other, the largest is the one made of others."""
    if not copied:
        return
    name = max(sorted(copied), key=lambda label: len(by_class[label]))
    folders = sorted(path for path, label in decision.classes.items() if label == name)
    pattern = folders[0] if folders else name
    decision.ask(
        f"each of the {len(by_class[name]):,} pictures of class {name!r} is also in another class, such as {copied[name]!r}: "
        f"it is no class, but a copy of others ({suggest_map([pattern], 'ignore')}), or they have two labels (data.layout=flat)"
    )


def _report_empty(empty: list[str], decision: Decision, files: list[TreeFile]) -> None:
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
    decision.warn(
        f"{what} {quote(sorted(found))} without any picture: no class of {'its' if len(found) == 1 else 'their'} name is made"
        if lost
        else f"{what} {quote(sorted(found))} without any picture"
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
    """Pictures outside classes, and files in classes that are no pictures: how many, and one of them."""
    reasons = Counter(file.reason for file in files if file.reason)
    for reason, count in sorted(reasons.items()):
        example = next(file.name for file in files if file.reason == reason)
        decision.notes.append(f"not used: {count:,} file(s), such as {example!r} ({reason})")
