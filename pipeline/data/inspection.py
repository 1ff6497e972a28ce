"""Decodes every file of data/raw once, on all cores: which can be used, and why the others can't."""

import hashlib
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, astuple, dataclass
from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np
import pandas as pd

from pipeline.data.deep_pixels import ValueRange
from pipeline.data.guarded import make_bounds, map_guarded
from pipeline.data.image import BadImageError, compute_image_id, inspect_image
from pipeline.data.kept_parts import NOTHING_KEPT, Parts, open_parts
from pipeline.data.manifest import MANIFEST_COLUMNS, QUARANTINE_COLUMNS
from pipeline.data.part_key import compute_part_key
from pipeline.data.raw import NOTES, read_bytes
from pipeline.runtime.paths import CODE, INSPECTED, RAW
from pipeline.runtime.processes import Runner
from pipeline.runtime.progress import progress_bar

logger = logging.getLogger(__name__)

_CHUNK = 256  # files per message to a worker
_PART = 16 * _CHUNK  # files, at most, whose findings are kept together
_PART_BYTES = 64 << 20  # of these files: small ones and large ones are a second's work


class _File(NamedTuple):
    """What a worker is told."""

    name: str
    shard: str
    offset: int
    size: int


class _Finding(NamedTuple):
    """What it answers. reason: why the file can't be used; empty if it can."""

    reason: str
    image_id: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""


_Columns = dict[str, np.ndarray]  # the fields of _Finding, of all files


@dataclass(frozen=True)
class Limits:
    """What a file must keep to; see `prune` in params.yaml, and preprocess.range."""

    min_side: int
    max_megapixels: float
    max_seconds: float
    value_range: ValueRange = "auto"
    refuse_constant: bool = False


def inspect_files(
    index: pd.DataFrame,
    limits: Limits,
    *,
    num_workers: int | None = None,
    runner: Runner | None = None,
    parts: Parts = NOTHING_KEPT,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The manifest and the quarantine, each sorted by name.

    index: INDEX_COLUMNS; a row that has a reason already goes to quarantine unread. A file that takes longer or more memory
    than the limits allow goes there too: its process is ended. parts: where findings are kept; files of which they are
    there are not read again.
    """
    readable = index[index["reason"] == ""]
    bounds = make_bounds(max_seconds=limits.max_seconds, max_megapixels=limits.max_megapixels)
    work = partial(_inspect, limits=limits)
    guard = partial(
        map_guarded, work, refuse=_refuse, bounds=bounds, num_workers=num_workers, runner=runner, name=_name
    )
    with progress_bar(total=len(readable), desc="prune", unit=" images") as progress:
        found = readable.drop(columns="reason").assign(**_collect(readable, guard, parts, progress.update))
    columns = [*MANIFEST_COLUMNS, *(name for name in NOTES if name in index)]
    manifest = found.loc[found["reason"] == "", columns].astype({"offset": "int64", "size": "int64", "label": "str"})
    bad = [index[index["reason"] != ""], found[found["reason"] != ""]]
    quarantine = pd.concat([table[QUARANTINE_COLUMNS] for table in bad]).astype("str")
    return manifest.sort_values("name", ignore_index=True), quarantine.sort_values("name", ignore_index=True)


def open_inspected(index: pd.DataFrame, limits: Limits) -> Parts:
    """What a run that was killed has kept of the same files and limits. A tar counts as the same, as for git, if its size and
    time are: hashing would take as long as reading all of them."""
    tars = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(RAW.glob("*.tar"))]
    rows = hashlib.sha256(pd.util.hash_pandas_object(index, index=False).to_numpy().tobytes()).hexdigest()
    return open_parts(
        INSPECTED, compute_part_key({**asdict(limits), "tars": tars, "rows": rows}, [CODE / "prune.json"])
    )


def _collect(
    files: pd.DataFrame,
    guard: Callable[[Iterator[list[_File]]], Iterator[list[_Finding]]],
    parts: Parts,
    tell: Callable[[int], object],
) -> _Columns:
    """The fields of _Finding as columns: as dicts, one for each file, a million would take a gigabyte. What is kept is taken
    over; what `guard` finds in chunks of the other files is kept then. tell: is told how many more are done."""
    count, sides = len(files), ("width", "height")
    columns = {name: np.zeros(count, int) if name in sides else np.full(count, "", object) for name in _Finding._fields}
    todo = _take_over(files, parts, columns)
    tell(count - sum(map(len, todo.values())))
    found = guard(chain.from_iterable(_cut(files.iloc[rows.start : rows.stop]) for rows in todo.values()))
    for name, rows in todo.items():
        done = rows.start
        while done < rows.stop:
            chunk = next(found)
            _fill(columns, done, chunk)
            done += len(chunk)
            tell(len(chunk))
        parts.save(name, {}, [column[rows.start : rows.stop].tolist() for column in columns.values()])
    return columns


def _take_over(files: pd.DataFrame, parts: Parts, columns: _Columns) -> dict[str, range]:
    """Puts what is kept into columns, a part at a time; returns the parts that are not: name to rows."""
    todo, done = {}, 0
    for number, rows in enumerate(_divide(files["size"].tolist())):
        name = f"files-{number:07d}"
        if (kept := parts.load(name)) is None:
            todo[name] = rows
        else:
            _fill(columns, rows.start, map(_Finding, *kept[1]))
            done += len(rows)
    if done:
        logger.info("prune goes on: %s files are done, by a run that ended early", f"{done:,}")
    return todo


def _fill(columns: _Columns, first: int, findings: Iterable[_Finding]) -> None:
    for row, finding in enumerate(findings, first):
        for name, value in zip(_Finding._fields, finding, strict=True):
            columns[name][row] = value
        columns["mode"][row] = sys.intern(finding.mode)  # of few kinds, one text each


def _divide(sizes: list[int]) -> Iterator[range]:
    """Rows of the files, in bytes, that are kept together: one file at least, whatever its size."""
    first = total = 0
    for row, size in enumerate(sizes):
        if row > first and (row - first == _PART or total + size > _PART_BYTES):
            yield range(first, row)
            first, total = row, 0
        total += size
    if sizes:
        yield range(first, len(sizes))


def _cut(files: pd.DataFrame) -> Iterator[list[_File]]:
    for start in range(0, len(files), _CHUNK):
        part = files.iloc[start : start + _CHUNK]
        yield list(map(_File, *(part[column].tolist() for column in _File._fields)))


def _name(file: _File) -> str:
    return file.name


def _refuse(_: _File, reason: str) -> _Finding:
    return _Finding(reason)


def _inspect(file: _File, limits: Limits) -> _Finding:
    data = read_bytes(file.shard, file.offset, file.size)
    try:
        facts = inspect_image(
            data,
            min_side=limits.min_side,
            max_megapixels=limits.max_megapixels,
            value_range=limits.value_range,
            refuse_constant=limits.refuse_constant,
        )
    except BadImageError as error:
        return _Finding(str(error))
    return _Finding("", compute_image_id(data), *astuple(facts))
