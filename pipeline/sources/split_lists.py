"""Text files that list the pictures of a split, as published data sets have them beside class folders: meta/train.txt."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import PurePosixPath

from pipeline.config.sources import ReadingSettings
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import readable_name
from pipeline.sources.csv_table import decode_csv
from pipeline.sources.decision import IGNORED, Decision, write_name
from pipeline.sources.label_finder import Finder, find_named
from pipeline.sources.label_table import LabelRow
from pipeline.sources.list_lines import find_stem
from pipeline.sources.names import find_split_word, find_words
from pipeline.sources.reading import TreeFile, list_names
from pipeline.sources.tree import is_picture

_ENDINGS = (".txt", ".lst")
_FIELDS = re.compile(r"[\s,;]+")  # between a path and what else a line has: a class, a number
_DIGITS = re.compile(r"\d+", re.ASCII)
_TRIED = 20  # lines of a list that nobody has named
_MOST_LISTS = 48  # that nobody has named and that are read: in a tar each is a pass over all of it
_MOST_STARTS = 12  # of a line, up to a blank or comma, that may be a path with blanks
_NOT_LISTED = "in no list of data.splits"

Read = Callable[[str], bytes]


def find_lists(settings: ReadingSettings) -> tuple[Mapping[str, str], ReadingSettings]:
    """The part of data.splits that names lists, and the settings without it. Raises PipelineError beside data.labels."""
    lists = {name: split for name, split in settings.splits.items() if name.lower().endswith(_ENDINGS)}
    if lists and settings.labels:
        raise PipelineError(
            f"data.splits names the list {min(lists)!r} beside data.labels: expected only one of them; a column of the "
            "table can name the splits (data.label_columns.split)"
        )
    rest = {name: split for name, split in settings.splits.items() if name not in lists}
    return lists, settings.model_copy(update={"splits": rest})


def divide(
    files: list[TreeFile],
    decision: Decision,
    *,
    lists: Mapping[str, str],
    tables: Mapping[str, str],
    left_out: dict[str, list[str]],
    read_file: Read | None,
) -> list[TreeFile]:
    """The files with the splits of the lists; those that a list ignores, or that are in none though one is train's, go to
    `left_out`. Without lists, the files as they are; lists that are there are noted.

    lists: name of a list, or the end of its path, to train, val, test or ignore. tables: normal form by path of all files of
    the source. Raises PipelineError for a list that is not there, that names no picture, or contradicts another one.
    """
    if read_file is None:
        return files
    if not lists:
        _propose_lists(files, decision, tables, read_file)
        return files
    pictures = {file.path: tables[file.path] for file in files if not file.reason}
    finder = Finder(pictures, None, decision.where, parameter="data.splits")
    listed: dict[str, tuple[str, str]] = {}  # split and list of a path
    for name, split in lists.items():
        path = _find_list(name, tables, decision.where)
        rows = list(_read_rows(read_file(path), name))
        found = _find_pictures(rows, name, finder)
        unknown = [row for row, picture in found if picture is None]
        if len(unknown) == len(rows):
            example = f"line {rows[0].number} has {readable_name(rows[0].path)!r}, " if rows else ""
            raise PipelineError(
                f"data.splits: none of the {len(rows):,} lines of {name!r} is a picture of {decision.where}: expected paths of "
                f"pictures, with or without extension; {example}the source {next(iter(pictures.values()), 'none')!r}"
            )
        if unknown:
            decision.warn(
                f"{len(unknown):,} of {len(rows):,} lines of {name} have no picture, such as line {unknown[0].number}: "
                f"{readable_name(unknown[0].path)!r}"
            )
        for _, picture in found:
            if picture is not None:
                _add(listed, picture, split, name)
        decision.notes.append(f"{name}: {len(rows) - len(unknown):,} pictures are {split}")
    return list(_divide(files, listed, "train" in lists.values(), decision, left_out))


def _find_list(name: str, tables: Mapping[str, str], where: str) -> str:
    """Its path."""
    found = find_named(name, tables)
    if len(found) == 1:
        return found[0]
    others = sorted(text for text in tables.values() if text.lower().endswith(_ENDINGS))
    raise PipelineError(
        f"data.splits: {where} has {len(found) or 'no'} file{'s' * (len(found) > 1)} {name!r}: expected one list of pictures, "
        f"by its path; the source has {list_names(others) or 'none'}"
    )


def _read_rows(data: bytes, name: str) -> Iterator[LabelRow]:
    """Each line that is not blank."""
    for number, line in enumerate(decode_csv(data, f"data.splits {name!r}").splitlines(), start=1):
        if text := line.strip().strip('"'):
            yield LabelRow(number, text, "", "", "", "")


def _find_pictures(rows: list[LabelRow], name: str, finder: Finder) -> list[tuple[LabelRow, str | None]]:
    """The picture that each line names, as a whole or by its beginning; by its last field, where this is a path in most lines
    and the first is none, as in `7 2 bicycle/1.jpg`."""
    whole = [(row, finder.find(row, name)) for row in rows]
    is_last = not any(path for _, path in whole) and 2 * sum(map(_ends_in_path, rows)) > len(rows)
    return [(row, path or _find_part(row, is_last, name, finder)) for row, path in whole]


def _find_part(row: LabelRow, is_last: bool, name: str, finder: Finder) -> str | None:
    """The picture that a part of a line names: its last field, or its beginning."""
    parts = [_get_field(row, -1)] if is_last else _list_starts(row)
    found = (finder.find(replace(row, path=part), name) for part in parts if part != row.path)
    return next(filter(None, found), None)


def _list_starts(row: LabelRow) -> list[str]:
    """What of a line may be the path: of `my cat/1.jpg 0` the first beginning that has the extension of a picture, or else its
    first field; without extensions all beginnings, the shortest first."""
    ends = islice(_FIELDS.finditer(row.path), _MOST_STARTS)
    starts = [row.path[: match.start()].strip('"') for match in ends]
    pictures = [start for start in starts if is_picture(start)][:1]
    return pictures + starts[:1] if pictures or is_picture(row.path) else starts


def _ends_in_path(row: LabelRow) -> bool:
    first, last = (_get_field(row, position) for position in (0, -1))
    return _is_path(last) and not _is_path(first)


def _get_field(row: LabelRow, position: int) -> str:
    return _FIELDS.split(row.path)[position].strip('"')


def _is_path(field: str) -> bool:
    return is_picture(field) or "/" in field or "\\" in field


def _add(listed: dict[str, tuple[str, str]], path: str, split: str, name: str) -> None:
    before, other = listed.setdefault(path, (split, name))
    if before != split:
        raise PipelineError(
            f"data.splits: {readable_name(path)!r} is {before} by {other!r} and {split} by {name!r}: expected one split; take "
            "it out of one of the lists"
        )


def _divide(
    files: list[TreeFile],
    listed: Mapping[str, tuple[str, str]],
    is_whole: bool,
    decision: Decision,
    left_out: dict[str, list[str]],
) -> Iterator[TreeFile]:
    """is_whole: whether what is in no list belongs nowhere."""
    missing = []
    for file in files:
        split = listed.get(file.path, (file.source_split, ""))[0]
        if split == "ignore":
            left_out.setdefault(IGNORED, []).append(file.path)
        elif is_whole and not file.reason and file.path not in listed:
            missing.append(file.path)
        else:
            yield replace(file, source_split=split)
    if missing:
        left_out[_NOT_LISTED] = missing
        decision.warn(
            f"{len(missing):,} pictures are in no list of data.splits, such as {readable_name(missing[0])!r}: they are left out"
        )


def _propose_lists(files: list[TreeFile], decision: Decision, tables: Mapping[str, str], read_file: Read) -> None:
    """Notes lists that look like those of splits, where a source has no splits: their first lines name pictures of it."""
    found = {path: _guess_split(text) for path, text in tables.items() if text.lower().endswith(_ENDINGS)}
    found = {path: split for path, split in found.items() if split}
    if len(set(found.values())) < 2 or any(file.source_split for file in files):
        return
    plain = sorted(found, key=lambda path: (_count_numbers(tables[path]), _find_partition(tables[path]), path))
    heads = {
        path: _read_head(path, read_file) for path in plain[:_MOST_LISTS]
    }  # not train_00001.txt beside each picture
    finder = _make_finder(heads.values(), {file.path: tables[file.path] for file in files if not file.reason})
    named = {path: found[path] for path, head in heads.items() if _names_pictures(head, finder)}
    if groups := _group(named, tables):
        decision.notes.append(_describe(groups, tables))


def _describe(groups: list[dict[str, str]], tables: Mapping[str, str]) -> str:
    """A line that proposes the first of several partitions, as only a person can choose."""
    listed = sorted(tables[path] for group in groups for path in group)
    pairs = ", ".join(f"{write_name(tables[path])}: {split}" for path, split in sorted(groups[0].items()))
    advice = f"data.splits={{{pairs}}} takes"
    if len(groups) == 1:
        return f"{list_names(listed)} list pictures and are not read: {advice} their splits"
    rest = "; pictures in none of these lists are left out" if "train" in groups[0].values() else ""
    return (
        f"{list_names(listed)} list the pictures of {len(groups)} partitions and are not read: {advice} the splits of the "
        f"first{rest}"
    )


def _group(named: Mapping[str, str], tables: Mapping[str, str]) -> list[dict[str, str]]:
    """Lists that together are the splits of a set, as split by path: all, if each is of another split; else, of several
    partitions, those whose names differ by the split only, as train2 and test2."""
    if len(set(named.values())) == len(named) > 1:
        return [dict(named)]
    groups: dict[str, dict[str, list[str]]] = {}
    keys = {path: _find_partition(tables[path]) for path in named}
    for path in sorted(named, key=lambda path: (keys[path], path)):
        groups.setdefault(str(keys[path]), {}).setdefault(named[path], []).append(path)
    for group in groups.values():
        if "val" in group:  # train and val together, beside each alone
            group["train"] = [path for path in group.get("train", []) if "val" not in PurePosixPath(path).stem.lower()]
    kept = [{split: paths for split, paths in group.items() if paths} for group in groups.values()]
    return [
        {paths[0]: split for split, paths in group.items()}
        for group in kept
        if len(group) > 1 and all(len(paths) == 1 for paths in group.values())
    ]


def _find_partition(text: str) -> tuple[str, list[str], list[int]]:
    """What a list's path says but for the split: its folder, and the words and numbers of its name."""
    path = PurePosixPath(text)
    words = [word for word in find_words(path.stem) if not find_split_word(word)]
    return str(path.parent), words, [int(number) for number in _DIGITS.findall(path.stem)]


def _count_numbers(text: str) -> int:
    return len(_DIGITS.findall(PurePosixPath(text).stem))


def _guess_split(text: str) -> str:
    word = find_split_word(PurePosixPath(text).stem)
    return word if word in ("train", "val", "test") else ""


def _read_head(path: str, read_file: Read) -> list[LabelRow]:
    """The first lines; none of what is no text, or can't be read, as a link in an archive."""
    try:
        return list(islice(_read_rows(read_file(path), ""), _TRIED))
    except (PipelineError, OSError):
        return []


def _make_finder(heads: Iterable[list[LabelRow]], pictures: Mapping[str, str]) -> Finder:
    """Of those pictures only that lines can mean, as there may be a million."""
    rows = [row for head in heads for row in head]
    texts = {text for row in rows for text in (row.path, *_list_starts(row), _get_field(row, -1))}
    stems = set(map(find_stem, texts))
    return Finder({path: text for path, text in pictures.items() if find_stem(text) in stems}, None, "")


def _names_pictures(rows: list[LabelRow], finder: Finder) -> bool:
    """Whether most of the lines do."""
    try:
        found = _find_pictures(rows, "", finder)
    except PipelineError:  # several pictures are meant alike
        return False
    return 2 * sum(path is not None for _, path in found) > len(rows)
