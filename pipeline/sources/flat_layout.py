"""Top folders that are no splits: classes, unless they look like parts of one set."""

import re
from collections import Counter
from collections.abc import Iterable

from pipeline.runtime.errors import PipelineError
from pipeline.sources.decision import Decision, quote, suggest_map, write_value
from pipeline.sources.names import (
    are_numbered,
    are_parts,
    find_class_in_file_name,
    find_split_word,
    fold_name,
    means_images,
    means_masks,
    means_thumbnails,
)
from pipeline.sources.proposals import is_list, suggest_tables
from pipeline.sources.tree import Folder

_SPLITS = 12  # folders that one line lists
_YEAR = re.compile(r"(19|20)\d\d")


def check_tops(level: Folder, decision: Decision, tables: list[str]) -> None:
    """Takes the folders of `level` as classes, or as parts that hold classes, or asks. tables: paths of CSV files."""
    tops = level.filled
    if not tops:
        raise PipelineError(f"{decision.where} has no class folders: {explain_no_classes(level, tables)}")
    if parts := find_parts(level):
        decision.warn(f"{quote(parts)} are read as parts of one set; data.layout=flat reads them as classes")
        for part in parts:
            decision.take_classes(part)
        return
    if _hold_splits(tops):
        decision.warn(f"{quote(_shared(tops))} in each class are read as its splits; data.layout=flat reads no splits")
        decision.splits |= {child.path: find_split_word(child.name) for top in tops for child in top.filled}
    elif (shared := _shared(tops)) and all(find_split_word(name) in ("train", "val", "test") for name in shared):
        decision.ask(
            f"as top folders {quote(tops)} hold the same splits ({quote(shared)}), the top folders are the classes "
            f"(data.layout=flat), or data sets that each have splits ({_suggest_splits(tops)}); "
            f"data.root={write_value(tops[0].path)} reads one of them alone"
        )
    elif shared:
        decision.ask(
            f"as top folders {quote(tops)} hold the same folders ({quote(shared)}), the top folders are the classes "
            f"(data.layout=flat), or parts of the set that each hold the classes (data.classes=parent); "
            f"data.root={write_value(tops[0].path)} reads one of them alone{_describe_shared(tops, shared)}"
        )
    else:
        _check_labels_elsewhere(tops, decision, tables)
    _ask_about_data_sets(tops, decision)
    decision.take_classes(level)
    note_deep_classes(tops, decision)


def _ask_about_data_sets(tops: list[Folder], decision: Decision) -> None:
    """Top folders in which train and test lie, but for folders of doubled names: each is a data set by itself, and no class."""
    for top in tops:
        inner = top
        while len(inner.filled) == 1 and not inner.pictures:
            inner = inner.filled[0]
        inside = [folder for child in inner.filled for folder in (child, *child.filled)]
        splits = [folder for folder in inside if find_split_word(folder.name) in ("train", "val", "test")]
        if len({find_split_word(folder.name) for folder in splits}) > 1 and not decision.splits:
            decision.ask(
                f"{top.name} is a class (data.layout=flat), or a data set by itself, of which {quote(splits)} are the splits: "
                f"data.root={write_value(inner.path)} reads it alone"
            )


def _describe_shared(tops: list[Folder], shared: list[str]) -> str:
    """What speaks against folders of one name in several top folders being one class; empty for nothing."""
    if are_numbered(shared):
        return (
            f"; if those called {shared[0]} and so on are different classes in each, data.classes=parent would join them: "
            "rename them, or name the classes in a CSV file (data.labels)"
        )
    if hold_versions(tops):
        return "; the same names of pictures are in each, so they may be versions of the same pictures, of which one is enough"
    return ""


def hold_versions(tops: list[Folder]) -> bool:
    """Whether most pictures of each folder have the folder and the name of one of another, without extension: color/cat/a1.jpg
    and gray/cat/a1.png. Numbers alone are no names."""
    found = [Counter(map(_find_version_name, top.list_pictures())) for top in tops]
    names = [{name for name in counts if not name[1].isdecimal()} for counts in found]
    known = Counter(name for part in names for name in part)
    return all(part and 2 * sum(known[name] > 1 for name in part) > len(part) for part in names)


def _find_version_name(path: str) -> tuple[str, str]:
    """Of a picture: its folder, and its name without extension and without a word for masks or the like at its end."""
    folder, _, name = path.rpartition("/")
    words = re.split(r"[ _.-]+", name.rpartition(".")[0])
    while len(words) > 1 and (means_masks(words[-1]) or words[-1] in ("masked", "final")):
        words.pop()
    return folder.rpartition("/")[2], "_".join(words)


def _suggest_splits(tops: list[Folder]) -> str:
    """data.splits for the splits inside top folders: by their paths; of many tops, of the first."""
    pairs = [(child.path, find_split_word(child.name)) for top in tops for child in _enter(top).filled]
    parts = [suggest_map([path], split) for path, split in pairs if split in ("train", "val", "test")]
    listed = ", ".join(part[len("data.splits={") : -1] for part in parts[:_SPLITS])
    return f"data.splits={{{listed}{', and so on' if len(parts) > _SPLITS else ''}}}"


def holds_pictures(folder: Folder) -> bool:
    """Whether there are no folders in it but those that say no more than that pictures are in them."""
    return all(means_images(child.name) and not child.filled for child in folder.filled)


def find_parts(level: Folder) -> list[Folder]:
    """The folders of `level`, if they are parts of one set without doubt: fold_0 and fold_1 with the same classes in them."""
    tops = level.filled
    shared = _shared(tops)
    is_set = bool(shared) and not all(map(find_split_word, shared))
    return tops if is_set and are_parts(top.name for top in tops) else []


def _shared(tops: list[Folder]) -> list[str]:
    """Names of folders that top folders have in common, if each of them holds folders only, at least half of them such ones.

    Folders that only say that there are pictures, masks or thumbnails, or name a year, count for nothing.
    """
    if len(tops) < 2 or not all(top.only_below() for top in tops):
        return []
    names = [{fold_name(child.name): child.name for child in _enter(top).filled if _tells(child.name)} for top in tops]
    counts = Counter(name for found in names for name in found)
    shared = {name for name, count in counts.items() if count > 1}
    if len(shared) < 2 or any(not found or 2 * len(shared & set(found)) < len(found) for found in names):
        return []
    spelled = {folded: name for found in names for folded, name in found.items()}
    return sorted(spelled[name] for name in shared)


def _enter(top: Folder) -> Folder:
    """A top folder, or the only one in it if that holds folders."""
    return top.filled[0] if len(top.filled) == 1 and top.filled[0].only_below() else top


def _tells(name: str) -> bool:
    return not (means_images(name) or means_masks(name) or means_thumbnails(name) or _YEAR.fullmatch(name))


def _hold_splits(tops: list[Folder]) -> bool:
    """Whether classes hold splits: cat/train and cat/test, dog/train and dog/test, with pictures in them."""
    inside = [child for top in tops for child in top.filled]
    words = {find_split_word(child.name) for child in inside}
    is_deep = not all(map(holds_pictures, inside)) or any(not top.only_below() for top in tops)
    return bool(_shared(tops)) and "train" in words and words <= {"train", "val", "test"} and not is_deep


def _check_labels_elsewhere(tops: list[Folder], decision: Decision, tables: list[str]) -> None:
    """Folders that can be no classes: parts with pictures in them, or one folder of images beside a CSV file."""
    table = suggest_tables(tables)
    beside = f"; {table} may hold the labels (data.labels={write_value(table)})" if table else ""
    if are_parts(top.name for top in tops):
        decision.ask(
            f"{quote(tops)} are classes (data.layout=flat), or parts of one set, whose labels stand elsewhere: in a CSV file "
            f"(data.labels) or in the names of files (data.classes=file){beside}"
        )
    elif all(means_images(top.name) for top in tops) or (len(tops) == 1 and tables):
        if len(tops[0].filled) > 1:
            beside += (
                f"; data.root={write_value(tops[0].path)} reads the folders in it ({quote(tops[0].filled)}) instead"
            )
        decision.ask(
            f"{quote(tops)} is a class (data.layout=flat), or a folder of pictures whose labels stand elsewhere: in a CSV file "
            f"(data.labels) or in the names of files (data.classes=file){beside}"
        )
    else:
        note_unread_table(decision, tables)


def note_unread_table(decision: Decision, tables: list[str]) -> None:
    """The first table of labels that lies beside class folders. Once."""
    if tables and not is_list(tables[0]):
        line = f"{tables[0]} is beside the class folders and not read; data.labels={write_value(tables[0])} reads it instead"
        decision.notes += [line] if line not in decision.notes else []


def note_deep_classes(tops: list[Folder], decision: Decision) -> None:
    """One top folder that holds only folders, beside others with pictures, may be the data set itself; where most hold only
    folders, these may be the classes."""
    deep = [top for top in tops if top.only_below() and len(_list_innermost([top])) > 1]
    is_deep = {top.path for top in deep}  # folders themselves would be compared with all that is in them
    others = [top for top in tops if top.path not in is_deep]
    if len(deep) == 1 and others and all(top.pictures for top in others):
        decision.warn(
            f"class {deep[0].name} has pictures only in folders ({quote(deep[0].filled)}), unlike {quote(others[:5])}: if "
            f"those are the classes, set data.root={write_value(deep[0].path)}"
        )
    inner = _list_innermost(deep)
    inside = sorted({folder.name for folder in inner if _tells(folder.name) and not find_split_word(folder.name)})
    if 2 <= len(deep) >= len(tops) / 2 and inside:
        joined = find_joined(inner)
        decision.warn(
            f"folders in class folders, such as {quote(inside[:5])}, are read as parts of {quote(deep[:5])}; "
            + (
                f"data.classes=parent makes classes of them, and one of all that are called {joined[0]}: rename these first"
                if joined
                else "data.classes=parent makes classes of them"
            )
        )


def _list_innermost(tops: list[Folder]) -> list[Folder]:
    """Folders below with pictures and no more folders of pictures, which data.classes=parent makes classes of."""
    return [
        folder for top in tops for folder in top.walk() if folder is not top and folder.pictures and not folder.filled
    ]


def find_joined(folders: Iterable[Folder]) -> list[str]:
    """Names that several folders have, where most names are of one alone: church/indoor and bar/indoor beside abbey. Where most
    are of several, such as those of patients or folds that each hold the classes, none."""
    counts = Counter(folder.name for folder in folders)
    several = sorted(name for name, count in counts.items() if count > 1)
    return several if 2 * len(several) <= len(counts) else []


def explain_no_classes(level: Folder, tables: list[str] | None = None) -> str:
    """What was expected instead, with what may help: a CSV file, or classes in the names of files."""
    pictures = sorted(level.list_pictures())
    expected = "expected <class>/<image>, or train/<class>/<image> and so on"
    received = f"; received files such as {pictures[0]!r} with no class folder above them" if pictures else ""
    table = suggest_tables(tables or [])
    hint = f"; {table} may hold the labels: set data.labels={write_value(table)}" if table else ""
    counts = Counter(filter(None, map(find_class_in_file_name, pictures)))
    usual = [name for name, count in counts.most_common() if count > 1 and not find_split_word(name)]
    if len(usual) > 1 and 2 * sum(counts[name] for name in usual) > len(pictures):
        hint += f"; names begin with {quote(sorted(usual)[:5])}: data.classes=file makes them classes"
    return expected + received + hint
