"""Lines of lists without header, as `cats/1.jpg 0` or `1000074 British Aerospace`: which part names the picture."""

import re
from collections.abc import Collection, Iterable
from functools import cached_property
from unicodedata import normalize

from pipeline.sources.names import find_split_word
from pipeline.sources.tree import is_picture

_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
_LONGEST = 4096  # characters of a path, at most: of a longer line only the first may name a picture


class Names:
    """Names of a source's pictures. stems: without folders and extensions."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.stems = set(map(find_stem, paths))

    def are_in(self, rows: list[list[str]]) -> bool:
        """Whether a field names a picture, whatever its case; where names are mere numbers, a field of most rows."""
        fields = [set(map(find_stem, row)) for row in rows]
        if _are_named([row & self.stems for row in fields]):
            return True
        return _are_named([self._folded & set(map(_fold, row)) for row in fields])

    @cached_property
    def _folded(self) -> set[str]:
        return set(map(_fold, self.stems))


def _fold(name: str) -> str:
    return normalize("NFC", name).casefold()


def _are_named(rows: list[set[str]]) -> bool:
    return any(not name.isdecimal() for row in rows for name in row) or 2 * sum(map(bool, rows)) > len(rows)


def find_stem(path: str) -> str:
    """The name of a file without folders, and without the extension of a picture."""
    name = path.replace("\\", "/").rpartition("/")[2]
    return name.rpartition(".")[0] if is_picture(name) else name


def names_picture(text: str, stems: Collection[str] = frozenset()) -> bool:
    """Whether a text ends as the name of a picture does, or names one of `stems`, without extension."""
    return is_picture(text) or find_stem(text) in stems


def is_number(text: str) -> bool:
    """Whether a text is a number, whole or with a decimal point."""
    return bool(_NUMBER.fullmatch(text))


def split_lines(texts: list[str], stems: Collection[str] = frozenset()) -> tuple[list[list[str]], bool] | None:
    """(what stands before and behind a blank of each line, whether the picture is before it); None if the first line does not
    name a picture at one of its ends, or names one at both, or if there seem to be more columns than two.

    Paths and classes may have blanks. stems: names of the source's pictures, without extension.
    """
    first = texts[0] if texts else ""
    is_before, is_behind = bool(_find_before(first, stems)), _ends_with_picture(first, stems)
    if is_before == is_behind:
        return None
    is_word = len(_find_before(first, stems).split()) == 1
    pairs = [_split_before(text, stems, is_word) if is_before else text.rsplit(maxsplit=1) for text in texts]
    return None if _have_columns([pair[-1 if is_before else 0] for pair in pairs]) else (pairs, is_before)


def separates_by_blank(line: str, delimiters: Collection[str]) -> bool:
    """Whether a line is a picture's name, with its extension, and a class behind or before it, and only the name may have
    delimiters: `images/1,2.jpg 0`."""
    path = _find_before(line, ())
    label = line[len(path) :] if path else line.rpartition(" ")[0] if _ends_with_picture(line, ()) else ""
    return bool(label.strip()) and not any(delimiter in label for delimiter in delimiters)


def _find_before(text: str, stems: Collection[str]) -> str:
    """The shortest beginning before a blank that names a picture; one with an extension counts first."""
    head = text[:_LONGEST]
    ends = [match.start() for match in re.finditer(r"\s+", head)]
    with_extension = next((head[:end] for end in ends if is_picture(head[:end])), "")
    return with_extension or next((head[:end] for end in ends if names_picture(head[:end], stems)), "")


def _ends_with_picture(text: str, stems: Collection[str]) -> bool:
    words = text.split()
    return len(words) > 1 and names_picture(words[-1], stems)


def _split_before(text: str, stems: Collection[str], is_word: bool) -> list[str]:
    """is_word: whether the name of a picture that the source lacks has no blanks."""
    if path := text if is_picture(text) else _find_before(text, stems):
        return [path, text[len(path) :].strip()]
    return text.split(maxsplit=1) if is_word else text.rsplit(maxsplit=1)


def _have_columns(labels: list[str]) -> bool:
    """Whether labels are several columns: they have as many words each, and one of these is always a number, or a split."""
    rows = [label.split() for label in labels if label]
    if len(set(map(len, rows))) != 1:
        return False
    columns = list(zip(*rows, strict=True))
    are_words = [all(map(is_number, column)) or all(map(find_split_word, column)) for column in columns]
    return len(columns) > 1 and any(are_words)
