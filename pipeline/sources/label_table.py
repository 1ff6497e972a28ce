"""The rows of a CSV file of labels: which file, which class, which split, which group, and when."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.config.sources import LabelColumns
from pipeline.runtime.errors import PipelineError

_DELIMITERS = (",", ";", "\t", "|")
_MAX_FIELD = 1 << 20  # characters; csv's own limit is 128 KB


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
    csv.field_size_limit(_MAX_FIELD)
    lines = list(_read_lines(_decode(data, name), columns, name))
    header = [title.strip() for _, line in lines[:1] for title in line]
    if not header:
        raise PipelineError(
            f"data.labels {name!r} is empty: expected a header such as path,label and a row per picture"
        )
    if len(lines) < 2:
        raise PipelineError(f"data.labels {name!r} has a header and no rows: expected a row per picture")
    path = _find_column(header, columns.path, "path", name)
    split = _find_optional(header, columns.split, "split", name)
    group = _find_optional(header, columns.group, "group", name)
    time = _find_optional(header, columns.time, "time", name)
    body = [(number, _fit(line, header, number, name)) for number, line in lines[1:]]
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
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_find_delimiter(first, columns), skipinitialspace=True)
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                yield reader.line_num, [field.strip() for field in fields]
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
        _find_column(header, columns.label or "a column of 0 and 1 for each class", "label", name)
    return [_decode_one_hot(header, hot, line, number, name) for number, line in body]


def _is_bit(field: str) -> bool:
    return field in ("0", "1", "0.0", "1.0", "")


def _decode_one_hot(header: list[str], hot: list[int], line: list[str], number: int, name: str) -> str:
    ones = [header[i] for i in hot if line[i] in ("1", "1.0")]
    if len(ones) > 1:
        raise PipelineError(
            f"data.labels {name!r}, row {number}: {line[0]!r} is of classes {', '.join(ones)}: expected one class per picture; "
            "set data.label_columns.label if another column has it"
        )
    return ones[0] if ones else ""
