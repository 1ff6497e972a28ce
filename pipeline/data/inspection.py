"""Decodes every file of data/raw once, on all cores: which can be used, and why the others can't."""

import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from typing import Any

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
_PART = 16 * _CHUNK  # files, at most, whose rows are kept together
_PART_BYTES = 64 << 20  # of these files: small ones and large ones are a second's work

_Row = dict[str, Any]


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
    than the limits allow goes there too: its process is ended. parts: where rows are kept; files whose rows are there are not
    read again.
    """
    records: list[_Row] = index.to_dict("records")  # type: ignore[assignment]
    readable = [row for row in records if not row["reason"]]
    with progress_bar(total=len(readable), desc="prune", unit=" images") as progress:
        work = partial(_inspect, limits=limits)
        bounds = make_bounds(max_seconds=limits.max_seconds, max_megapixels=limits.max_megapixels)
        guard = partial(
            map_guarded, work, refuse=_refuse, bounds=bounds, num_workers=num_workers, runner=runner, name=_name
        )
        inspected = _take_over(readable, guard, parts, progress.update)
    manifest = pd.DataFrame(
        [row for row in inspected if not row["reason"]],
        columns=[*MANIFEST_COLUMNS, *(name for name in NOTES if name in index)],
    )
    bad = [row for row in chain(records, inspected) if row["reason"]]
    quarantine = pd.DataFrame(bad, columns=QUARANTINE_COLUMNS)
    return manifest.sort_values("name", ignore_index=True), quarantine.sort_values("name", ignore_index=True)


def _take_over(
    files: list[_Row],
    guard: Callable[[Iterator[list[_Row]]], Iterator[list[_Row]]],
    parts: Parts,
    update: Callable[[int], object],
) -> list[_Row]:
    """The rows of all files: those that are kept, and what `guard` finds of chunks of the others, which is kept then. update:
    is told how many are done."""
    groups = {f"files-{number:07d}": group for number, group in enumerate(_divide(files))}
    kept = {name: part[1] for name in groups if (part := parts.load(name)) is not None}
    rows = list(chain.from_iterable(kept.values()))
    update(len(rows))
    if kept:
        logger.info("prune goes on: %s files are done, by a run that ended early", f"{len(rows):,}")
    todo = {name: group for name, group in groups.items() if name not in kept}
    found = guard(chain.from_iterable(map(_cut, todo.values())))
    for name, group in todo.items():
        new: list[_Row] = []
        while len(new) < len(group):
            chunk = next(found)
            new += chunk
            update(len(chunk))
        parts.save(name, {}, new)
        rows += new
    return rows


def _divide(files: list[_Row]) -> Iterator[list[_Row]]:
    """One file at least in each, whatever its size."""
    group: list[_Row] = []
    size = 0
    for row in files:
        if group and (len(group) == _PART or size + row["size"] > _PART_BYTES):
            yield group
            group, size = [], 0
        group.append(row)
        size += row["size"]
    if group:
        yield group


def open_inspected(index: pd.DataFrame, limits: Limits) -> Parts:
    """What a run that was killed has kept of the same files and limits. A tar counts as the same, as for git, if its size and
    time are: hashing would take as long as reading all of them."""
    tars = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(RAW.glob("*.tar"))]
    rows = hashlib.sha256(pd.util.hash_pandas_object(index, index=False).to_numpy().tobytes()).hexdigest()
    return open_parts(
        INSPECTED, compute_part_key({**asdict(limits), "tars": tars, "rows": rows}, [CODE / "prune.json"])
    )


def _cut(rows: list[_Row]) -> Iterator[list[_Row]]:
    return (rows[i : i + _CHUNK] for i in range(0, len(rows), _CHUNK))


def _name(row: _Row) -> str:
    return str(row["name"])


def _refuse(row: _Row, reason: str) -> _Row:
    return row | {"reason": reason}


def _inspect(row: _Row, limits: Limits) -> _Row:
    data = read_bytes(row["shard"], row["offset"], row["size"])
    try:
        facts = inspect_image(
            data,
            min_side=limits.min_side,
            max_megapixels=limits.max_megapixels,
            value_range=limits.value_range,
            refuse_constant=limits.refuse_constant,
        )
    except BadImageError as error:
        return _refuse(row, str(error))
    return row | vars(facts) | {"image_id": compute_image_id(data)}
