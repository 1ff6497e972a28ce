"""Decodes every file once. Those that can be used go into data/manifest.csv, the others into data/quarantine.csv, with reasons.

Drops, merges and caps classes as prune.* says, or as the source's own settings say where prune.* is null. Leaves out and labels
anew what the user's files of prune.exclude and prune.relabel say, and lists it in data/corrections.csv. Stops if more than
prune.max_loss of the pictures, or of those of a class, can't be used.
"""

import logging
from typing import TypeVar

import pandas as pd

from pipeline.config.reader import load_params
from pipeline.data.correction_files import load_corrections
from pipeline.data.corrections import apply_corrections, make_corrections
from pipeline.data.inspection import Limits, inspect_files, open_inspected
from pipeline.data.losses import (
    check_losses,
    describe_conflicts,
    describe_losses,
    find_conflicts,
    find_losses,
    settle_conflicts,
)
from pipeline.data.manifest import check_classes, find_small_classes, rename_classes, save_table
from pipeline.data.raw import load_index
from pipeline.data.thinning import cap_classes, check_caps
from pipeline.runtime.cli import run_verb
from pipeline.runtime.cluster import open_cluster
from pipeline.runtime.paths import CORRECTIONS, MANIFEST, QUARANTINE

logger = logging.getLogger(__name__)

Value = TypeVar("Value")


def prune() -> None:
    params = load_params()
    rules, defaults = params.prune, params.source_settings
    index = load_index()
    classes = rename_classes(
        index["label"],
        drop_classes=_choose(rules.drop_classes, defaults.drop_classes),
        merge_classes=_choose(rules.merge_classes, defaults.merge_classes),
    )
    check_caps(params.max_images_per_class, classes.dropna(), params.caps_name)
    files = load_corrections({"exclude": rules.exclude, "relabel": rules.relabel})
    corrections = make_corrections(index, classes, files)
    index["label"] = apply_corrections(index, classes, corrections)
    index = index[index["label"].notna()]
    sizes, is_strict = (rules.min_side, rules.max_megapixels, rules.max_seconds), rules.faults == "quarantine"
    limits = Limits(*sizes, params.preprocess.range, is_strict)
    parts = open_inspected(index, limits)
    with open_cluster(cluster=params.runtime.cluster, address=params.runtime.ray_address) as cluster:
        manifest, quarantine = inspect_files(index, limits, runner=cluster, parts=parts)
    losses, conflicts = find_losses(manifest, quarantine), find_conflicts(manifest)
    for line in describe_losses(losses, manifest, quarantine):
        logger.warning("%s", line)
    check_losses(losses, len(manifest), rules.max_loss)
    for line in describe_conflicts(conflicts, manifest, rules.conflicts):
        logger.warning("%s", line)
    manifest, quarantine = settle_conflicts(manifest, quarantine, conflicts, rules.conflicts)
    manifest = _leave_out_small(manifest, _choose(rules.min_images_per_class, defaults.min_images_per_class))
    if rules.thin == "all":
        manifest = cap_classes(manifest, max_images=params.max_images_per_class, seed=rules.seed)
    elif params.max_images_per_class is None:
        logger.warning("prune.thin is train, but there is no prune.max_images_per_class: nothing is thinned")
    check_classes(manifest, num_quarantined=len(quarantine))
    for table, file in ((manifest, MANIFEST), (quarantine, QUARANTINE), (corrections, CORRECTIONS)):
        save_table(table, file)
    parts.remove()
    logger.info(
        f"{len(manifest):,} images of {manifest['label'].nunique()} classes; {len(quarantine):,} files in {QUARANTINE}"
    )


def _choose(rule: Value | None, default: Value) -> Value:
    return default if rule is None else rule


def _leave_out_small(manifest: pd.DataFrame, min_images: int | None) -> pd.DataFrame:
    small = find_small_classes(manifest, min_images)
    for label, count in small.items():
        logger.info("class %r is left out: %d images, prune.min_images_per_class is %d", label, count, min_images)
    return manifest[~manifest["label"].isin(small)]


if __name__ == "__main__":
    run_verb(prune, __doc__)
