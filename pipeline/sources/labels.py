"""A reading by a CSV file of labels: which picture each row means, and what is left over on either side."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from pipeline.config.sources import ReadingSettings
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import readable_name
from pipeline.sources.decision import IGNORED
from pipeline.sources.label_finder import Finder, find_named, is_absolute
from pipeline.sources.label_table import LabelRow, find_doubts, parse_labels
from pipeline.sources.local_paths import resolve_path
from pipeline.sources.names import describe_rewritten, find_split_word, fold_name, make_class_names, make_unique_names
from pipeline.sources.reading import Reading, TreeFile, list_names
from pipeline.sources.tree import is_picture

_NO_ROW = "no row in data.labels"
_NO_LABEL = "no label in data.labels"
_WHOLE = re.compile(r"(\d+)\.0+")  # a whole number that was written as a fraction


def find_labels_file(labels: str | None, folder: Path | None) -> Path | None:
    """The local file that data.labels names, in the source's folder or elsewhere; None if there is none."""
    if labels is None:
        return None
    for file in ((folder / labels) if folder is not None else None, resolve_path(labels)):
        if file is not None and file.is_file():
            return file
    return None


def read_labels(
    kept: Mapping[str, str],
    where: str,
    settings: ReadingSettings,
    left_out: dict[str, list[str]],
    read_file: Callable[[str], bytes] | None,
    tables: Mapping[str, str],
    folder: str = "",
) -> Reading:
    """kept: normal form of each path of a file. tables: the same of all that data.labels may mean, also outside data.root.
    folder: name of the source's own folder, if it is one.
    left_out: paths by reason, of what is left out already. read_file: of a path.

    A row means the file of its path, from the source's root or data.root on, or the only one that its path is the end of, or
    ends with; the extension may be missing. Of several tables, that data.labels names by a pattern, paths are from each
    table's own folder, of pictures beside other tables only if they name that folder, and the name of the table, or else of
    its folder, may be that of a split. Raises PipelineError if no row has a file, and for rows that contradict each other.
    """
    assert settings.labels is not None
    name = Path(settings.labels).name
    loaded = _load(settings, tables, where, read_file)
    pictures = {path: text for path, text in kept.items() if is_picture(path) and not _is_ignored(text, settings)}
    stems = {text.rpartition("/")[2].rpartition(".")[0] for text in pictures.values()}  # of a million: no Path of each
    read = [(table, _read_rows(table, settings, stems)) for table in loaded]
    rows = [row for _, found in read for row in found]
    finder = Finder(pictures, settings.root, where, folder=folder)
    matches = _match_all(read, finder, settings)
    if len(matches.unmatched) == len(rows) and finder.match_names(rows):
        matches = _match_all(read, finder, settings)
    if not matches.chosen:
        _refuse_all(rows, finder, matches.unlabelled, where, name)
    for path in kept:
        if path not in matches.chosen:
            is_ignored = path in matches.ignored or path not in pictures
            unlabelled = _NO_LABEL if path in matches.blank else _NO_ROW
            reason = "no picture" if not is_picture(path) else IGNORED if is_ignored else unlabelled
            left_out.setdefault(reason, []).append(path)
    num_chosen, matched = len(matches.chosen), len(rows) - len(matches.unmatched)
    note = (
        f"{name}: {matched:,} of {len(rows):,} rows have a file, and {num_chosen:,} of {len(pictures):,} pictures a row"
    )
    files = _make_files(matches.chosen, settings, name)
    warnings = _warn(where, name, matches, left_out.get(_NO_ROW, []))
    warnings += tuple(
        f"{where}: {line}"
        for line in [
            *finder.describe(name),
            *chain(*(_find_doubts(table, settings, stems) for table in loaded)),
        ]
    )
    classes = make_class_names({row.label for row in matches.chosen.values()})
    warnings += tuple(f"{where}: {line}" for line in [describe_rewritten(classes, "class names")] if line)
    rewritten = describe_rewritten({file.path: file.name for file in files}, "file names")
    return Reading(where, files, (), _summarize(left_out), warnings, tuple(filter(None, (note, rewritten))))


@dataclass
class _Matches:
    """chosen: by path of a file. ignored, blank: paths of files whose split is ignored, and whose row has no label. The others:
    rows without a file, those that repeat one before, and those without a label."""

    chosen: dict[str, LabelRow] = field(default_factory=dict)
    unmatched: list[LabelRow] = field(default_factory=list)
    repeated: list[LabelRow] = field(default_factory=list)
    unlabelled: list[LabelRow] = field(default_factory=list)
    ignored: set[str] = field(default_factory=set)
    blank: set[str] = field(default_factory=set)


def _match_all(read: list[tuple["_Table", list[LabelRow]]], finder: Finder, settings: ReadingSettings) -> _Matches:
    """read: tables with their rows."""
    matches, folders = _Matches(), {table.folder for table, _ in read}
    for table, found in read:
        finder.expect(found, table.folder, folders)
        _match(found, finder, settings, table, matches)
    return matches


def _match(rows: list[LabelRow], finder: Finder, settings: ReadingSettings, table: "_Table", matches: _Matches) -> None:
    """Adds to the matches. table: of the rows."""
    name = table.name
    for row in rows:
        path = _find(row, table, finder)
        if path is None:
            matches.unmatched.append(row)
        elif row.split and settings.splits.get(row.split) == "ignore":
            matches.ignored.add(path)
        elif not row.label:
            matches.unlabelled.append(row)
            matches.blank.add(path)
        elif path in matches.chosen:
            _check_agreement(matches.chosen[path], row, name)
            matches.repeated.append(row)
        else:
            matches.chosen[path] = row


@dataclass(frozen=True)
class _Table:
    """name: as messages call it. data: its bytes. Of one of several, folder: from which paths of its rows begin; split: of
    rows that name none."""

    name: str
    data: bytes
    folder: str = ""
    split: str = ""


def _read_rows(table: _Table, settings: ReadingSettings, stems: Collection[str]) -> list[LabelRow]:
    rows = parse_labels(table.data, settings.label_columns, table.name, stems)
    return [replace(row, split=row.split or table.split) for row in rows] if table.split else rows


def _find_doubts(table: _Table, settings: ReadingSettings, stems: Collection[str]) -> Iterator[str]:
    return find_doubts(table.data, settings.label_columns, table.name, stems, is_split=bool(table.split))


def _find(row: LabelRow, table: _Table, finder: Finder) -> str | None:
    """The path of the file that a row means: from the folder of its table on, if that is one."""
    if not table.folder or is_absolute(row.path):
        return finder.find(row, table.name)
    inside = replace(row, path=f"{table.folder}/{row.path}")
    return finder.find(inside, table.name) or finder.find(row, table.name)


def _load(
    settings: ReadingSettings, kept: Mapping[str, str], where: str, read_file: Callable[[str], bytes] | None
) -> list[_Table]:
    """What data.labels names: a file of the source, by its path or the end of it, one on this machine, or files of the source
    by a pattern."""
    labels = str(settings.labels)
    name = Path(labels).name
    wanted = normalize("NFC", labels.replace("\\", "/").strip("/"))
    inside = find_named(labels, kept)
    if read_file is not None and len(inside) == 1 and not Path(labels).is_absolute():
        return [_Table(name, read_file(inside[0]))]
    if not inside and read_file is not None and set("*?[") & set(wanted):
        found = sorted(
            path for path, text in kept.items() if PurePosixPath(text).match(wanted) and not is_picture(path)
        )
        if found:
            return [_make_table(kept[path], read_file(path), settings) for path in found]
    if len(inside) > 1:
        raise PipelineError(
            f"data.labels {labels!r} is {len(inside)} files of {where}: expected one; name its folders too, or all of them, as "
            f"'*/{Path(wanted).name}'"
        )
    if (file := find_labels_file(labels, None)) is None:
        tables = sorted(
            text for text in kept.values() if text.lower().endswith((".csv", ".tsv", ".txt", ".jsonl", ".json"))
        )
        raise PipelineError(
            f"data.labels {labels!r} is neither in {where} nor a file on this machine: expected a CSV file; the source has "
            f"{list_names(tables) or 'none'}"
        )
    return [_Table(name, file.read_bytes())]


def _make_table(path: str, data: bytes, settings: ReadingSettings) -> _Table:
    """One of several. path: from the source's root."""
    folder, _, file = path.rpartition("/")
    words = [Path(file).stem, folder.rpartition("/")[2]]  # train_data/val.csv is val
    said = [word for word in words if word in settings.splits] or [word for word in words if find_split_word(word)]
    return _Table(path, data, folder, said[0] if said else "")


def _is_ignored(text: str, settings: ReadingSettings) -> bool:
    """Whether data.splits says ignore to a folder above a file."""
    folders = text.split("/")[:-1]
    above = {"/".join(folders[: i + 1]) for i in range(len(folders))} | set(folders)
    patterns = [pattern.strip("/") for pattern, split in settings.splits.items() if split == "ignore"]
    return any(folder == pattern or fnmatchcase(folder, pattern) for folder in above for pattern in patterns)


def _check_agreement(first: LabelRow, second: LabelRow, name: str) -> None:
    for key in ("label", "split", "group", "time"):
        old, new = getattr(first, key), getattr(second, key)
        if old != new:
            raise PipelineError(
                f"data.labels {name!r}, row {second.number}: {second.path!r} has {key} {new!r}, and {old!r} in row "
                f"{first.number}: expected one; correct or delete one of them"
            )


def _refuse_all(rows: list[LabelRow], finder: Finder, unlabelled: list[LabelRow], where: str, name: str) -> None:
    """Raises PipelineError, as nothing is left."""
    if unlabelled:
        raise PipelineError(
            f"data.labels {name!r}, row {unlabelled[0].number}: no row has a label: expected one in each"
        )
    raise PipelineError(
        f"data.labels {name!r}: none of its {len(rows):,} rows is a file of {where}: row {rows[0].number} has "
        f"{rows[0].path!r}, {finder.explain(rows[0])}"
    )


def _warn(where: str, name: str, matches: _Matches, rest: list[str]) -> tuple[str, ...]:
    what = {
        "rows of {} have no file": matches.unmatched,
        "rows of {} repeat one before": matches.repeated,
        "rows of {} have no label": matches.unlabelled,
    }
    found = [
        f"{where}: {len(rows):,} {text.format(name)}, such as row {rows[0].number}: {rows[0].path!r}"
        for text, rows in what.items()
        if rows
    ]
    if rest:
        example = readable_name(rest[0])
        found.append(f"{where}: {len(rest):,} pictures have no row in {name}, such as {example!r}: they are left out")
    return tuple(found)


def _make_files(chosen: Mapping[str, LabelRow], settings: ReadingSettings, name: str) -> tuple[TreeFile, ...]:
    labels = {row.label for row in chosen.values()}
    if settings.layout != "flat":
        _check_spellings(labels, name)
    names, classes = make_unique_names(chosen), make_class_names(labels)
    splits = {row.split: _read_split(row, settings, name) for row in list(chosen.values())[::-1]}
    return tuple(
        TreeFile(
            path,
            classes[row.label],
            splits[row.split],
            "",
            names[path],
            readable_name(row.group),
            readable_name(row.time),
        )
        for path, row in sorted(chosen.items())
    )


def _check_spellings(labels: set[str], name: str) -> None:
    """Raises PipelineError for two classes that look alike, see `fold_name`: in a table that is most often a slip."""
    seen: dict[str, str] = {}
    for label in sorted(labels):
        number = _WHOLE.fullmatch(label)
        other = seen.setdefault(number[1] if number else fold_name(label), label)
        if normalize("NFC", other) != normalize("NFC", label):
            raise PipelineError(
                f"data.labels {name!r} has classes {other!r} and {label!r}, which look alike: expected one spelling; correct "
                "them, or set data.layout=flat if they are two classes (prune.merge_classes then makes one of them)"
            )


def _read_split(row: LabelRow, settings: ReadingSettings, name: str) -> str:
    said = settings.splits.get(row.split) or find_split_word(row.split)
    if not row.split or said in ("train", "val", "test"):
        return said if row.split else ""
    raise PipelineError(
        f"data.labels {name!r}, row {row.number}: split {row.split!r} is unknown: expected train, val or test; say what it is "
        f"in data.splits, as {{{row.split}: test}}, or set data.label_columns.split=null"
    )


def _summarize(left_out: Mapping[str, list[str]]) -> tuple[tuple[str, int, str], ...]:
    return tuple((reason, len(paths), readable_name(min(paths))) for reason, paths in sorted(left_out.items()) if paths)
