"""Classes as columns of 0 and 1, one for each class: which columns of a table are that, and which class a row has."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pipeline.runtime.errors import PipelineError
from pipeline.sources.csv_table import Line
from pipeline.sources.decision import write_value
from pipeline.sources.names import find_split_word, find_words
from pipeline.sources.reading import list_names

BITS = {"0": False, "1": True, "0.0": False, "1.0": True, "": False, "false": False, "true": True}
_UNCERTAIN = {"-1", "-1.0"}  # as CheXpert and MIMIC-CXR write it, in up to a third of the cells of a class
_MOSTLY = 0.9  # of cells, of rows: slips of the hand are fewer than one in ten, and counts and grades have more
_FEW = range(2, 51)  # different texts of a column that may be the classes
_LABEL_WORDS = frozenset(
    {"label", "class", "category", "species", "diagnosis", "diagnostic", "dx", "target", "type", "klasse", "art"}
)


@dataclass(frozen=True, slots=True)
class OneHot:
    """Columns by their numbers. hot: of nothing but 0 and 1. spoilt: that would be, but for a few cells. text: one of few
    different texts, which may be the classes instead; None if there is none. is_exclusive: whether nearly every row has exactly
    one 1."""

    hot: list[int]
    spoilt: list[int]
    text: int | None
    is_exclusive: bool


def is_bit(field: str) -> bool:
    return field.lower() in BITS


def find_one_hot(header: list[str], body: list[Line], others: Collection[int], no_labels: Collection[str]) -> OneHot:
    """others: columns that mean something else. no_labels: words in titles of columns that hold no classes.

    A column without title or cells, which Excel leaves behind, is none of a class.
    """
    hot, spoilt, texts = [], [], {}
    for column, title in enumerate(header):
        cells = Counter(line[column] for _, line in body)
        if column in others or not title or set(cells) == {""}:
            continue
        if all(map(is_bit, cells)):
            hot.append(column)
        elif _is_spoilt(cells):
            spoilt.append(column)
        elif _may_be_classes(cells) and not set(no_labels) & set(find_words(title)):
            texts[column] = title
    told = [column for column, title in texts.items() if _LABEL_WORDS & set(find_words(title))]
    text = next(iter([*told, *texts]), None)
    single = sum(_has_one([line[column] for column in (*hot, *spoilt)]) for _, line in body)
    return OneHot(hot, spoilt, text, single >= _MOSTLY * len(body))


def refuse_spoilt(found: OneHot, header: list[str], body: list[Line], name: str) -> None:
    """Raises PipelineError for a column that would be a class but for a few cells: without it, its pictures would get another
    label, or none. Where the others give each row one class, it is none of theirs, unless it says that it is uncertain."""
    is_whole = all(sum(BITS[line[column].lower()] for column in found.hot) == 1 for _, line in body)
    for column in found.spoilt:
        odd = [(number, line[column]) for number, line in body if not is_bit(line[column])]
        if is_whole and not any(text in _UNCERTAIN for _, text in odd):
            continue
        number, text = odd[0]
        raise PipelineError(
            f"data.labels {name!r}, row {number}: column {header[column]!r} has {text!r}: expected 0 or 1, as in most rows, "
            f"which make it a class; received other text in {len(odd):,} of {len(body):,} rows; correct the cells, take the "
            "column out if it is no class, or set data.label_columns.label to the column that has the label"
        )


def describe_one_hot(found: OneHot, header: list[str], name: str) -> Iterator[str]:
    """What a person should look at where nobody has asked for columns of 0 and 1."""
    yield (
        f"{name} has no column 'label': its columns of 0 and 1 are taken for the classes, "
        f"{list_names([header[column] for column in found.hot])} (data.label_columns.label=null says so)"
        + ("" if found.text is None else f"; {_advise(header[found.text])}")
    )


def decode_one_hot(header: list[str], hot: list[int], line: list[str], number: int, name: str) -> str:
    """The class of a row; empty where it has none. Raises PipelineError where it has two."""
    ones = [header[i] for i in hot if BITS[line[i].lower()]]
    if len(ones) > 1:
        raise PipelineError(
            f"data.labels {name!r}, row {number}: {line[0]!r} is of classes {', '.join(ones)}: expected one class per picture; "
            "set data.label_columns.label if another column has it"
        )
    return ones[0] if ones else ""


def _advise(title: str) -> str:
    return f"column {title} is not read: set data.label_columns.label={write_value(title)} if it has the class"


def _is_spoilt(cells: Counter[str]) -> bool:
    """Whether it would be of 0 and 1 but for a few cells. Blanks count as 0 only beside bits: remarks are mostly blank."""
    odd = {text: count for text, count in cells.items() if not is_bit(text)}
    filled = cells.total() - cells[""]
    bits = filled - sum(odd.values())
    is_slip = sum(odd.values()) <= max(1, (1 - _MOSTLY) * cells.total()) and 2 * bits > filled
    return bits > 0 and (is_slip or set(odd) <= _UNCERTAIN)


def _may_be_classes(cells: Counter[str]) -> bool:
    texts = set(cells) - {""}
    is_repeated = len(texts) < cells.total() - cells[""]  # else they are names of the rows
    words = {find_split_word(text) for text in texts}
    return (
        len(texts) in _FEW
        and is_repeated
        and not words <= {"train", "val", "test"}
        and any(character.isalpha() for text in texts for character in text)
    )


def _has_one(cells: list[str]) -> bool:
    """Whether exactly one is 1, or the only one that may be is odd."""
    ones = sum(BITS.get(cell.lower(), False) for cell in cells)
    return ones == 1 or (ones == 0 and any(not is_bit(cell) for cell in cells))
