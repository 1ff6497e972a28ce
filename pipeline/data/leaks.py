"""data/leaks.csv: images of test and val that training has seen, or nearly: the splits of a source are kept, and counted."""

import pandas as pd

from pipeline.data.near_copies import NearCopies

LEAKS_COLUMNS = ["name", "label", "split", "kind", "train_name", "train_label", "similarity"]
_KINDS = {"copy": "a copy of", "near": "a near copy of", "group": "an image of the group of"}


def find_leaks(
    manifest: pd.DataFrame, split: pd.Series, near: NearCopies | None = None, groups: pd.Series | None = None
) -> pd.DataFrame:
    """LEAKS_COLUMNS: each image of test or val that has a copy, a near copy or an image of its group in train, sorted by name.

    kind: copy, near or group, whichever comes first. similarity: of near copies, else "". A copy that is left out of train
    counts: the source has it there. groups: of `split.group: column`.
    """
    table = manifest[["image_id", "name", "label"]].assign(
        split=split.where(split != "", manifest["source_split"].replace("", "train")), similarity=""
    )
    held, train = table[table["split"].isin(["test", "val"])], table[table["split"] == "train"]
    parts = [_join(held, train, held["image_id"], train["image_id"]).assign(kind="copy")]
    if near is not None:
        parts.append(_join_near(held, train, manifest["image_id"], near).assign(kind="near"))
    if groups is not None:
        parts.append(_join(held, train, groups[held.index], groups[train.index]).assign(kind="group"))
    found = pd.concat(parts).drop_duplicates("name")
    return found.sort_values("name", ignore_index=True)[LEAKS_COLUMNS]


def _join(held: pd.DataFrame, train: pd.DataFrame, ours: pd.Series, theirs: pd.Series) -> pd.DataFrame:
    """Images of test and val with the first one of train that has the same key. ours, theirs: keys, row by row."""
    first = train.assign(key=theirs).drop_duplicates("key")[["key", "name", "label"]]
    return held.assign(key=ours).merge(first.add_prefix("train_"), left_on="key", right_on="train_key")


def _join_near(held: pd.DataFrame, train: pd.DataFrame, image_ids: pd.Series, near: NearCopies) -> pd.DataFrame:
    """The same with the most similar near copy of each."""
    one, other = image_ids.to_numpy()[near.one], image_ids.to_numpy()[near.other]
    pairs = pd.DataFrame(
        {"ours": [*one, *other], "theirs": [*other, *one], "near": [*near.similarity, *near.similarity]}
    )
    first = train.drop_duplicates("image_id")[["image_id", "name", "label"]].add_prefix("train_")
    pairs = pairs.merge(first, left_on="theirs", right_on="train_image_id")
    pairs = pairs.sort_values(["near", "train_name"], ascending=[False, True]).drop_duplicates("ours")
    found = held.merge(pairs, left_on="image_id", right_on="ours")
    return found.assign(similarity=found["near"].map("{:.4f}".format).astype("str"))


def describe_leaks(leaks: pd.DataFrame, split: pd.Series) -> str:
    """Such as "in train there is a copy of 12 and a near copy of 3 of 300 test images"; empty if there are no leaks."""
    parts = []
    for name in ("test", "val"):
        counts = leaks.loc[leaks["split"] == name, "kind"].value_counts()
        said = [f"{words} {counts[kind]:,}" for kind, words in _KINDS.items() if kind in counts]
        if said:
            parts.append(f"{' and '.join(said)} of {(split == name).sum():,} {name} images")
    return f"in train there is {'; '.join(parts)}" if parts else ""
