"""Decodes every file of data/raw once, on all cores: which can be used, and why the others can't."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from pipeline.data.deep_pixels import ValueRange
from pipeline.data.guarded import make_bounds, map_guarded
from pipeline.data.image import BadImageError, compute_image_id, inspect_image
from pipeline.data.manifest import MANIFEST_COLUMNS, QUARANTINE_COLUMNS
from pipeline.data.raw import NOTES, read_bytes
from pipeline.runtime.processes import Runner
from pipeline.runtime.progress import progress_bar

_CHUNK = 256  # files per message to a worker

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
    index: pd.DataFrame, limits: Limits, *, num_workers: int | None = None, runner: Runner | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The manifest and the quarantine, each sorted by name.

    index: INDEX_COLUMNS; a row that has a reason already goes to quarantine unread. A file that takes longer or more memory
    than the limits allow goes there too: its process is ended.
    """
    records: list[_Row] = index.to_dict("records")  # type: ignore[assignment]
    good: list[_Row] = []
    bad = [row for row in records if row["reason"]]
    readable = [row for row in records if not row["reason"]]
    with progress_bar(total=len(readable), desc="prune", unit=" images") as progress:
        work = partial(_inspect, limits=limits)
        bounds = make_bounds(max_seconds=limits.max_seconds, max_megapixels=limits.max_megapixels)
        inspected = map_guarded(
            work,
            _cut(readable),
            refuse=_refuse,
            bounds=bounds,
            num_workers=num_workers,
            runner=runner,
            name=_name,
        )
        for rows in inspected:
            good += [row for row in rows if not row["reason"]]
            bad += [row for row in rows if row["reason"]]
            progress.update(len(rows))
    manifest = pd.DataFrame(good, columns=[*MANIFEST_COLUMNS, *(name for name in NOTES if name in index)])
    quarantine = pd.DataFrame(bad, columns=QUARANTINE_COLUMNS)
    return manifest.sort_values("name", ignore_index=True), quarantine.sort_values("name", ignore_index=True)


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
