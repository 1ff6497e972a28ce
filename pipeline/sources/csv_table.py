"""Reads a person's CSV file: any separator, with or without byte-order mark, as fields with the number of their row."""

import codecs
import csv
import io
import re
from collections.abc import Iterator

from pipeline.runtime.cells import read_cell
from pipeline.runtime.errors import PipelineError
from pipeline.sources.list_lines import separates_by_blank
from pipeline.sources.tree import is_picture

_DELIMITERS = (",", ";", "\t", "|")
_NONE = "\x1f"  # occurs in no line, so that each is one field
_MAX_FIELD = 1 << 20  # characters; csv's own limit is 128 KB
_SEPARATOR = re.compile(r"sep=([,;\t|])\r?\n")
_OTHER_FILES = {
    b"PK\3\4": "an Excel workbook or a zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "packed by gzip",
    b"PAR1": "a Parquet file",
    b"{": "a JSON file",
    b"[": "a JSON file",
    b"%PDF-": "a PDF file",
    b"SQLite format 3": "an SQLite database",
}
# An element at the start, of which nothing but a line break or another one follows: <path>,<label> is a header.
_MARKUP = re.compile(rb"<(?:[?!]|[A-Za-z][\w:.-]*(?:\s[^<>]*)?>\s*(?:<|[\r\n]))")
_HTML = re.compile(rb"(?i)<(?:!doctype\s+html|html|table|head|body|meta|style|div)\b")
_HEAD = 4096  # bytes, in which a file shows what it is

Line = tuple[int, list[str]]  # number of the line in the file, from 1, where the row ends; its fields, stripped


def decode_csv(data: bytes, what: str) -> str:
    """The text of a file in UTF-8, or in UTF-16 with or without byte-order mark. what: for messages, such as "data.labels
    'a.csv'".

    Raises PipelineError, one line with the number of the row, for what is no text.
    """
    if other := _name_other(data[:_HEAD].removeprefix(codecs.BOM_UTF8).lstrip()):
        raise PipelineError(f"{what} is {other}: expected a CSV file; save it as CSV in UTF-8")
    encoding = _find_encoding(data[:_HEAD])
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        expected = "UTF-16, as it begins so" if encoding.startswith("utf-16") else "UTF-8"
        raise PipelineError(
            f"{what}, row {row}: expected {expected}, received the byte 0x{data[error.start]:02x}; save it as CSV in UTF-8"
        ) from error


def _name_other(head: bytes) -> str:
    """What a file is that is no table, by its first bytes; empty if nothing is known."""
    if _MARKUP.match(head):
        return "HTML, which some programs call .xls" if _HTML.match(head) or b"<html" in head.lower() else "XML"
    return next((other for start, other in _OTHER_FILES.items() if head.startswith(start)), "")


def _find_encoding(head: bytes) -> str:
    """utf-16 by its mark, or where every other byte is mostly 0, as of Latin letters and separators; else UTF-8."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    first, second = head[::2].count(0), head[1::2].count(0)
    if 8 * max(first, second) < len(head) or 10 * min(first, second) > max(first, second):
        return "utf-8-sig"
    return "utf-16-le" if second > first else "utf-16-be"


def read_lines(text: str, wanted: set[str], what: str) -> Iterator[Line]:
    """Each line that is not blank. wanted: titles of columns, by which the separator is found."""
    csv.field_size_limit(_MAX_FIELD)
    said = _SEPARATOR.match(text)  # the line `sep=;`, which Excel writes and reads
    start = said[0].count("\n") if said else 0
    text = text[said.end() :] if said else text
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = said[1] if said else _find_delimiter(first, wanted)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                yield start + reader.line_num, [read_cell(field.strip()) for field in fields]
    except csv.Error as error:
        raise PipelineError(f"{what}, row {reader.line_num}: can't be read ({error})") from error


def _find_delimiter(header: str, wanted: set[str]) -> str:
    """The one by which the header has the columns that are asked for; else, as there may be no header, the one that leaves a
    picture and one other field, a tab first; else the most frequent. None in `1,2.jpg 0`, or below `1.jpg 0`: names may have
    commas."""
    fields = {mark: [field.strip().strip('"') for field in header.split(mark)] for mark in _DELIMITERS}
    pictures = {mark: sum(map(is_picture, found)) for mark, found in fields.items()}

    def rate(mark: str) -> tuple[int, int, int]:
        is_pair = len(fields[mark]) == 2 and pictures[mark] == 1
        return len(wanted & set(fields[mark])), is_pair * (1 + (mark == "\t")), header.count(mark)

    best = max(_DELIMITERS, key=rate)
    if best not in header and " " in header.strip():
        return _NONE
    is_table = rate(best)[0] > 0 or any(pictures.values())
    return _NONE if not is_table and separates_by_blank(header, _DELIMITERS) else best


def fit_line(line: Line, header: list[str], what: str) -> Line:
    """As many fields as the header has; empty ones at the end are added and left out."""
    number, fields = line
    if any(fields[len(header) :]):
        raise PipelineError(
            f"{what}, row {number}: expected {len(header)} columns, received {len(fields)}; quote fields that contain the "
            "separator"
        )
    return number, [*fields, *[""] * (len(header) - len(fields))][: len(header)]
