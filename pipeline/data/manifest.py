"""data/manifest.csv and data/quarantine.csv: the images that can be used, and the files that can't; which classes are kept."""

import hashlib
import logging
import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.data.raw import NOTES
from pipeline.runtime.cells import FORMULA, GUARDED, guard_cell, read_cell
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import write_aside
from pipeline.runtime.paths import MANIFEST, QUARANTINE
from pipeline.sources.names import describe_rewritten, make_class_names

logger = logging.getLogger(__name__)

MANIFEST_COLUMNS = ["image_id", "name", "label", "source_split", "width", "height", "mode", "shard", "offset", "size"]
QUARANTINE_COLUMNS = ["name", "label", "reason"]


def rename_classes(labels: pd.Series, *, drop_classes: Iterable[str], merge_classes: dict[str, list[str]]) -> pd.Series:
    """Labels after dropping and merging; images of a dropped class have no label (NA).

    labels: str, one per image. merge_classes: new name to old names; characters that can't be seen become their numbers in a
    new one, as the sources write them. Raises PipelineError for a class that does not exist,
    or that would have to go two ways.
    """
    known = sorted(label for label in labels.unique() if label)
    if line := describe_rewritten(make_class_names(merge_classes), "names in prune.merge_classes"):
        logger.warning(line)
    new_names = invert_merges(merge_classes)
    dropped = set(drop_classes)
    for key, name in [*(("drop_classes", n) for n in sorted(dropped)), *(("merge_classes", n) for n in new_names)]:
        if name not in known:
            raise PipelineError(f"prune.{key}: there is no class {name!r}: expected one of {_list(known)}")
    both = sorted(dropped & set(new_names))
    if both:
        raise PipelineError(f"prune: {both[0]!r} is in both drop_classes and merge_classes: expected only one of them")
    return labels.map(lambda label: pd.NA if label in dropped else new_names.get(label, label))


def invert_merges(merge_classes: dict[str, list[str]]) -> dict[str, str]:
    """Old name to new name, as `rename_classes` writes it. Raises PipelineError for an old one that goes into two."""
    written = make_class_names(merge_classes)
    new_names: dict[str, str] = {}
    for new, old in ((written[new], old) for new, olds in merge_classes.items() for old in olds):
        if new_names.setdefault(old, new) != new:
            raise PipelineError(
                f"prune.merge_classes: {old!r} goes into both {new_names[old]!r} and {new!r}: expected only one of them"
            )
    return new_names


def _list(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:50]) + (f" and {len(names) - 50} more" if len(names) > 50 else "")


def find_small_classes(manifest: pd.DataFrame, min_images: int | None) -> dict[str, int]:
    """Labels with fewer than `min_images` rows, and how many rows they have."""
    counts = manifest["label"].value_counts()
    return {} if min_images is None else {str(label): int(n) for label, n in counts.items() if n < min_images}


def check_classes(manifest: pd.DataFrame, *, num_quarantined: int) -> None:
    """Raises PipelineError if fewer than two classes remain."""
    if manifest["label"].nunique() < 2:
        received = ", ".join(repr(label) for label in sorted(set(manifest["label"]))) or "none"
        raise PipelineError(
            f"a classifier needs two classes or more: received {received} after pruning, with {num_quarantined} file(s) that "
            "can't be used; add class folders, or relax prune.drop_classes, merge_classes, min_images_per_class"
        )


def hash_uniform(image_ids: Iterable[str], salt: str) -> np.ndarray:
    """One float64 in [0, 1) per image: a fixed function of its content and the salt, uniformly distributed over images."""
    digests = [hashlib.blake2b(f"{salt}:{image_id}".encode(), digest_size=8).digest() for image_id in image_ids]
    return (np.frombuffer(b"".join(digests), dtype=">u8") >> np.uint64(11)) / float(2**53)


def save_table(table: pd.DataFrame, file: Path) -> None:
    """Writes a CSV file, complete or not at all; the same table gives the same bytes. No text in it is a spreadsheet's formula:
    `read_table` reads it."""
    with write_aside(file) as partial:
        _map_texts(table, FORMULA, guard_cell).to_csv(partial, index=False, lineterminator="\n")


def read_table(file: Path, **options: Any) -> pd.DataFrame:
    """pandas.read_csv of what `save_table` has written, with every text as it was."""
    return _map_texts(pd.read_csv(file, **options), GUARDED, read_cell)


def _map_texts(table: pd.DataFrame, pattern: re.Pattern[str], function: Callable[[str], str]) -> pd.DataFrame:
    changed: dict[str, pd.Series] = {}
    for name, column in table.items():
        if isinstance(column.dtype, pd.StringDtype):
            found = column.str.match(pattern).fillna(False).to_numpy(bool)
        elif column.dtype == object:  # texts beside numbers, perhaps
            found = np.array([isinstance(value, str) and pattern.match(value) is not None for value in column], bool)
        else:
            continue
        if found.any():
            changed[str(name)] = column.where(~found, column[found].map(function))
    return table.assign(**changed) if changed else table


def load_manifest(file: Path = MANIFEST, columns: Collection[str] | None = None) -> pd.DataFrame:
    """MANIFEST_COLUMNS, one row per image that can be used, sorted by name; also `group` and `time`, if the source has them.
    columns: those of them that are read: all of a million images take a third of a gigabyte; None: all."""
    text = dict.fromkeys(["image_id", "name", "label", "source_split", "mode", "shard", *NOTES], "str")
    return read_table(file, dtype=text, keep_default_na=False, usecols=columns and (lambda name: name in columns))


def load_quarantine(file: Path = QUARANTINE) -> pd.DataFrame:
    """QUARANTINE_COLUMNS, one row per file that can't be used, sorted by name."""
    return read_table(file, dtype="str", keep_default_na=False)
