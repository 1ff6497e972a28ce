"""The rows of a CSV file, or of JSON Lines, of labels: which file, which class, which split, which group, and when."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain

from pipeline.config.sources import LabelColumns
from pipeline.runtime.errors import PipelineError
from pipeline.sources.csv_table import Line, decode_csv, fit_line, read_lines
from pipeline.sources.decision import write_value
from pipeline.sources.json_table import is_json, read_objects
from pipeline.sources.list_lines import is_number, names_picture, split_lines
from pipeline.sources.names import find_split_word, find_words
from pipeline.sources.one_hot import BITS, OneHot, decode_one_hot, describe_one_hot, find_one_hot, is_bit, refuse_spoilt
from pipeline.sources.tree import is_picture

_HEAD = 1 << 18  # bytes of a table of which only the first rows are asked for
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_MARKS = "|;,+/ "  # between several labels in one cell
_MANY = 10  # values; a column with so many names no splits
_MISSING = frozenset({"nan", "none", "null", "n/a", "na", "#n/a", "<na>", "?"})
_GROUPS = frozenset(
    {
        *(
            "patient",
            "patients",
            "subject",
            "lesion",
            "person",
            "participant",
            "individual",
            "animal",
            "group",
            "video",
        ),
        *("clip", "camera", "session", "study", "series", "burst", "sequence", "seq", "location", "site"),
    }
)
_PARTICLES = frozenset({"is", "in", "for", "set", "split", "flag"})  # beside the word of a split in a title


@dataclass(frozen=True, slots=True)
class LabelRow:
    """number: of the line in the file, from 1, where the row ends. label: empty if the row has none."""

    number: int
    path: str
    label: str
    split: str
    group: str
    time: str


def parse_labels(data: bytes, columns: LabelColumns, name: str, stems: Collection[str] = frozenset()) -> list[LabelRow]:
    """The rows of a CSV file in UTF-8, with or without BOM, its columns separated by comma, semicolon, tab or bar, or of a JSON
    file, see `read_objects`.

    name: of the file, for messages. stems: names of the source's pictures, without extension. Raises PipelineError, one line
    with the number of the row, for what can't be read.
    """
    header, body = _read_table(data, columns, name, stems)
    path = _find_column(header, columns.path, "path", name)
    split = _find_optional(header, columns.split, "split", name)
    group = _find_optional(header, columns.group, "group", name)
    time = _find_optional(header, columns.time, "time", name)
    labels = _read_classes(header, body, columns, name)
    body = body if split is None else _name_splits(body, split, columns.split or "")
    return [
        LabelRow(
            number,
            line[path],
            label,
            *("" if column is None else line[column] for column in (split, group, time)),
        )
        for (number, line), label in zip(body, labels, strict=True)
    ]


def find_doubts(
    data: bytes, columns: LabelColumns, name: str, stems: Collection[str] = frozenset(), *, is_split: bool = False
) -> Iterator[str]:
    """What a person should look at: labels that look like missing ones, and columns that are not read, but look like splits or
    groups. is_split: the whole file is one, so that no column is asked for. Other arguments, errors: see `parse_labels`."""
    header, body = _read_table(data, columns, name, stems)
    if body[0][0] == 1 and not is_json(data):
        yield f"{name} has no header: column {1 + header.index(columns.path)} is taken for paths, the other for labels"
    if columns.label in header:
        label = header.index(columns.label)
        missing = Counter(line[label] for _, line in body if line[label].lower() in _MISSING)
        for text, count in missing.items():
            yield f"{count:,} rows of {name} have the label {text!r}, which becomes a class: empty the cells if it means none"
        yield from _find_several(Counter(line[label] for _, line in body), name)
    yield from _describe_classes(header, body, columns, name)
    for number, title in enumerate(header):
        values = {line[number] for _, line in body} - {""}
        if title in (columns.path, columns.label, columns.split, columns.group, columns.time):
            continue
        only_bits = all(map(is_bit, values))
        if only_bits:
            says_split = (
                find_split_word(title) in ("train", "val", "test") and columns.label in header and len(values) > 1
            )
            values = {"train", "test"} if says_split else set()
        words = {find_split_word(value) for value in values} if len(values) < _MANY else {""}
        if columns.split not in header and not is_split and "train" in words and words <= {"train", "val", "test"}:
            reads = f"data.label_columns.split={write_value(title)} reads it"
            names = "may name" if only_bits and _says_more(title) else "names"
            yield f"column {title} of {name} {names} splits and is not read: {reads}"
        elif columns.group not in header and _GROUPS & set(find_words(title)) and 1 < len(values) < len(body):
            yield (
                f"column {title} of {name} may name what must not be divided between train and test, and is not read: "
                f"data.label_columns.group={write_value(title)} with split.group=column keeps it together"
            )


def _says_more(title: str) -> bool:
    """Whether a title has more words than one of a split needs: service_test, not is_valid."""
    return any(word not in _PARTICLES and not find_split_word(word) for word in find_words(title))


def _find_several(labels: Counter[str], name: str) -> Iterator[str]:
    """Notes labels that are several: cat|dog where cat and dog are labels too, or parts of other ones."""
    for mark in _MARKS:
        parts = {label: {part.strip() for part in label.split(mark)} for label in labels if mark in label}
        known = {*labels, *(part for part, count in Counter(chain(*parts.values())).items() if count > 1)}
        several = [label for label, found in parts.items() if len(found) > 1 and found <= known]
        if several and any(part in labels for label in several for part in parts[label]):
            rows = sum(labels[label] for label in several)
            yield (
                f"{rows:,} rows of {name} have a label that seems to be several, such as {several[0]!r}, which becomes a class "
                "of its own: a picture has one class here; keep one label in these rows, or empty their cells"
            )
            return


def read_first_rows(data: bytes, stems: Collection[str]) -> list[list[str]]:
    """Fields of the first rows of a table below its header, whatever its columns are called; none if it has no header and needs
    one. Arguments, errors: see `parse_labels`."""
    if is_json(data):
        return [line for _, line in read_objects(data, "", stems)[1:]]
    head = data if data.startswith(_UTF16) or len(data) <= _HEAD else data[: data.rfind(b"\n", 0, _HEAD) + 1]
    lines = list(read_lines(decode_csv(head, ""), {"path", "label"}, ""))
    listed = _add_header(lines, LabelColumns(path="path", label="label", split="", group="", time=""), stems)
    if listed is lines and lines and any(names_picture(word, stems) for word in " ".join(lines[0][1]).split()):
        return []
    return [line for _, line in listed[1:]]


def _read_table(
    data: bytes, columns: LabelColumns, name: str, stems: Collection[str] = frozenset()
) -> tuple[list[str], list[Line]]:
    """The header, and (number, fields) of each row, as many fields as the header has."""
    what = f"data.labels {name!r}"
    wanted = {columns.path, columns.label or columns.path}
    if is_json(data):
        lines = read_objects(data, what, stems)
    else:
        lines = _add_header(list(read_lines(decode_csv(data, what), wanted, what)), columns, stems)
    said = set(columns.model_dump().values())
    header = [title if title in said else _join_lines(title) for _, line in lines[:1] for title in map(str.strip, line)]
    if not header:
        raise PipelineError(f"{what} is empty: expected a header such as path,label and a row per picture")
    if len(lines) < 2:
        raise PipelineError(f"{what} has a header and no rows: expected a row per picture")
    if columns.path not in header and not is_json(data):
        _check_header(header, lines[1][1], stems, what)
    named = [title for title, text in zip(header, lines[1][1], strict=False) if is_picture(text)]
    _find_column(header, columns.path, "path", name, guess=named[0] if named else "")
    return header, [fit_line(line, header, what) for line in lines[1:]]


def _add_header(lines: list[Line], columns: LabelColumns, stems: Collection[str]) -> list[Line]:
    """Of a list without header, as `cats/1.jpg 0` or `0,cats/1.jpg` a line: one is put above it. Others as they are. stems: of
    pictures, which a line may name without extension."""
    first = lines[0][1] if lines else []
    if columns.path in first or columns.label is None:
        return lines
    titles = [columns.path, columns.label]
    if all(len(fields) == 1 for _, fields in lines):  # a blank separates, which paths and classes may have, too
        if found := split_lines([fields[0] for _, fields in lines], stems):
            pairs, is_before = found
            body = [(number, pair) for (number, _), pair in zip(lines, pairs, strict=True)]
            return [(0, titles if is_before else titles[::-1]), *body]
        return lines
    named = [names_picture(field, stems) for field in first]
    if len(first) != 2 or sum(named) != 1:
        return lines
    return [(0, titles if named[0] else titles[::-1]), *lines]


def _check_header(header: list[str], second: list[str], stems: Collection[str], what: str) -> None:
    """Raises PipelineError for a first row that is none. second: the row below it."""
    words = " ".join(header).split()
    received = ", ".join(header[:20])
    advice = "expected path,label above it, and commas, semicolons or tabs between columns"
    if len(words) == 1 and words[0].isdecimal() and not "".join(second).isdecimal():
        raise PipelineError(
            f"{what} begins with a number, {received}, which seems to count its rows: expected a header such as path,label; "
            "delete that line, and write commas, semicolons or tabs between columns"
        )
    if all(map(is_number, words)):
        raise PipelineError(f"{what} has no header: its first row is only numbers, {received!r}; {advice}")
    if any(names_picture(word, stems) and not word.isalpha() for word in words):
        raise PipelineError(f"{what} has no header: its first row names a picture, {received!r}; {advice}")


def _join_lines(title: str) -> str:
    """A title that Excel broke in two, as one line, which messages can show and -S can name."""
    return " ".join(title.split()) if len(title.splitlines()) > 1 else title


def _name_splits(body: list[Line], split: int, title: str) -> list[Line]:
    """Where a column such as is_valid says 1 or 0, True or False: the split that its title names, or else train; of 0 in
    is_train test."""
    named = find_split_word(title)
    if named not in ("train", "val", "test") or not all(is_bit(line[split]) and line[split] for _, line in body):
        return body
    said = {True: named, False: "test" if named == "train" else "train"}
    return [(number, [*line[:split], said[BITS[line[split].lower()]], *line[split + 1 :]]) for number, line in body]


def _find_column(header: list[str], title: str, key: str, name: str, guess: str = "") -> int:
    """guess: another that may be meant."""
    if header.count(title) > 1:
        raise PipelineError(f"data.labels {name!r} has the column {title!r} twice: expected it once")
    if title not in header:
        received = ", ".join(header[:20])
        if any(is_picture(word) for word in received.replace(",", " ").split()):
            raise PipelineError(
                f"data.labels {name!r} has no header: its first row names a picture, {received!r}; expected path,label above "
                "it, and commas, semicolons or tabs between columns"
            )
        example = f", such as {guess!r}" if guess else ""
        raise PipelineError(
            f"data.labels {name!r} has no column {title!r}: received {received}; set data.label_columns.{key} to the one that "
            f"is meant{example}"
        )
    return header.index(title)


def _find_optional(header: list[str], title: str | None, key: str, name: str) -> int | None:
    """None where params.yaml says null, or its own default, which this file need not have."""
    return None if title is None or (title == key and title not in header) else _find_column(header, title, key, name)


def _read_classes(header: list[str], body: list[Line], columns: LabelColumns, name: str) -> list[str]:
    """The class of each row; empty where it has none."""
    if columns.label is not None and columns.label in header:
        label = _find_column(header, columns.label, "label", name)
        return [line[label] for _, line in body]
    found = _find_classes(header, body, columns)
    guess = "" if found.text is None else header[found.text]
    is_said = columns.label is None or found.is_exclusive or not guess
    if columns.label not in (None, "label") or len(found.hot) + len(found.spoilt) < 2 or not is_said:
        _refuse_label(header, columns.label, name, guess)
    refuse_spoilt(found, header, body, name)
    if len(found.hot) < 2:
        _refuse_label(header, columns.label, name, guess)
    return [decode_one_hot(header, found.hot, line, number, name) for number, line in body]


def _find_classes(header: list[str], body: list[Line], columns: LabelColumns) -> OneHot:
    others = {header.index(title) for title in columns.model_dump().values() if title in header}
    return find_one_hot(header, body, others, _GROUPS)


def _refuse_label(header: list[str], label: str | None, name: str, guess: str = "") -> None:
    """guess: a column that may have it."""
    if label is not None:
        _find_column(header, label, "label", name, guess)
    raise PipelineError(
        f"data.labels {name!r} has no two columns of nothing but 0 and 1: expected one for each class, as "
        f"data.label_columns.label is null; received {', '.join(header[:20])}; set it to the column that has the label"
    )


def _describe_classes(header: list[str], body: list[Line], columns: LabelColumns, name: str) -> Iterator[str]:
    """What a person should look at where columns of 0 and 1 are taken for classes though nobody has asked for it."""
    if columns.label == "label" and columns.label not in header:
        yield from describe_one_hot(_find_classes(header, body, columns), header, name)
