"""Files of a source that may hold labels, by their names alone: what messages propose for data.labels."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from pipeline.sources.names import find_split_word, find_words

_TABLES, _JSON, _LISTS = (".csv", ".tsv", ".jsonl"), ".json", (".txt", ".lst")
_DEPTH = 2  # folders above such a file, at most
_LABEL_WORDS = frozenset(
    {"train", "training", "label", "labels", "metadata", "annotation", "annotations", "groundtruth"}
)
# Of tables that often have no labels of pictures.
_TEST_WORDS = frozenset({"test", "testing", "val", "valid", "validation", "sample", "bbox", "boxes", "box", "pairs"})
_SPLIT_WORD = re.compile("train|valid|val|test", re.IGNORECASE)


def list_tables(names: Iterable[str]) -> list[str]:
    """Paths of CSV files, those first whose names say labels, then those that lie highest; behind them JSON whose name says so,
    and lists of pictures named as splits. A form to hand in answers, as in Kaggle's competitions, holds none."""
    near = [name for name in names if name.count("/") <= _DEPTH and "submission" not in name.lower()]
    return sorted(filter(_may_hold_labels, near), key=_rank)


def _may_hold_labels(name: str) -> bool:
    ending, stem = PurePosixPath(name).suffix.lower(), PurePosixPath(name).stem
    says_labels = ending == _JSON and _weigh(stem) != 0
    return ending in _TABLES or says_labels or (is_list(name) and bool(find_split_word(stem)))


def _rank(name: str) -> tuple[bool, bool, int, int, str]:
    ending = PurePosixPath(name).suffix.lower()
    return is_list(name), ending == _JSON, _weigh(PurePosixPath(name).stem), name.count("/"), name


def _weigh(stem: str) -> int:
    """Less for a name of labels, more for one of what often has none."""
    words = set(find_words(stem))
    return 1 if words & _TEST_WORDS else -1 if words & _LABEL_WORDS else 0


def is_list(name: str) -> bool:
    """Whether a file is plain text, that may list pictures."""
    return name.lower().endswith(_LISTS)


def suggest_tables(tables: list[str]) -> str:
    """The first, or, where others in other folders have its name, or that of another split, a pattern for all of them; empty
    without any. tables: paths. A CSV file of another split often lacks the labels, so that it counts for nothing."""
    if not tables:
        return ""
    name = tables[0].rpartition("/")[2]
    if sum(table.endswith(f"/{name}") for table in tables) > 1:
        return f"*/{name}"
    split = _SPLIT_WORD.search(name)
    if split is None or name.lower().endswith(".csv"):
        return tables[0]
    pattern = f"{name[: split.start()]}*{name[split.end() :]}"
    like = [table for table in tables if PurePosixPath(table).match(pattern)]
    return pattern if len(like) > 1 and all(map(find_split_word, like)) else tables[0]
