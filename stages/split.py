"""Assigns every image to train, val or test (data/splits.csv), and lists identical files (data/duplicates.csv).

split.group says what is never divided: files with the same bytes, near copies too, or groups that a table or paths name.
split.order says what decides: a draw by each image's content, or the time that the source names. The source's own splits are
kept; data/leaks.csv lists images of test and val that have a copy, a near copy or an image of their group in train. With
prune.thin=train, images of training above prune.max_images_per_class are in no split.
"""

import logging

import pandas as pd

from pipeline.config.reader import load_params
from pipeline.data.leaks import describe_leaks, find_leaks
from pipeline.data.manifest import load_manifest, save_table
from pipeline.data.near_copies import find_near_copies
from pipeline.data.splits import (
    GROUPED_COLUMNS,
    SPLITS_COLUMNS,
    assign_splits,
    check_splits,
    describe_left_out,
    describe_sizes,
    find_duplicates,
    make_grouping,
)
from pipeline.data.thinning import THINNED, describe_thinned, make_thinning
from pipeline.data.time_order import describe_periods, read_times
from pipeline.runtime.cli import run_verb
from pipeline.runtime.paths import DUPLICATES, LEAKS, SPLITS

logger = logging.getLogger(__name__)


def split() -> None:
    params = load_params()
    rules, manifest = params.split, load_manifest()
    thinning = make_thinning(params.max_images_per_class, params.prune.thin, params.prune.seed)
    fractions = {"test_fraction": rules.test_fraction, "val_fraction": rules.val_fraction}
    near = find_near_copies(manifest, rules.near_duplicate) if rules.group == "near" else None
    grouping = make_grouping(manifest, rules.group, near, pattern=rules.group_pattern)
    times = read_times(manifest) if rules.order == "time" else None
    assigned = assign_splits(
        manifest, **fractions, seed=rules.seed, method=rules.method, grouping=grouping, times=times, thinning=thinning
    )
    periods = "" if times is None else describe_periods(manifest["time"], times, assigned)
    leaks = find_leaks(manifest, assigned, near, grouping.groups if grouping and near is None else None)
    if periods:
        logger.info("%s", periods)
    elif grouping is not None:
        for line in grouping.list_large(manifest, **fractions)[:3]:
            logger.warning("%s", line)
    is_in = assigned != THINNED
    if thinning is not None:
        logger.info("%s", describe_thinned(assigned, thinning))
    manifest, assigned, grouping = manifest[is_in], assigned[is_in], grouping and grouping.select(is_in)
    duplicates = find_duplicates(manifest, assigned)
    found = ((duplicates, DUPLICATES), (leaks, LEAKS))
    for table, file in found:
        if len(table):
            save_table(table, file)  # also where the splits are refused because of it
    check_splits(manifest, assigned, grouping, method=rules.method, periods=periods, is_thinned=thinning is not None)
    for table, file in found:
        save_table(table, file)
    table = manifest.assign(split=assigned, group=None if grouping is None else grouping.groups)
    save_table(table[assigned != ""][SPLITS_COLUMNS if grouping is None else GROUPED_COLUMNS], SPLITS)
    _report(manifest, assigned, duplicates, leaks)


def _report(manifest: pd.DataFrame, assigned: pd.Series, duplicates: pd.DataFrame, leaks: pd.DataFrame) -> None:
    logger.info("%s", describe_sizes(assigned, duplicates))
    if len(leaks):
        lines = [line for line in (describe_left_out(manifest, assigned), describe_leaks(leaks, assigned)) if line]
        logger.warning("%s: see %s", "; ".join(lines), LEAKS)


if __name__ == "__main__":
    run_verb(split, __doc__)
