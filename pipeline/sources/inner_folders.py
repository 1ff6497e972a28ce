"""Folders around pictures that name neither a class nor a split: those of a patient, of a video, of a day. Pure."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence

from pipeline.sources.names import fold_name, is_plain_split, means_images

_MOST = 0.5  # of the folders at a level
_FEWEST = 3  # folders that are worth a word, with two pictures each on average


def find_inner_folders(
    names: Sequence[str], labels: Sequence[str], others: Collection[str] = (), splits: Collection[str] = ()
) -> list[str]:
    """For each picture the folders on its path that are no class, without those that hold everything, are named as a split, or
    say only that pictures are in them: video_0 of set/train/walk/video_0/1.jpg; empty if there are none.

    Folders of one name in two classes, or splits, are the same: a patient may be in both. Names that repeat in outer folders
    count for nothing: of person_1/camera_2 and person_2/camera_2, the persons are left. A folder is a class at the level that
    names the pictures' labels: of grades 0 to 4, patient 3 in 0/3/1.png is none.

    names: paths, with forward slashes. labels: one each. others: names of classes before they were merged. splits: names that a
    person has made those of splits.
    """
    parents = [name.rpartition("/")[0] for name in names]
    label_of = dict(zip(parents, labels, strict=True))  # of a folder, that of one of its pictures
    paths = {parent: parent.split("/") if parent else [] for parent in label_of}
    common = _count_common(paths.values())
    below = {parent: _drop_splits(parts[common:], splits) for parent, parts in paths.items()}
    known = {name: fold_name(name) for name in {*labels, *others}}
    merged = set(known.values()) - {known[label] for label in labels}
    levels = _find_class_levels(((parts, known[label_of[parent]]) for parent, parts in below.items()), merged)
    inner = {
        parent: _keep(parts, levels.get(len(parts)), set(known.values()) - {""}) for parent, parts in below.items()
    }
    repeating = _find_repeating(inner.values())
    joined = {
        parent: "/".join(part for level, part in enumerate(parts) if level not in repeating)
        for parent, parts in inner.items()
    }
    return [joined[parent] for parent in parents]


def _find_repeating(paths: Iterable[list[str]]) -> set[int]:
    """Levels, but for the outermost, at which there are no more names than folders around them, each in two of these or more on
    average: magnifications, cameras, studies."""
    around: dict[int, set[tuple[str, ...]]] = defaultdict(set)
    for parts in paths:
        for level in range(1, len(parts)):
            around[level].add(tuple(parts[: level + 1]))
    found = set()
    for level, folders in around.items():
        inner, outer = {folder[-1] for folder in folders}, {folder[:-1] for folder in folders}
        if 2 * len(inner) <= len(folders) and len(inner) <= len(outer):
            found.add(level)
    return found


def _count_common(paths: Collection[list[str]]) -> int:
    """How many folders all paths begin with."""
    first, last = min(paths, default=[]), max(paths, default=[])
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def _drop_splits(parts: list[str], splits: Collection[str]) -> list[str]:
    parts = parts[1:] if parts and is_plain_split(parts[0]) else parts
    return [part for part in parts if part not in splits]


def _find_class_levels(paths: Iterable[tuple[list[str], str]], merged: set[str]) -> dict[int, int]:
    """At which level classes are, of paths of each length: where most folders have the name of their pictures' label; none
    where no more than half of them have. paths: with folded labels. merged: folded names of classes that are no label any
    more."""
    lengths, found = Counter[int](), defaultdict[int, Counter[int]](Counter)
    for parts, label in paths:
        lengths[len(parts)] += 1
        for level, part in enumerate(map(fold_name, parts)):
            found[len(parts)][level] += bool(part) and (part == label or part in merged)
    best = {length: max(counts, key=lambda level: (counts[level], -level)) for length, counts in found.items()}
    return {length: level for length, level in best.items() if found[length][level] > _MOST * lengths[length]}


def _keep(parts: list[str], class_level: int | None, known: set[str]) -> list[str]:
    """Numbered folders of images may be one patient's: only those without a number say nothing."""
    return [
        part
        for level, part in enumerate(parts)
        if not (level == class_level and fold_name(part) in known)
        and (not means_images(part) or any(map(str.isdigit, part)))
    ]


def describe_inner_folders(names: Sequence[str], labels: Sequence[str], splits: Collection[str] = ()) -> str:
    """A line for a person, where most pictures lie in several such folders; else empty."""
    found = find_inner_folders(names, labels, splits=splits)
    counts = Counter(filter(None, found))
    if all(map(means_images, counts)):  # images_001 to images_012, as parts of a download
        return ""
    if len(counts) < _FEWEST or not len(names) / 2 < counts.total() >= 2 * len(counts):
        return ""
    return (
        f"{counts.total():,} of {len(names):,} pictures lie in {len(counts):,} folders beside their class, such as "
        f"{min(counts)!r}: if each is one patient, one video or one place, a test with pictures from the same folders as "
        "training says too much; split.group=folder divides none"
    )
