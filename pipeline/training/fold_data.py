"""Folds of train and val for cross-validation: a folder that looks like the project's data, with other images in each split.

The code that trains and measures then runs on it as it is. The test split has no part in it.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.config.families import FAMILIES
from pipeline.config.sections import Crossval
from pipeline.data.embeddings import Embeddings, EmbeddingWriter, load_embeddings, save_facts
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

FOLD_SPLITS = ("train", "val")  # that folds are made of
_ROWS = 4096  # features gathered at a time


def assign_folds(
    image_ids: list[str], labels: list[int], *, num_folds: int, seed: int, class_names: list[str] | None = None
) -> np.ndarray:
    """int (n,), 0 to num_folds - 1: stratified by class, decided by a seeded hash of each image's content.

    Folds are of equal size, and adding or removing an image moves few of the others. Copies of one picture stay together,
    also where their labels differ. Raises PipelineError where a class has fewer different images than there are folds.
    """
    # of copies whose labels differ the first label counts, whatever their order
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
            name = class_names[label] if class_names else f"number {label}"
            raise PipelineError(
                f"crossval.folds: there are {num_folds}, but class {name} has {len(members)} images in train and val: "
                "expected at most as many folds as the smallest class has images"
            )
        # A fold is a stretch of ranks: another image shifts only where stretches end. What a class has left over goes to
        # the folds after those that got the last one's, so that folds are of equal size.
        extra = (np.arange(num_folds) - offset) % num_folds < len(members) % num_folds
        folds = np.repeat(np.arange(num_folds), len(members) // num_folds + extra)
        for fold, member in zip(folds, members[np.argsort(rank[members], kind="stable")], strict=True):
            fold_of[unique[member]] = int(fold)
        offset += len(members)
    return np.array([fold_of[image_id] for image_id in image_ids])


@contextmanager
def open_fold(folder: Path, family: str, facts: DatasetFacts, settings: Crossval, *, fold: int) -> Iterator[None]:
    """Within the block, `folder` is like the project's, with images and features of fold number `fold`, from 0; then it goes.
    What a run that was killed has left in it goes first."""
    remove(folder)
    try:
        origins = write_fold(folder, facts, fold=fold, num_folds=len(settings.folds), seed=settings.seed)
        if FAMILIES[family].backbone:
            embeddings = load_embeddings(family)
            views = embeddings.facts.views if settings.augment else 0
            write_fold_embeddings(folder, family, embeddings, origins, views=views)
        yield
    finally:
        remove(folder)


def write_fold(folder: Path, facts: DatasetFacts, *, fold: int, num_folds: int, seed: int) -> dict[str, np.ndarray]:
    """Writes folder/data/tfrecords, in which fold number `fold` is val and the others are train.

    facts: dataset.json. Returns, for train and val, where each image comes from, int (n, 2): number in FOLD_SPLITS and row there.
    """
    files = [(number, file) for number, split in enumerate(FOLD_SPLITS) for file in list_shards(split)]
    size = facts.image_size
    keys = [(record.image_id, record.label) for _, file in files for record in read_records(file, size)]
    folds = assign_folds(
        [image_id for image_id, _ in keys],
        [label for _, label in keys],
        num_folds=num_folds,
        seed=seed,
        class_names=facts.class_names,
    )
    target = folder / TFRECORDS
    target.mkdir(parents=True)
    writers = {split: _SplitWriter(target, split, len(facts.class_names)) for split in FOLD_SPLITS}
    for row, (number, position, record) in enumerate(_read_all(files, size)):
        writers["val" if folds[row] == fold else "train"].write(record, number, position)
    for writer in writers.values():
        writer.close()
    mean, std = compute_mean_and_deviation(writers["train"].histogram)
    counts = {
        split: dict(zip(facts.class_names, writer.counts.tolist(), strict=True)) for split, writer in writers.items()
    }
    num_images = {split: len(writer.origins) for split, writer in writers.items()}
    save_dataset_facts(replace(facts, num_images=num_images, counts=counts, channel_mean=mean, channel_std=std), target)
    return {split: np.array(writer.origins) for split, writer in writers.items()}


def _read_all(files: Iterable[tuple[int, str]], size: int) -> Iterator[tuple[int, int, Record]]:
    positions = dict.fromkeys(range(len(FOLD_SPLITS)), 0)
    for number, file in files:
        for record in read_records(file, size):
            yield number, positions[number], record
            positions[number] += 1


class _SplitWriter:
    """One split of a fold: its file, and what dataset.json says of it."""

    def __init__(self, folder: Path, split: str, num_classes: int) -> None:
        self._file = (folder / f"{split}-00000-of-00001.tfrecord").open("wb")
        self.origins: list[tuple[int, int]] = []
        self.counts = np.zeros(num_classes, np.int64)
        self.histogram = np.zeros((3, 256), np.int64)

    def write(self, record: Record, number: int, position: int) -> None:
        encoded = encode_record(record.pixels.tobytes(), label=record.label, image_id=record.image_id, name=record.name)
        self._file.write(encoded)
        self.origins.append((number, position))
        self.counts[record.label] += 1
        self.histogram += [np.bincount(record.pixels[:, :, channel].ravel(), minlength=256) for channel in range(3)]

    def close(self) -> None:
        self._file.close()


def write_fold_embeddings(
    folder: Path, family: str, embeddings: Embeddings, origins: dict[str, np.ndarray], *, views: int
) -> None:
    """Writes folder/data/embeddings/<family>: the cached features, sorted as `write_fold` has sorted the images.

    views: changed copies of each training image to take along. Images of val have none: for them the image itself stands in.
    """
    target = folder / EMBEDDINGS / family
    target.mkdir(parents=True)
    labels = [embeddings.labels(split) for split in FOLD_SPLITS]
    plain = [embeddings.features(split) for split in FOLD_SPLITS]
    changed = {view: embeddings.features("train", view) for view in range(1, views + 1)}

    def gather(rows: np.ndarray, view: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(rows), _ROWS):
            part = rows[start : start + _ROWS]
            features = np.empty((len(part), plain[0].num_features), np.float32)
            numbers = np.empty(len(part), np.int64)
            for number in range(len(FOLD_SPLITS)):
                here = part[:, 0] == number
                source = changed[view] if view and number == 0 else plain[number]
                features[here] = source.take(part[here, 1])
                numbers[here] = labels[number][part[here, 1]]
            yield features, numbers

    writer = EmbeddingWriter(target, embeddings.facts.dtype)
    for split, rows in origins.items():
        for view in range(views + 1 if split == "train" else 1):
            writer.write(split, view, gather(rows, view))
    num_images = {split: len(rows) for split, rows in origins.items()}
    save_facts(replace(embeddings.facts, views=views, num_images=num_images), target)
