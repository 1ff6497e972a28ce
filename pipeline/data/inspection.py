"""Decodes every file of data/raw once, on all cores: which can be used, and why the others can't."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from pipeline.data.image import BadImageError, compute_image_id, inspect_image
from pipeline.data.manifest import MANIFEST_COLUMNS, QUARANTINE_COLUMNS
from pipeline.data.raw import read_bytes
from pipeline.runtime.processes import map_in_order
from pipeline.runtime.progress import progress_bar

_CHUNK = 256  # files per message between processes

_Row = dict[str, Any]


def inspect_files(
    index: pd.DataFrame, *, min_side: int, max_megapixels: float, num_workers: int | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The manifest and the quarantine, each sorted by name.

    index: INDEX_COLUMNS; a row that has a reason already goes to quarantine unread. min_side: pixels, of the shorter side.
    """
    records: list[_Row] = index.to_dict("records")  # type: ignore[assignment]
    chunks = [(records[i : i + _CHUNK], min_side, max_megapixels) for i in range(0, len(records), _CHUNK)]
    good: list[_Row] = []
    bad: list[_Row] = []
    with progress_bar(total=len(records), desc="prune", unit=" images") as progress:
        for rows in map_in_order(_inspect_chunk, chunks, num_workers):
            good += [row for row in rows if not row["reason"]]
            bad += [row for row in rows if row["reason"]]
            progress.update(len(rows))
    manifest = pd.DataFrame(good, columns=MANIFEST_COLUMNS)
    quarantine = pd.DataFrame(bad, columns=QUARANTINE_COLUMNS)
    return manifest.sort_values("name", ignore_index=True), quarantine.sort_values("name", ignore_index=True)


def _inspect_chunk(chunk: tuple[list[_Row], int, float]) -> list[_Row]:
    rows, min_side, max_megapixels = chunk
    return list(_inspect(rows, min_side, max_megapixels))


def _inspect(rows: list[_Row], min_side: int, max_megapixels: float) -> Iterator[_Row]:
    for row in rows:
        if row["reason"]:
            yield row
            continue
        data = read_bytes(row["shard"], row["offset"], row["size"])
        try:
            facts = inspect_image(data, min_side=min_side, max_megapixels=max_megapixels)
        except BadImageError as error:
            yield row | {"reason": str(error)}
            continue
        yield row | vars(facts) | {"image_id": compute_image_id(data)}
