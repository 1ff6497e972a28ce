"""data/splits.csv: whether an image is in train, val or test. Its content alone decides, or its time."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd

from pipeline.data.exact_draw import draw_exact
from pipeline.data.groups import draw_groups, find_large, group_by_column, group_by_pairs, name_groups
from pipeline.data.manifest import hash_uniform, read_table
from pipeline.data.near_copies import NearCopies
from pipeline.data.raw import load_facts
from pipeline.data.thinning import THINNED, Thinning, thin_training
from pipeline.data.time_order import draw_by_time
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import SPLITS

logger = logging.getLogger(__name__)

# Of the source's own splits, where a class lacks one of them.
DRAWN_ANEW = "splits drawn anew: data.splits={train: train, test: train}, with the names of their folders"
SPLIT_NAMES = ("train", "val", "test")
SPLITS_COLUMNS = ["image_id", "name", "label", "split"]
GROUPED_COLUMNS = [*SPLITS_COLUMNS, "group"]
DUPLICATES_COLUMNS = ["image_id", "name", "label", "source_split", "split", "note"]


@dataclass(frozen=True)
class Grouping:
    """rule: as split.group, but for exact. groups: the name of each image's group; images with the same bytes share it."""

    rule: str
    groups: pd.Series

    def select(self, rows: pd.Series) -> "Grouping":
        """Of some of the images. rows: bool, one per image."""
        return replace(self, groups=self.groups[rows])

    def list_large(self, manifest: pd.DataFrame, *, test_fraction: float, val_fraction: float) -> list[str]:
        """One line for each group that is larger than a whole split that is drawn, and so stays in train; the largest first."""
        fractions = _list_fractions(manifest, test_fraction, val_fraction)
        wanted = min((share * len(manifest) for share in _share(fractions).values()), default=len(manifest))
        first = dict(zip(self.groups[::-1], manifest["name"][::-1], strict=True))
        return [
            f"{self._name(name, first[name])} {size:,} of {len(manifest):,} images, more than a whole split ({wanted:.0f}): no "
            f"group is divided, so it stays in train; {self._advice}, raise the fractions of split, or set split.group=exact"
            for name, size in find_large(self.groups, wanted).items()
        ]

    def _name(self, group: str, image: str) -> str:
        return f"near copies that {image!r} belongs to are" if self.rule == "near" else f"group {group!r} has"

    @property
    def _advice(self) -> str:
        return "raise split.near_duplicate" if self.rule == "near" else "name smaller groups"


def make_grouping(
    manifest: pd.DataFrame, rule: str, near: NearCopies | None = None, *, pattern: str | None = None
) -> Grouping | None:
    """The groups of `split.group`, and says how many; None where the same bytes alone are a group. near: of rule near. pattern:
    of rule pattern."""
    if near is not None:
        groups = group_by_pairs(manifest["image_id"], near.one, near.other)
        logger.info(
            f"{len(near.one):,} pairs of near copies; the largest group has {groups.value_counts().max():,} images"
        )
        return Grouping(rule, groups)
    if rule == "exact":
        return None
    if rule in ("folder", "pattern"):
        classes = load_facts().get("reading", {}).get("classes", {})
        manifest = manifest.assign(group=name_groups(manifest["name"], rule, pattern, manifest["label"], classes))
    groups = group_by_column(manifest)
    logger.info(f"{groups.nunique():,} groups; the largest has {groups.value_counts().max():,} images")
    if count := (manifest["group"] == "").sum():
        logger.warning(f"{count:,} of {len(manifest):,} images have no group: each is drawn by itself")
    return Grouping(rule, groups)


def assign_splits(
    manifest: pd.DataFrame,
    *,
    test_fraction: float,
    val_fraction: float,
    seed: int,
    method: str = "independent",
    grouping: Grouping | None = None,
    times: pd.Series | None = None,
    thinning: Thinning | None = None,
) -> pd.Series:
    """train, val or test for each row; "" for one that is left out because a copy of it is in test or val; THINNED for one that
    `thinning` takes out of training.

    The source's own splits are kept. If it has no test images, each image goes to test with probability `test_fraction`; if
    it has no val images, each one that is not in test goes to val with probability `val_fraction`. The draw is a hash of the
    image's content and the seed: it is the same for identical bytes.

    method: independent: it does not depend on the other images, and within each class the fractions hold up to chance (a
    binomial draw). exact: they hold exactly in each class, see `draw_exact`.

    grouping: images that are drawn together; None: those with the same bytes. Near copies are drawn by the content of one of
    them, in the same way. Groups that somebody named, which may be few and large, are drawn by `draw_groups`.

    times: of each image; then nothing is drawn, and the newest images are test, see `draw_by_time`.

    thinning: of the training images, before val is drawn from them: test, and a val split that the source has, are the same
    images as without.
    """
    draw = partial(_draw, manifest, seed=seed, method=method, grouping=grouping, times=times)
    split = manifest["source_split"].replace("", "train")
    fractions = _list_fractions(manifest, test_fraction, val_fraction)
    if thinning is not None:
        drawn = draw(split, fractions)
        drawn = drawn.replace("val", "train") if "val" in fractions else drawn
        drawn = _keep_copies_together(manifest["image_id"], drawn)  # else the cap would count what is left out
        split = thin_training(manifest, drawn, thinning)
        fractions.pop("test", None)
    return _keep_copies_together(manifest["image_id"], draw(split, fractions))


def _draw(
    manifest: pd.DataFrame,
    split: pd.Series,
    fractions: Mapping[str, float],
    *,
    seed: int,
    method: str,
    grouping: Grouping | None,
    times: pd.Series | None,
) -> pd.Series:
    """The splits, after some images of train have gone to those that `fractions` names; see `assign_splits`."""
    groups = manifest["image_id"] if grouping is None else grouping.groups
    pool = split == "train"
    if times is not None:
        return split.mask(pool, draw_by_time(times[pool], groups[pool], _share(fractions)))
    if grouping is not None and grouping.rule != "near":
        return split.mask(pool, draw_groups(manifest["label"][pool], groups[pool], _share(fractions), seed))
    if method == "exact":
        return split.mask(pool, draw_exact(manifest["label"][pool], groups[pool], fractions, seed))
    sizes = groups.map(groups.value_counts())
    for name, fraction in fractions.items():
        drawn = hash_uniform(groups, f"{name}-{seed}") < fraction
        if grouping is not None:
            drawn &= (sizes <= max(1, fraction * len(manifest))).to_numpy()
        split = split.mask((split == "train") & drawn, name)
    return split


def _list_fractions(manifest: pd.DataFrame, test_fraction: float, val_fraction: float) -> dict[str, float]:
    """The splits that the source lacks, and what each takes of the images that are in no other split yet."""
    known = set(manifest["source_split"])
    return {name: share for name, share in (("test", test_fraction), ("val", val_fraction)) if name not in known}


def _share(fractions: Mapping[str, float]) -> dict[str, float]:
    """The same as fractions of all images from which they are drawn."""
    shares, rest = {}, 1.0
    for name, fraction in fractions.items():
        shares[name] = rest * fraction
        rest -= shares[name]
    return shares


def _keep_copies_together(image_ids: pd.Series, split: pd.Series) -> pd.Series:
    """Where the same bytes are in several splits, those in test stay, or else those in val; the other copies are left out. What
    is thinned stays so."""
    first = split.map({"test": 0, "val": 1, "train": 2}).groupby(image_ids, sort=False).transform("min")
    return split.where((split == THINNED) | (split == first.map({0: "test", 1: "val", 2: "train"})), "")


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


def check_splits(
    manifest: pd.DataFrame,
    split: pd.Series,
    grouping: Grouping | None = None,
    *,
    method: str = "independent",
    periods: str = "",
    is_thinned: bool = False,
) -> None:
    """Raises PipelineError if a class is missing from a split, and says why, and what would help.

    manifest, split, grouping: without what is thinned. periods: of a split by time, in words.
    """
    missing = _find_missing(manifest["label"], split)
    if not missing:
        return
    label, name, count = missing[0]
    more = f" (and {len(missing) - 1} more such)" if len(missing) > 1 else ""
    is_small = count < len(SPLIT_NAMES)
    least = f"-S prune.min_images_per_class={len(SPLIT_NAMES)}, which leaves out every class of fewer"
    advice = f"add images, or drop or merge the class (prune.*){', or ' + least if is_small else ''}"
    if is_thinned:
        advice += ", or raise prune.max_images_per_class, which thins training before val is drawn"
    left_out = describe_left_out(manifest, split) if name == "train" else ""
    is_all = left_out and not (split == "train").any()
    if left_out:
        advice = "delete the copies (data/duplicates.csv lists them), or leave a folder out (data.splits)"
        advice = advice if is_all else f"{left_out}; {advice}"
    elif name in set(manifest["source_split"]) and not left_out:
        advice += f", or have {DRAWN_ANEW}"
    elif name != "train" and not is_small:
        advice += f", or raise split.{name}_fraction"
        if method == "independent" and not periods and (grouping is None or grouping.rule == "near"):
            advice += ", or set split.method=exact, by which every class of three or more is in all splits"
    if grouping is not None:
        number = grouping.groups[manifest["label"] == label].nunique()
        advice += f". Its images are {number} group(s), none of which is divided (split.group={grouping.rule})"
    if periods:
        advice += f". The images are divided by time ({periods}); split.order=content draws them"
    leak = f"{left_out}, and copies are left out of train: " if is_all else ""
    raise PipelineError(
        f"{leak}class {label!r} has no image in {name}{more}: expected every class in train, val and test; received {count} "
        f"image(s) of it in all: {advice}"
    )


def describe_sizes(split: pd.Series, duplicates: pd.DataFrame) -> str:
    """Such as "train 640, val 160, test 200; 3 identical copies, 1 of them left out"."""
    sizes = ", ".join(f"{name} {count:,}" for name, count in split[split != ""].value_counts().items())
    copies = len(duplicates) - duplicates["image_id"].nunique()
    return f"{sizes}; {copies:,} identical copies, {(split == '').sum():,} of them left out" if copies else sizes


def describe_left_out(manifest: pd.DataFrame, split: pd.Series) -> str:
    """Such as "28 of 28 training images have a copy in test"; empty if no image is left out."""
    origin = manifest["source_split"].replace("", "train")
    kept = split.groupby(manifest["image_id"]).transform("max")  # "" sorts before every name
    parts = []
    for name, what in (("train", "training"), ("val", "val")):
        lost = (origin == name) & (split == "")
        if lost.any():
            where = " or ".join(sorted(set(kept[lost])))
            parts.append(f"{lost.sum():,} of {(origin == name).sum():,} {what} images have a copy in {where}")
    return ", ".join(parts)


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


def load_splits(file: Path = SPLITS, columns: Collection[str] | None = None) -> pd.DataFrame:
    """SPLITS_COLUMNS, one row per image, sorted by name; also `group`, where images have one. columns: see `load_manifest`."""
    usecols = columns and (lambda name: name in columns)
    return read_table(file, dtype="str", keep_default_na=False, usecols=usecols)
