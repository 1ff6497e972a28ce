"""Folds of train and val for cross-validation: a workspace with data like the project's, but other images in each split.

The code that trains and measures runs in it unchanged. The test split takes no part.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from pipeline.config.sections import Crossval
from pipeline.data.embeddings import MIRROR, Embeddings, EmbeddingWriter, Rows, find_embeddings, save_facts, save_none
from pipeline.data.groups import balance_folds, load_groups
from pipeline.data.manifest import hash_uniform
from pipeline.data.tfrecords import (
    DatasetFacts,
    Record,
    compute_mean_and_deviation,
    encode_record,
    list_shards,
    read_records,
    save_dataset_facts,
)
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import remove
from pipeline.runtime.paths import EMBEDDINGS, TFRECORDS

FOLD_SPLITS = ("train", "val")  # whose images are divided into folds
_ROWS, _MOST_NUMBERS = 4096, 20_000_000  # of features or activations, copied at a time


def assign_folds(
    image_ids: list[str],
    labels: list[int],
    *,
    num_folds: int,
    seed: int,
    class_names: list[str] | None = None,
    groups: list[str] | None = None,
) -> np.ndarray:
    """int (n,), 0 to num_folds - 1: stratified by class, decided by a seeded hash of each image's content.

    Folds are of equal size, and an image more or less moves few of the others. Copies of one image share a fold, even where
    their labels differ. Raises PipelineError where a class has fewer distinct images than there are folds.

    groups: of images that must share a fold too, see `balance_folds`; None: there are only copies.
    """
    if groups is not None:
        return balance_folds(labels, groups, num_folds=num_folds, seed=seed, class_names=class_names)
    # Of copies with different labels the lowest label counts, whatever their order.
    label_of: dict[str, int] = {}
    for image_id, label in zip(image_ids, labels, strict=True):
        label_of[image_id] = min(label, label_of.get(image_id, label))
    unique = sorted(label_of)
    classes = np.array([label_of[image_id] for image_id in unique])
    rank = hash_uniform(unique, f"fold-{seed}")
    fold_of: dict[str, int] = {}
    offset = 0
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        if len(members) < num_folds:
            _refuse_folds(num_folds, len(members), class_names[label] if class_names else f"number {label}")
        # A fold is an interval of ranks: a further image moves only the images at its ends. The remainder of a class goes
        # to the folds after those that received the previous class's, so that folds are of equal size.
        extra = (np.arange(num_folds) - offset) % num_folds < len(members) % num_folds
        folds = np.repeat(np.arange(num_folds), len(members) // num_folds + extra)
        for fold, member in zip(folds, members[np.argsort(rank[members], kind="stable")], strict=True):
            fold_of[unique[member]] = int(fold)
        offset += len(members)
    return np.array([fold_of[image_id] for image_id in image_ids])


def _refuse_folds(num_folds: int, num_images: int, class_name: str) -> NoReturn:
    raise PipelineError(
        f"crossval.folds: there are {num_folds}, but class {class_name} has {num_images} images in train and val: expected "
        "at most as many folds as the smallest class has images"
    )


@contextmanager
def open_fold(
    workspace: Path, family: str, facts: DatasetFacts, settings: Crossval, *, fold: int, source: str | None = None
) -> Iterator[None]:
    """Within the block, `workspace` has the images and features of fold number `fold`, from 0; afterwards it is deleted.
    Leftovers of a run that was killed are deleted first. source: see `find_embeddings`."""
    remove(workspace)
    try:
        origins = write_fold(workspace, facts, fold=fold, num_folds=len(settings.folds), seed=settings.seed)
        embeddings = find_embeddings(family, source=source)
        if embeddings is None:
            save_none(family, workspace / EMBEDDINGS)
        else:
            views = embeddings.facts.views if settings.augment else 0
            write_fold_embeddings(workspace, family, embeddings, origins, views=views)
        yield
    finally:
        remove(workspace)


def write_fold(workspace: Path, facts: DatasetFacts, *, fold: int, num_folds: int, seed: int) -> dict[str, np.ndarray]:
    """Writes data/tfrecords into a workspace, with fold number `fold` as val and the others as train.

    facts: of all images. Returns, for train and val, each image's origin, int (n, 2): number in FOLD_SPLITS and row there.
    """
    files = [(number, file) for number, split in enumerate(FOLD_SPLITS) for file in list_shards(split)]
    keys = [(record.image_id, record.label, record.name) for _, _, record in _read_all(files, facts)]
    ids, labels = [key[0] for key in keys], [key[1] for key in keys]
    group_of = load_groups()
    groups = None if group_of is None else [group_of[name] for *_, name in keys]
    folds = assign_folds(ids, labels, num_folds=num_folds, seed=seed, class_names=facts.class_names, groups=groups)
    target = workspace / TFRECORDS
    target.mkdir(parents=True)
    writers = {split: _SplitWriter(target, split, facts.num_classes) for split in FOLD_SPLITS}
    for row, (number, position, record) in enumerate(_read_all(files, facts)):
        writers["val" if folds[row] == fold else "train"].write(record, number, position)
    for writer in writers.values():
        writer.close()
    save_dataset_facts(_describe(facts, writers), target)
    return {split: np.array(writer.origins) for split, writer in writers.items()}


def _describe(facts: DatasetFacts, writers: "dict[str, _SplitWriter]") -> DatasetFacts:
    """dataset.json of a fold: as that of all images, but for the splits."""
    mean, std = compute_mean_and_deviation(writers["train"].histogram)
    return replace(
        facts,
        num_images={split: len(writer.origins) for split, writer in writers.items()},
        counts={
            split: dict(zip(facts.class_names, writer.counts.tolist(), strict=True))
            for split, writer in writers.items()
        },
        channel_mean=mean,
        channel_std=std,
        digest="",
    )


def _read_all(files: Iterable[tuple[int, str]], facts: DatasetFacts) -> Iterator[tuple[int, int, Record]]:
    positions = dict.fromkeys(range(len(FOLD_SPLITS)), 0)
    for number, file in files:
        for record in read_records(file, facts.image_size, facts.encoding):
            yield number, positions[number], record
            positions[number] += 1


class _SplitWriter:
    """One split of a fold: its TFRecord file, and what dataset.json says about it."""

    def __init__(self, folder: Path, split: str, num_classes: int) -> None:
        self._file = (folder / f"{split}-00000-of-00001.tfrecord").open("wb")
        self.origins: list[tuple[int, int]] = []
        self.counts = np.zeros(num_classes, np.int64)
        self.histogram = np.zeros((3, 256), np.int64)

    def write(self, record: Record, number: int, position: int) -> None:
        encoded = encode_record(record.data, label=record.label, image_id=record.image_id, name=record.name)
        self._file.write(encoded)
        self.origins.append((number, position))
        self.counts[record.label] += 1
        self.histogram += [np.bincount(record.pixels[:, :, channel].ravel(), minlength=256) for channel in range(3)]

    def close(self) -> None:
        self._file.close()


def write_fold_embeddings(
    workspace: Path, family: str, embeddings: Embeddings, origins: dict[str, np.ndarray], *, views: int
) -> None:
    """Writes data/embeddings/<family> into a workspace: the cached features, and activations if there are any, in the order of
    `write_fold`.

    views: augmented views of each training image to include. Images of val have none: the image itself is used instead. Mirror
    images that are averaged are included for all.
    """
    target = workspace / EMBEDDINGS / family
    target.mkdir(parents=True)
    facts, labels = embeddings.facts, [embeddings.labels(split) for split in FOLD_SPLITS]
    writer, width = EmbeddingWriter(target, facts.dtype), math.prod(facts.cut_shape)
    for split, rows in origins.items():
        for view in [*range(views + 1 if split == "train" else 1), *([MIRROR] if facts.mirrored else [])]:
            parts = _gather(_list_sources(embeddings.features, view), rows)
            numbers = np.array([labels[number][row] for number, row in rows], np.int64)
            writer.write(split, view, _with_labels(parts, numbers))
            if facts.cut is not None:
                activations = writer.open_cut(split, view, width)
                for part in _gather(_list_sources(embeddings.activations, view), rows):
                    activations.add(part, len(part))
                activations.close()
    num_images = {split: len(rows) for split, rows in origins.items()}
    save_facts(replace(facts, views=views, num_images=num_images), target)


def _with_labels(parts: Iterable[np.ndarray], numbers: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    start = 0
    for part in parts:
        yield part, numbers[start : start + len(part)]
        start += len(part)


def _list_sources(read: Callable[..., Rows], view: int) -> list[Rows]:
    """For each of FOLD_SPLITS the rows of a view; val has the images themselves and their mirror images only."""
    return [read(split, view if number == 0 or view == MIRROR else 0) for number, split in enumerate(FOLD_SPLITS)]


def _in_parts(rows: np.ndarray, width: int = 1) -> Iterator[np.ndarray]:
    """width: numbers in a row."""
    count = max(1, min(_ROWS, _MOST_NUMBERS // max(1, width)))
    for start in range(0, len(rows), count):
        yield rows[start : start + count]


def _gather(sources: list[Rows], rows: np.ndarray) -> Iterator[np.ndarray]:
    """float32 (n, width) each. rows: int (n, 2), number in FOLD_SPLITS and row there."""
    for part in _in_parts(rows, sources[0].num_features):
        values = np.empty((len(part), sources[0].num_features), np.float32)
        for number, source in enumerate(sources):
            here = part[:, 0] == number
            values[here] = source.take(part[here, 1])
        yield values
