"""Assigns every image to train, val or test (data/splits.csv) and lists identical files (data/duplicates.csv)."""

import logging

from pipeline.config.reader import load_params
from pipeline.data.manifest import load_manifest, save_table
from pipeline.data.splits import SPLITS_COLUMNS, check_splits, find_duplicates
from pipeline.runtime.cli import run_verb
from pipeline.runtime.paths import DUPLICATES, SPLITS

logger = logging.getLogger(__name__)


def split() -> None:
    rules = load_params().split
    manifest = load_manifest()
    assigned = check_splits(
        manifest, test_fraction=rules.test_fraction, val_fraction=rules.val_fraction, seed=rules.seed
    )
    duplicates = find_duplicates(manifest, assigned)
    save_table(duplicates, DUPLICATES)
    save_table(manifest.assign(split=assigned)[assigned != ""][SPLITS_COLUMNS], SPLITS)
    sizes = ", ".join(f"{name} {count:,}" for name, count in assigned[assigned != ""].value_counts().items())
    copies = len(duplicates) - duplicates["image_id"].nunique()
    left_out = (assigned == "").sum()
    logger.info(f"{sizes}; {copies:,} identical copies, {left_out:,} of them left out" if copies else sizes)


if __name__ == "__main__":
    run_verb(split, __doc__)
