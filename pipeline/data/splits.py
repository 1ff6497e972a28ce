"""data/splits.csv: whether an image is in train, val or test. Its content alone decides."""

from pathlib import Path

import pandas as pd

from pipeline.data.manifest import hash_uniform
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import SPLITS

SPLIT_NAMES = ("train", "val", "test")
SPLITS_COLUMNS = ["image_id", "name", "label", "split"]
DUPLICATES_COLUMNS = ["image_id", "name", "label", "source_split", "split", "note"]


def assign_splits(manifest: pd.DataFrame, *, test_fraction: float, val_fraction: float, seed: int) -> pd.Series:
    """train, val or test for each row; "" for one that is left out because a copy of it is in test or val.

    The source's own splits are kept. If it has no test images, each image goes to test with probability `test_fraction`; if
    it has no val images, each one that is not in test goes to val with probability `val_fraction`. The draw is a hash of the
    image's content and the seed: it is the same for identical bytes, it does not depend on the other images, and within each
    class the fractions hold up to chance (a binomial draw).
    """
    split = manifest["source_split"].replace("", "train")
    for name, fraction in (("test", test_fraction), ("val", val_fraction)):
        if name not in set(manifest["source_split"]):
            drawn = hash_uniform(manifest["image_id"], f"{name}-{seed}") < fraction
            split = split.mask((split == "train") & drawn, name)
    return _keep_copies_together(manifest["image_id"], split)


def _keep_copies_together(image_ids: pd.Series, split: pd.Series) -> pd.Series:
    """Where the same bytes are in several splits, those in test stay, or else those in val; the other copies are left out."""
    first = split.map({"test": 0, "val": 1, "train": 2}).groupby(image_ids).transform("min")
    return split.where(split == first.map({0: "test", 1: "val", 2: "train"}), "")


def find_duplicates(manifest: pd.DataFrame, split: pd.Series) -> pd.DataFrame:
    """DUPLICATES_COLUMNS: every image whose bytes occur more than once, copies next to each other.

    note: "labels differ", "left out: its copy is in test", both, or empty.
    """
    table = manifest.assign(split=split)[manifest["image_id"].duplicated(keep=False)].sort_values(["image_id", "name"])
    by_id = table.groupby("image_id")
    differ = by_id["label"].transform("nunique") > 1
    kept = by_id["split"].transform("max")  # "" sorts before every name
    notes = [
        "; ".join(["labels differ"] * bool(d) + [f"left out: its copy is in {k}"] * (s == ""))
        for d, k, s in zip(differ, kept, table["split"], strict=True)
    ]
    return table.assign(note=pd.Series(notes, index=table.index, dtype="str"))[DUPLICATES_COLUMNS]


def check_splits(manifest: pd.DataFrame, *, test_fraction: float, val_fraction: float, seed: int) -> pd.Series:
    """`assign_splits`, but raises PipelineError if a class is missing from a split, and says what would help."""
    split = assign_splits(manifest, test_fraction=test_fraction, val_fraction=val_fraction, seed=seed)
    missing = _find_missing(manifest["label"], split)
    if not missing:
        return split
    label, name, count = missing[0]
    more = f" (and {len(missing) - 1} more such)" if len(missing) > 1 else ""
    advice = "add images, or drop or merge the class (prune.*)"
    if name != "train" and name not in set(manifest["source_split"]):
        advice += f", or raise split.{name}_fraction"
    raise PipelineError(
        f"class {label!r} has no image in {name}{more}: expected every class in train, val and test; received {count} "
        f"image(s) of it in all: {advice}"
    )


def _find_missing(labels: pd.Series, split: pd.Series) -> list[tuple[str, str, int]]:
    """(class, split without an image of it, images of the class)."""
    counts = pd.crosstab(labels, split).reindex(columns=list(SPLIT_NAMES), fill_value=0)
    totals = labels.value_counts().to_dict()
    return [
        (str(label), name, int(totals[label]))
        for label, row in counts.iterrows()
        for name in SPLIT_NAMES
        if row[name] == 0
    ]


def load_splits(file: Path = SPLITS) -> pd.DataFrame:
    """SPLITS_COLUMNS, one row per image, sorted by name."""
    return pd.read_csv(file, dtype="str", keep_default_na=False)
