"""At most so many images per class: which ones stay, a choice by content that more images hardly change."""

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from pipeline.config.messages import suggest
from pipeline.data.manifest import hash_uniform
from pipeline.runtime.errors import PipelineError

THINNED = "thinned"  # in place of a split: of images that were taken out of training

Caps = int | dict[str, int]  # images: of every class, or by class; classes that the map does not name keep all


class Thinning(NamedTuple):
    """Of training images. seed: of the choice."""

    max_images: Caps
    seed: int


def make_thinning(max_images: Caps | None, where: str, seed: int) -> Thinning | None:
    """None where there is no cap, or it counts in all splits. where: as prune.thin."""
    return None if max_images is None or where == "all" else Thinning(max_images, seed)


def check_caps(caps: Caps | None, classes: Iterable[str], parameter: str) -> None:
    """Raises PipelineError for a map with a class that does not exist. classes: after dropping and merging. parameter: for
    messages, such as prune.max_images_per_class."""
    known = sorted(set(classes) - {""})
    for label in caps if isinstance(caps, dict) else ():
        if label not in known:
            raise PipelineError(
                f"{parameter}: there is no class {label!r} after prune.drop_classes and merge_classes: {suggest(label, known)}"
            )


def cap_classes(manifest: pd.DataFrame, *, max_images: Caps | None, seed: int) -> pd.DataFrame:
    """At most `max_images` rows per label, chosen by a seeded hash of the content; their order is unchanged.

    A higher cap keeps every row that a lower one keeps, one image more moves at most one other, and copies of an image stay or
    go together as far as the cap allows.
    """
    if max_images is None:
        return manifest
    rank = hash_uniform(manifest["image_id"], f"cap-{seed}")
    order = manifest.assign(_rank=rank).sort_values(["_rank", "name"], kind="stable")
    place = order.groupby("label", sort=False).cumcount()
    most = order["label"].map(max_images) if isinstance(max_images, dict) else max_images
    # A class that the map does not name has no number here, which nothing reaches.
    return manifest.loc[sorted(order.index[~(place >= most)])]


def thin_training(manifest: pd.DataFrame, split: pd.Series, thinning: Thinning) -> pd.Series:
    """The splits, with THINNED for images of train above the cap of their class; see `cap_classes`."""
    train = split == "train"
    kept = cap_classes(manifest[train], max_images=thinning.max_images, seed=thinning.seed).index
    return split.mask(train & ~split.index.isin(kept), THINNED)


def describe_thinned(split: pd.Series, thinning: Thinning) -> str:
    """Such as "training thinned to 100 images per class: 35 of 240 left out"; with the map where there is one."""
    out, train = (split == THINNED).sum(), split.isin(["train", "val"]).sum()
    caps = thinning.max_images
    most = ", ".join(f"{label} {n:,}" for label, n in caps.items()) if isinstance(caps, dict) else f"{caps:,}"
    return f"training thinned to {most} images per class, before val was drawn: {out:,} of {out + train:,} left out"
