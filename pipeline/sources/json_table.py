"""Reads a person's labels in JSON as a table: an object a line, as in Hugging Face's metadata.jsonl, a list of objects, COCO's
lists, or one object that names the class of each picture or the pictures of each class."""

import json
from collections.abc import Collection, Iterator
from functools import partial
from itertools import chain
from typing import Any

from pipeline.runtime.errors import PipelineError
from pipeline.sources.coco import is_coco, read_coco
from pipeline.sources.csv_table import Line
from pipeline.sources.list_lines import names_picture
from pipeline.sources.tree import is_picture

_EXPECTED = (
    'expected an object a line, as {"path": "a.jpg", "label": "cat"}, a list of such, or images, annotations and categories as '
    "COCO has them; or save it as CSV in UTF-8"
)


def is_json(data: bytes) -> bool:
    """Whether a file begins as JSON does."""
    return data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")


def read_objects(data: bytes, what: str, stems: Collection[str] = frozenset()) -> list[Line]:
    """A header of all keys in the order in which they first come, and a line for each object: what it says as text, empty where
    it lacks a key or says null. Keys whose values are lists or objects, such as boxes, are left out. Of COCO's
    images, see `read_coco`; one object of pictures and classes has the columns `path` and `label`.

    what: for messages, such as "data.labels 'a.jsonl'". stems: names of the source's pictures, without extension. Raises
    PipelineError, one line, for what is no such table.
    """
    rows = _load(data, what, stems)
    nested = {key for _, row in rows for key, value in row.items() if isinstance(value, dict | list)}
    header = list(dict.fromkeys(key for _, row in rows for key in row if key not in nested))
    return [
        (0, list(map(_show_halves, header))),
        *((number, [_write(row.get(key)) for key in header]) for number, row in rows),
    ]


def _load(data: bytes, what: str, stems: Collection[str]) -> list[tuple[int, dict[str, Any]]]:
    """(number, object): of the line, or in the list, from 1."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        raise PipelineError(
            f"{what}, row {row}: expected UTF-8, received the byte 0x{data[error.start]:02x}"
        ) from error
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if _is_object(lines[0][1]):  # of one that is written over several lines, the first is no object by itself
        found = [(number, _parse(line, f"{what}, row {number}")) for number, line in lines]
    else:
        whole = _parse(text, what)
        found = list(enumerate(whole if isinstance(whole, list) else [whole], start=1))
    if len(found) == 1 and isinstance(found[0][1], dict):
        if is_coco(found[0][1]):
            return list(read_coco(found[0][1], what))
        if rows := list(_read_map(found[0][1], stems)):
            return list(enumerate(rows, start=1))
    for number, row in found:
        if not isinstance(row, dict) or not row:
            raise PipelineError(f"{what}, row {number} is {json.dumps(row)[:60]}: {_EXPECTED}")
    if len(found) == 1 and all(isinstance(value, dict | list) for value in found[0][1].values()):
        raise PipelineError(f"{what} is one object with {', '.join(list(found[0][1])[:10])} in it: {_EXPECTED}")
    return found


def _read_map(content: dict[str, Any], stems: Collection[str]) -> Iterator[dict[str, str]]:
    """A row for each picture of {picture: class} or {class: [picture, …]}; none of other objects."""
    values = list(content.values())
    if _name_pictures(list(content), stems) and not any(isinstance(value, dict | list) for value in values):
        yield from ({"path": path, "label": _write(value)} for path, value in content.items())
    elif all(isinstance(value, list) for value in values) and _name_pictures(list(chain(*values)), stems):
        yield from ({"path": path, "label": label} for label, paths in content.items() for path in paths)


def _name_pictures(texts: list[Any], stems: Collection[str]) -> bool:
    """Whether all have extensions of pictures, or most name some of the source."""
    if not all(isinstance(text, str) for text in texts):
        return False
    return all(map(is_picture, texts)) or 2 * sum(names_picture(text, stems) for text in texts) > len(texts)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _parse(text: str, what: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=partial(_make_object, what=what))
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", "nested too deeply")
        raise PipelineError(f"{what}: can't be read as JSON ({reason}); {_EXPECTED}") from error


def _make_object(pairs: list[tuple[str, Any]], what: str) -> dict[str, Any]:
    """Raises PipelineError for a key that comes twice, with two values: json would keep the second without a word."""
    content = dict(pairs)
    if len(content) < len(pairs):
        for key, value in pairs:
            if value != content[key]:
                raise PipelineError(
                    f"{what}: {key[:60]!r} comes twice in one object, with {str(value)[:60]!r} and {str(content[key])[:60]!r}: "
                    "expected it once; correct or delete one of them"
                )
    return content


def _write(value: Any) -> str:
    """As a CSV file would have it; true and false as 1 and 0, as columns of classes have them."""
    return "" if value is None else str(int(value)) if isinstance(value, bool) else _show_halves(str(value).strip())


def _show_halves(text: str) -> str:
    """The same, with half an emoji, which a program that cuts text leaves in JSON, as \\ud83d, as no table can hold it."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
