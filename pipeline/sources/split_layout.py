"""Top folders that are splits: which of train, val and test each is, and where the classes in it begin."""

from pathlib import PurePosixPath

from pipeline.runtime.errors import PipelineError
from pipeline.sources.decision import Decision, quote, suggest_map, write_value
from pipeline.sources.extras import leave_out_neighbours
from pipeline.sources.flat_layout import (
    explain_no_classes,
    find_parts,
    holds_pictures,
    note_deep_classes,
    note_unread_table,
)
from pipeline.sources.names import (
    PLAIN_UNLABELLED,
    find_split_word,
    find_words,
    fold_name,
    is_plain_split,
    means_images,
)
from pipeline.sources.proposals import suggest_tables
from pipeline.sources.tree import Folder


def decide_splits(level: Folder, decision: Decision, tables: list[str], *, is_told: bool) -> None:
    """Adds the splits and classes of `level`, whose folders are splits.

    tables: paths of CSV files. is_told: the user says that they are splits; decision.splits has what each is, where the name
    does not say it. Raises PipelineError if no folder is train, or if there are no class folders.
    """
    tops = level.filled
    for top in tops:
        leave_out_neighbours(top, decision)
    words = name_splits(tops, decision)
    unlabelled = [top for top in tops if words[top.path] in ("pred", "unlabelled")]
    splits = [top for top in tops if words[top.path] in ("train", "val", "test")]
    _check_unknown(tops, words, decision)
    labelled = [top for top in splits if has_class_folders(top)]
    if not is_told and _is_flat(splits, labelled, words, decision, tables):
        decision.take_classes(level)
        return
    if not labelled and not decision.classes:
        flat = "" if is_told else "; data.layout=flat reads the folders themselves as classes"
        raise PipelineError(f"{decision.where} has no class folders: {explain_no_classes(level, tables)}{flat}")
    if "train" not in {*(words[top.path] for top in labelled), *(decision.splits.values() if decision.classes else ())}:
        raise PipelineError(
            f"{decision.where} has {quote(splits)} but no train folder: expected one with class folders, or data.splits to say "
            "which folder is train; data.layout=flat reads all as classes"
        )
    decision.ignore(unlabelled, "unlabelled")
    for top in unlabelled:
        if top.name.lower() not in PLAIN_UNLABELLED:
            decision.warn(f"folder {top.name} ({top.count:,} pictures) is left out as unlabelled")
    for top in splits:
        _take_split(top, words[top.path], decision)
        _note_table(top, words[top.path], decision, tables)


def _note_table(top: Folder, split: str, decision: Decision, tables: list[str]) -> None:
    """Test.csv beside a folder Test without class folders often has its labels, as of the traffic signs GTSRB."""
    found = [table for table in tables if find_split_word(PurePosixPath(table).stem) == split]
    if split == "train" and has_class_folders(top) and tables:
        note_unread_table(decision, tables)
    if found and not has_class_folders(top):
        decision.notes.append(
            f"{found[0]} may hold the labels of {top.name}: data.labels reads it, and several tables by a pattern, as '*.csv'; "
            "folders mean nothing then"
        )


def name_splits(tops: list[Folder], decision: Decision) -> dict[str, str]:
    """train, val, test, pred, unlabelled or empty, by path. `evaluation` is what train and the others leave over."""
    words = {top.path: decision.splits.get(top.path) or find_split_word(top.name) for top in tops}
    evaluated = "val" if "test" in words.values() else "test"
    return {path: evaluated if word == "eval" else word for path, word in words.items()}


def refuse_unknown(tops: list[Folder], words: dict[str, str], decision: Decision) -> None:
    """Raises PipelineError for folders of which nobody says what they are. Folders that hold named ones are not meant."""
    unknown = [
        top
        for top in tops
        if not words[top.path] and not any(path.startswith(f"{top.path}/") for path in decision.splits)
    ]
    if unknown:
        likely = "ignore" if "train" in words.values() else "train"
        raise PipelineError(
            f"{decision.where}: it is not said which split {quote(unknown)} is: expected train, val, test or ignore for each "
            f"top folder; add it to data.splits, as {suggest_map([top.path for top in unknown[:5]], likely)}"
        )


def _check_unknown(tops: list[Folder], words: dict[str, str], decision: Decision) -> None:
    """See `refuse_unknown`; and takes named folders inside of others."""
    refuse_unknown(tops, words, decision)
    inside = [top for top in tops if not words[top.path]]
    for top in inside:
        named = [folder for folder in top.walk() if folder.path in decision.splits]
        if any(holds_pictures(folder) for folder in named):
            decision.classes[top.path] = top.name  # <class>/train
        for folder in named:
            if folder.only_below() and not holds_pictures(folder):
                _take_split(folder, decision.splits[folder.path], decision)


def _is_flat(
    splits: list[Folder], labelled: list[Folder], words: dict[str, str], decision: Decision, tables: list[str]
) -> bool:
    """Whether folders with words such as train in longer names are classes after all: bullet_train and steam_train.

    Asks where both can be meant; says which was chosen where one is plain.
    """
    if all(is_plain_split(top.name) for top in splits):
        return False
    kinds = {words[top.path] for top in splits}
    named = ", ".join(f"{top.name} ({words[top.path]})" for top in splits)
    if not labelled and len(kinds) == 1:
        if len(splits) == 1:
            return False
        if tables or len({" ".join(find_words(top.name)) for top in splits}) == 1:
            labels = f"data.labels={write_value(suggest_tables(tables))}" if tables else "data.labels"
            decision.ask(
                f"{quote(splits)} are classes (data.layout=flat), or parts of a split, whose labels stand elsewhere: in a CSV "
                f"file ({labels}) or in the names of files (data.classes=file)"
            )
        decision.warn(
            f"{quote(splits)} are read as classes, not as splits, as there are pictures and no folders in them"
        )
        return True
    trained = {fold_name(child) for top in labelled if words[top.path] == "train" for child in _enter(top).filled_names}
    rest = [top for top in labelled if words[top.path] != "train"]
    shares = all(trained & {fold_name(child) for child in _enter(top).filled_names} for top in rest)
    if labelled and (not trained or not shares):
        decision.ask(
            f"top folders {quote(splits)} are classes (data.layout=flat), or splits (data.layout=split, with data.splits to "
            "say which is train, val and test)"
        )
    if labelled:
        decision.warn(f"top folders are read as splits: {named}; data.layout=flat reads them as classes")
    return False


def leave_out_unlabelled(top: Folder, decision: Decision) -> None:
    """A split without class folders."""
    decision.ignore([top], "unlabelled")
    decision.warn(f"folder {top.name} has {top.count:,} pictures and no class folders: left out as unlabelled")


def _take_split(top: Folder, split: str, decision: Decision) -> None:
    decision.splits[top.path] = split
    if not has_class_folders(top):
        leave_out_unlabelled(top, decision)
        return
    inner = _enter(top)
    named = [folder for folder in inner.filled if folder.path in decision.splits]
    _ask_about_inner(inner, named, decision)
    parts = find_parts(inner)
    for folder in parts or [inner]:
        decision.take_classes(folder)
    if split == "train" and not named:
        note_deep_classes(inner.filled, decision)
    for folder in named:  # data.splits says train/val, say
        decision.classes.pop(folder.path, None)
        _take_split(folder, decision.splits[folder.path], decision)
    if parts:
        decision.warn(
            f"{quote(parts)} in {top.name} are read as parts of one set; data.layout=flat reads them as classes"
        )


def _ask_about_inner(inner: Folder, named: list[Folder], decision: Decision) -> None:
    """Asks what a folder between the classes of a split is, if all that it holds is folders of their names: train/cat,
    train/dog, train/val/cat, train/val/dog."""
    names = [fold_name(folder.name) for folder in inner.filled]
    for folder in inner.filled:
        found, word = folder.filled, find_split_word(folder.name)
        is_odd = not folder.pictures and len(found) >= (1 if is_plain_split(folder.name) else 2)
        if folder in named or not is_odd or not all(fold_name(child.name) in names for child in found):
            continue
        split = f"a split ({suggest_map([folder.path], word)}), " if word in ("train", "val", "test") else ""
        decision.ask(
            f"{folder.path} holds folders of the same names as those beside it ({quote(found)}): it is {split}the classes "
            f"once more ({suggest_map([folder.path], 'ignore')}), or a class itself (data.layout=split)"
        )


def _enter(top: Folder) -> Folder:
    """Where the classes of a split begin. Passes through a folder of the same name, as in Kaggle's seg_train/seg_train/<class>,
    and through one that only says that pictures are in it, as in Final_Training/Images/<class>.

    In a data set of vehicles, train/train is a class: there are others beside it.
    """
    only = top.filled[0] if len(top.filled) == 1 and not top.pictures else None
    if only is None or not only.filled:
        return top
    is_doubled = _repeats(only, top)
    return _enter(only) if is_doubled or means_images(only.name) else top


def has_class_folders(folder: Folder) -> bool:
    """Whether there are folders in a split that can be classes: not only one that repeats its name around pictures."""
    inner = folder
    while len(inner.filled) == 1 and not inner.pictures:
        only = inner.filled[0]
        if not (_repeats(only, folder) or means_images(only.name)):
            return True
        inner = only
    return bool(inner.filled)


def _repeats(inner: Folder, outer: Folder) -> bool:
    """Whether a folder has the name of the one around it, or that of its split: Training_Set/Training."""
    word = find_split_word(inner.name) if is_plain_split(inner.name) else ""
    return fold_name(inner.name) == fold_name(outer.name) or (bool(word) and word == find_split_word(outer.name))
