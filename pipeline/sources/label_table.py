"""The rows of a CSV file of labels: which file, which class, which split, which group, and when."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.config.sources import LabelColumns
from pipeline.runtime.errors import PipelineError
from pipeline.sources.names import find_split_word, find_words

_DELIMITERS = (",", ";", "\t", "|")
_MAX_FIELD = 1 << 20  # characters; csv's own limit is 128 KB
_SEPARATOR = re.compile(r"sep=([,;\t|])\r?\n")
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
        *("clip", "camera", "session", "study", "series", "burst", "sequence"),
    }
)
_BITS = {"0": False, "1": True, "0.0": False, "1.0": True, "": False, "false": False, "true": True}
_OTHER_FILES = {
    b"PK\3\4": "an Excel workbook or a zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "packed by gzip",
    b"PAR1": "a Parquet file",
    b"{": "a JSON file",
    b"[": "a JSON file",
}


@dataclass(frozen=True, slots=True)
class LabelRow:
    """number: of the line in the file, from 1, where the row ends. label: empty if the row has none."""

    number: int
    path: str
    label: str
    split: str
    group: str
    time: str


def parse_labels(data: bytes, columns: LabelColumns, name: str) -> list[LabelRow]:
    """The rows of a CSV file in UTF-8, with or without BOM, its columns separated by comma, semicolon, tab or bar.

    name: of the file, for messages. Raises PipelineError, one line with the number of the row, for what can't be read.
    """
    header, body = _read_table(data, columns, name)
    path = _find_column(header, columns.path, "path", name)
    split = _find_optional(header, columns.split, "split", name)
    group = _find_optional(header, columns.group, "group", name)
    time = _find_optional(header, columns.time, "time", name)
    labels = _read_classes(header, body, columns, {path, split, group, time}, name)
    return [
        LabelRow(
            number,
            line[path],
            label,
            *("" if column is None else line[column] for column in (split, group, time)),
        )
        for (number, line), label in zip(body, labels, strict=True)
    ]


def find_doubts(data: bytes, columns: LabelColumns, name: str) -> Iterator[str]:
    """What a person should look at: labels that look like missing ones, and columns that are not read, but look like splits or
    groups. Arguments, errors: see `parse_labels`."""
    header, body = _read_table(data, columns, name)
    if columns.label in header:
        label = header.index(columns.label)
        missing = Counter(line[label] for _, line in body if line[label].lower() in _MISSING)
        for text, count in missing.items():
            yield f"{count:,} rows of {name} have the label {text!r}, which becomes a class: empty the cells if it means none"
    for number, title in enumerate(header):
        values = {line[number] for _, line in body} - {""}
        if title in (columns.path, columns.label, columns.split, columns.group, columns.time) or all(
            map(_is_bit, values)
        ):
            continue
        words = {find_split_word(value) for value in values} if len(values) < _MANY else {""}
        if columns.split not in header and "train" in words and words <= {"train", "val", "test"}:
            yield f"column {title} of {name} names splits and is not read: data.label_columns.split={title} reads it"
        elif columns.group not in header and _GROUPS & set(find_words(title)) and 1 < len(values) < len(body):
            yield (
                f"column {title} of {name} may name what must not be divided between train and test, and is not read: "
                f"data.label_columns.group={title} with split.group=column keeps it together"
            )


def _read_table(data: bytes, columns: LabelColumns, name: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and (number, fields) of each row, as many fields as the header has."""
    csv.field_size_limit(_MAX_FIELD)
    if what := next((what for start, what in _OTHER_FILES.items() if data.lstrip().startswith(start)), ""):
        raise PipelineError(f"data.labels {name!r} is {what}: expected a CSV file; save it as CSV in UTF-8")
    lines = list(_read_lines(_decode(data, name), columns, name))
    header = [title.strip() for _, line in lines[:1] for title in line]
    if not header:
        raise PipelineError(
            f"data.labels {name!r} is empty: expected a header such as path,label and a row per picture"
        )
    if len(lines) < 2:
        raise PipelineError(f"data.labels {name!r} has a header and no rows: expected a row per picture")
    _find_column(header, columns.path, "path", name)
    return header, [(number, _fit(line, header, number, name)) for number, line in lines[1:]]


def _decode(data: bytes, name: str) -> str:
    for bom, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"", "utf-8-sig")):
        if data.startswith(bom):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError as error:
                row = data[: error.start].count(b"\n") + 1
                raise PipelineError(
                    f"data.labels {name!r}, row {row}: expected UTF-8, received the byte 0x{data[error.start]:02x}; save it "
                    "as CSV in UTF-8"
                ) from error
    raise AssertionError("every text begins with no bytes")


def _read_lines(text: str, columns: LabelColumns, name: str) -> Iterator[tuple[int, list[str]]]:
    """(number, fields) of each line that is not blank."""
    said = _SEPARATOR.match(text)  # the line `sep=;`, which Excel writes and reads
    start = said[0].count("\n") if said else 0
    text = text[said.end() :] if said else text
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = said[1] if said else _find_delimiter(first, columns)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                yield start + reader.line_num, [field.strip() for field in fields]
    except csv.Error as error:
        raise PipelineError(f"data.labels {name!r}, row {reader.line_num}: can't be read ({error})") from error


def _find_delimiter(header: str, columns: LabelColumns) -> str:
    """The one by which the header has the columns that are asked for; else the most frequent."""
    wanted = {columns.path, columns.label or columns.path}

    def rate(delimiter: str) -> tuple[int, int]:
        titles = {title.strip().strip('"') for title in header.split(delimiter)}
        return len(wanted & titles), header.count(delimiter)

    return max(_DELIMITERS, key=rate)


def _find_column(header: list[str], title: str, key: str, name: str) -> int:
    if header.count(title) > 1:
        raise PipelineError(f"data.labels {name!r} has the column {title!r} twice: expected it once")
    if title not in header:
        raise PipelineError(
            f"data.labels {name!r} has no column {title!r}: received {', '.join(header[:20])}; set data.label_columns.{key} to "
            "the one that is meant"
        )
    return header.index(title)


def _find_optional(header: list[str], title: str | None, key: str, name: str) -> int | None:
    """None where params.yaml says null, or its own default, which this file need not have."""
    return None if title is None or (title == key and title not in header) else _find_column(header, title, key, name)


def _fit(line: list[str], header: list[str], number: int, name: str) -> list[str]:
    """As many fields as the header has; empty ones at the end are added and left out."""
    if any(line[len(header) :]):
        raise PipelineError(
            f"data.labels {name!r}, row {number}: expected {len(header)} columns, received {len(line)}; quote fields that "
            "contain the separator"
        )
    return [*line, *[""] * (len(header) - len(line))][: len(header)]


def _read_classes(
    header: list[str], body: list[tuple[int, list[str]]], columns: LabelColumns, others: set[int | None], name: str
) -> list[str]:
    """The class of each row; empty where it has none."""
    if columns.label is not None and columns.label in header:
        label = _find_column(header, columns.label, "label", name)
        return [line[label] for _, line in body]
    hot = [i for i in range(len(header)) if i not in others and all(_is_bit(line[i]) for _, line in body)]
    if columns.label not in (None, "label") or len(hot) < 2:
        _refuse_label(header, columns.label, name)
    return [_decode_one_hot(header, hot, line, number, name) for number, line in body]


def _refuse_label(header: list[str], label: str | None, name: str) -> None:
    if label is not None:
        _find_column(header, label, "label", name)
    raise PipelineError(
        f"data.labels {name!r} has no two columns of nothing but 0 and 1: expected one for each class, as "
        f"data.label_columns.label is null; received {', '.join(header[:20])}; set it to the column that has the label"
    )


def _is_bit(field: str) -> bool:
    return field.lower() in _BITS


def _decode_one_hot(header: list[str], hot: list[int], line: list[str], number: int, name: str) -> str:
    ones = [header[i] for i in hot if _BITS[line[i].lower()]]
    if len(ones) > 1:
        raise PipelineError(
            f"data.labels {name!r}, row {number}: {line[0]!r} is of classes {', '.join(ones)}: expected one class per picture; "
            "set data.label_columns.label if another column has it"
        )
    return ones[0] if ones else ""
