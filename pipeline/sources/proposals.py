"""Files of a source that may hold labels, by their names and first rows: what messages propose for data.labels."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import PurePosixPath

from pipeline.runtime.errors import PipelineError
from pipeline.sources.json_table import is_json
from pipeline.sources.label_table import read_first_rows
from pipeline.sources.list_lines import Names
from pipeline.sources.names import find_split_word, find_words
from pipeline.sources.tree import is_picture

_TABLES, _JSON, _LISTS = (".csv", ".tsv", ".jsonl"), ".json", (".txt", ".lst")
TEXTS = (*_TABLES, _JSON, *_LISTS)  # what may hold labels or splits
_TRIED = 12  # files that are read
_MOST_JSON = 1 << 26  # bytes
_DEPTH = 2  # folders above such a file, at most
_LABEL_WORDS = frozenset(
    {"train", "training", "label", "labels", "metadata", "annotation", "annotations", "groundtruth"}
)
# Of tables that often have no labels of pictures.
_TEST_WORDS = frozenset({"test", "testing", "val", "valid", "validation", "sample", "bbox", "boxes", "box", "pairs"})
_DIVISION_WORDS = frozenset({"partition", "partitions", "split", "splits"})
_SPLIT_WORD = re.compile("train|valid|val|test", re.IGNORECASE)


class Tables(list[str]):
    """Paths of tables, the best first. others: those of all other files that are no pictures, which no pattern may mean."""

    def __init__(self, tables: Iterable[str], others: Iterable[str]) -> None:
        super().__init__(tables)
        self.others = tuple(others)


def find_tables(
    kept: Mapping[str, str], everything: Mapping[str, str], read_file: Callable[[str], bytes] | None
) -> list[str]:
    """Those of `list_tables` of which a row names a picture and says more than that. kept, everything: normal form by path of
    each file, and of those outside data.root too. read_file: of a path; None: by names alone."""
    tables = list_tables(kept.values())
    if read_file is None or not tables:
        return tables
    paths = {name: path for path, name in kept.items() if not is_picture(name)}
    names = Names(filter(is_picture, kept.values()))
    found = [table for table in tables[:_TRIED] if _holds_labels(table, partial(read_file, paths[table]), names)]
    return Tables(found, (name for name in everything.values() if not is_picture(name) and name not in found))


def _holds_labels(table: str, read: Callable[[], bytes], names: Names) -> bool:
    """Of a CSV file that can't be read as it is, or has no rows, the name alone says it: reading it will tell why."""
    path = PurePosixPath(table)
    try:
        data = read()
        if len(data) > _MOST_JSON and is_json(data):  # to parse it takes too long for a proposal
            return True
        rows = read_first_rows(data, names.stems)
    except (PipelineError, OSError):
        rows = []
    if not rows:
        return path.suffix.lower() in _TABLES
    if is_list(table) and _DIVISION_WORDS & set(find_words(path.stem)) and all(_is_split(row[-1]) for row in rows):
        return False
    return max(map(len, rows)) > 1 and names.are_in(rows)


def _is_split(text: str) -> bool:
    return text in ("0", "1", "2") or bool(find_split_word(text))


def list_tables(names: Iterable[str]) -> list[str]:
    """Paths of CSV files, those first whose names say labels, then those that lie highest; behind them JSON whose name says so,
    and lists of pictures named as splits. A form to hand in answers, as in Kaggle's competitions, holds none."""
    others = (name for name in names if not is_picture(name))  # of a million names, all but a few are pictures
    near = [name for name in others if name.count("/") <= _DEPTH and "submission" not in name.lower()]
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
    listed = find_words(stem)
    words = set(listed)
    if words & _TEST_WORDS:
        return 1
    return -2 if "ground truth" in " ".join(listed) else -1 if words & _LABEL_WORDS else 0


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
    if len(like) < 2 or not all(map(find_split_word, like)) or any(map(_is_train_and_val, like)):
        return tables[0]
    folders = {table.rpartition("/")[0] for table in like}
    patterns = [pattern, f"{min(folders)}/{pattern}"] if len(folders) == 1 and min(folders) else [pattern]
    others = tables.others if isinstance(tables, Tables) else ()
    fitting = (each for each in patterns if not any(PurePosixPath(other).match(each) for other in others))
    return next(fitting, tables[0])


def _is_train_and_val(table: str) -> bool:
    """Whether a table is of both, so that it contradicts one of val beside it."""
    name = PurePosixPath(table).stem.lower()
    return "train" in name and "val" in name
