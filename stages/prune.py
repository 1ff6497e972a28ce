"""Looks at every file once: names what can be used (data/manifest.csv) and what can't, with the reason (data/quarantine.csv).

Drops, merges and caps classes as prune.* says, or as the source's own settings say where prune.* is null.
"""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from pipeline.config.reader import load_params
from pipeline.data.image import BadImageError, compute_image_id, inspect_image
from pipeline.data.manifest import (
    MANIFEST_COLUMNS,
    QUARANTINE_COLUMNS,
    cap_classes,
    find_small_classes,
    rename_classes,
    save_table,
)
from pipeline.data.raw import load_index, read_bytes
from pipeline.runtime.cli import run_verb
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import MANIFEST, QUARANTINE
from pipeline.runtime.processes import map_in_order
from pipeline.runtime.progress import progress_bar

_CHUNK = 256  # files a message between processes

Row = dict[str, Any]


def prune() -> None:
    params = load_params()
    rules, own = params.prune, params.source_settings
    index = load_index()
    index["label"] = rename_classes(
        index["label"],
        drop_classes=_first(rules.drop_classes, own.drop_classes),
        merge_classes=_first(rules.merge_classes, own.merge_classes),
    )
    index = index[index["label"].notna()]
    manifest, quarantine = split_good_from_bad(index, min_side=rules.min_side, max_megapixels=rules.max_megapixels)
    manifest = _leave_out_small(manifest, _first(rules.min_images_per_class, own.min_images_per_class))
    manifest = cap_classes(
        manifest, max_images=_first(rules.max_images_per_class, own.max_images_per_class), seed=rules.seed
    )
    _check_classes(manifest, set(index["label"]) - {""}, quarantine)
    save_table(manifest, MANIFEST)
    save_table(quarantine, QUARANTINE)
    print(
        f"{len(manifest):,} images of {manifest['label'].nunique()} classes; {len(quarantine):,} files in {QUARANTINE}"
    )


def _first(value: Any, own: Any) -> Any:
    return own if value is None else value


def split_good_from_bad(
    index: pd.DataFrame, *, min_side: int, max_megapixels: float, num_workers: int | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Decodes every file of the index on all cores; returns the manifest and the quarantine, each sorted by name."""
    records: list[Row] = index.to_dict("records")  # type: ignore[assignment]
    chunks = [(records[i : i + _CHUNK], min_side, max_megapixels) for i in range(0, len(records), _CHUNK)]
    good: list[Row] = []
    bad: list[Row] = []
    with progress_bar(total=len(records), desc="prune", unit=" images") as progress:
        for rows in map_in_order(_inspect_chunk, chunks, num_workers):
            good += [row for row in rows if not row["reason"]]
            bad += [row for row in rows if row["reason"]]
            progress.update(len(rows))
    manifest = pd.DataFrame(good, columns=MANIFEST_COLUMNS)
    quarantine = pd.DataFrame(bad, columns=QUARANTINE_COLUMNS)
    return manifest.sort_values("name", ignore_index=True), quarantine.sort_values("name", ignore_index=True)


def _inspect_chunk(chunk: tuple[list[Row], int, float]) -> list[Row]:
    rows, min_side, max_megapixels = chunk
    return list(_inspect(rows, min_side, max_megapixels))


def _inspect(rows: list[Row], min_side: int, max_megapixels: float) -> Iterator[Row]:
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


def _leave_out_small(manifest: pd.DataFrame, min_images: int | None) -> pd.DataFrame:
    small = find_small_classes(manifest, min_images)
    for label, count in small.items():
        print(f"class {label!r} is left out: {count} images, prune.min_images_per_class is {min_images}")
    return manifest[~manifest["label"].isin(small)]


def _check_classes(manifest: pd.DataFrame, expected: set[str], quarantine: pd.DataFrame) -> None:
    empty = sorted(expected - set(manifest["label"]))
    lost = [label for label in empty if label in set(quarantine["label"])]
    if lost:
        reason = quarantine.loc[quarantine["label"] == lost[0], "reason"].iloc[0]
        print(f"class {lost[0]!r} is left out: none of its files can be used, the first because: {reason}")
    if manifest["label"].nunique() < 2:
        have = ", ".join(repr(label) for label in sorted(set(manifest["label"]))) or "none"
        raise PipelineError(
            f"a classifier needs two classes or more: received {have} after pruning, with {len(quarantine)} file(s) that "
            "can't be used; add class folders, or relax prune.drop_classes, merge_classes, min_images_per_class"
        )


if __name__ == "__main__":
    run_verb(prune, __doc__)
