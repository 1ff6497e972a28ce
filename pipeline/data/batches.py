"""TFRecords to batches, through tf.data. Imports TensorFlow."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf

from pipeline.config.types import Encoding
from pipeline.data.augmentation import Augmentation, augment_batch, draw_numbers, get_mixing_numbers
from pipeline.data.embeddings import MIRROR
from pipeline.data.iteration import read_untuned
from pipeline.data.mixing import mix_batch
from pipeline.data.oversampling import count_oversampled, draw_times
from pipeline.data.tfrecords import list_shards, load_dataset_facts, read_chosen, read_messages
from pipeline.runtime.paths import TFRECORDS

_FEATURES = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "label": tf.io.FixedLenFeature([], tf.int64),
    "image_id": tf.io.FixedLenFeature([], tf.string),
    "name": tf.io.FixedLenFeature([], tf.string),
}


# An epoch's number to (positions of the images, Batch), in the order of that epoch.
_Shuffle: TypeAlias = Callable[[tf.Tensor], tf.data.Dataset]
# An epoch's number to how often it has each image, int64 (n,).
_Times: TypeAlias = Callable[[tf.Tensor], tf.Tensor]


class Batch(NamedTuple):
    """images: uint8 (batch, size, size, 3), RGB, 0 to 255. labels: int64 (batch,), indices into class_names."""

    images: Any
    labels: Any


def parse_batch(records: tf.Tensor, image_size: int, encoding: Encoding = "raw") -> Batch:
    """Serialized Examples, string (batch,), to pixels and labels."""
    parsed = tf.io.parse_example(records, {key: _FEATURES[key] for key in ("image", "label")})
    return Batch(_decode(parsed["image"], (image_size, image_size, 3), encoding), parsed["label"])


def _decode(images: tf.Tensor, shape: tuple[int, int, int], encoding: Encoding) -> tf.Tensor:
    """uint8 (batch, *shape), the same bits as `decode_pixels` has from Pillow. images: string (batch,)."""
    if encoding == "raw":
        return tf.reshape(tf.io.decode_raw(images, tf.uint8), (-1, *shape))

    def decode(image: tf.Tensor) -> tf.Tensor:
        if encoding == "jpeg":
            # The transform with which Pillow decodes; TensorFlow's default is a faster one, with other last bits.
            return tf.ensure_shape(tf.io.decode_jpeg(image, channels=3, dct_method="INTEGER_ACCURATE"), shape)
        return tf.ensure_shape(tf.io.decode_webp(image, channels=3)[0], shape)  # the first frame

    return tf.map_fn(decode, images, fn_output_signature=tf.TensorSpec(shape, tf.uint8))


class Part(NamedTuple):
    """Some images of a split: those from number `first` on, which begins a batch."""

    first: int
    size: int


def read_batches(split: str, *, batch_size: int, folder: Path = TFRECORDS, part: Part | None = None) -> tf.data.Dataset:
    """Every image of a split once, or those of a part, in the order of the files: (uint8 images, int64 labels); the last batch
    may be smaller."""
    facts = load_dataset_facts(folder)
    image_size, num_batches = facts.image_size, -(-(part.size if part else facts.num_images[split]) // batch_size)
    records = _read_part(split, part, folder) if part else tf.data.TFRecordDataset(list_shards(split, folder))
    records = records.batch(batch_size)
    records = records.apply(tf.data.experimental.assert_cardinality(num_batches))
    batches = records.map(lambda r: parse_batch(r, image_size, facts.encoding), tf.data.AUTOTUNE, deterministic=True)
    return read_untuned(batches.prefetch(tf.data.AUTOTUNE))


def _read_part(split: str, part: Part, folder: Path) -> tf.data.Dataset:
    """Serialized Examples, held in memory."""
    return tf.data.Dataset.from_tensor_slices(np.array(list(read_messages(split, *part, folder)), object))


def read_views(
    split: str,
    view: int,
    *,
    batch_size: int,
    seed: int,
    augmentation: Augmentation,
    folder: Path = TFRECORDS,
    part: Part | None = None,
) -> tf.data.Dataset:
    """`read_batches` of the images themselves (view 0), of their mirror images (MIRROR), or of augmented view 1, 2, …, which
    `seed` determines."""
    batches = read_batches(split, batch_size=batch_size, folder=folder, part=part)
    if view == 0:
        return batches
    if view == MIRROR:
        return batches.map(
            lambda batch: (tf.reverse(batch.images, axis=[2]), batch.labels), tf.data.AUTOTUNE, deterministic=True
        )
    numbers = draw_numbers(load_dataset_facts(folder).num_images[split], seed=seed, epoch=view)
    numbers = numbers[part.first : part.first + part.size] if part else numbers
    rows = tf.data.Dataset.from_tensor_slices(numbers).batch(batch_size)
    return tf.data.Dataset.zip(batches, rows).map(
        lambda batch, drawn: (augment_batch(batch[0], drawn, augmentation), batch[1]),
        tf.data.AUTOTUNE,
        deterministic=True,
    )


def read_names(split: str, *, folder: Path = TFRECORDS) -> tuple[list[str], list[str]]:
    """(image ids, names) of a split, in the order of `read_batches`."""
    features = {key: _FEATURES[key] for key in ("image_id", "name")}
    records = read_untuned(tf.data.TFRecordDataset(list_shards(split, folder)).batch(1024))
    ids: list[str] = []
    names: list[str] = []
    for parsed in records.map(lambda r: tf.io.parse_example(r, features)).as_numpy_iterator():
        ids += [value.decode() for value in parsed["image_id"]]
        names += [value.decode() for value in parsed["name"]]
    return ids, names


def read_images(split: str, rows: list[int], *, folder: Path = TFRECORDS) -> np.ndarray:
    """Some images of a split, uint8 (len(rows), size, size, 3). rows: positions in the order of `read_batches`."""
    facts, wanted = load_dataset_facts(folder), sorted(set(rows))
    found = {
        row: parse_batch(tf.constant([record]), facts.image_size, facts.encoding).images.numpy()[0]
        for row, record in zip(wanted, read_chosen(split, wanted, folder), strict=True)
    }
    return np.stack([found[row] for row in rows])


def load_split(split: str, *, folder: Path = TFRECORDS) -> tuple[np.ndarray, np.ndarray]:
    """A whole split in memory: uint8 (n, size, size, 3) and int64 (n,), in the order of `read_batches`."""
    facts = load_dataset_facts(folder)
    n, size = facts.num_images[split], facts.image_size
    images, labels = np.empty((n, size, size, 3), np.uint8), np.empty(n, np.int64)
    position = 0
    for batch in read_batches(split, batch_size=256, folder=folder).as_numpy_iterator():
        images[position : position + len(batch[1])], labels[position : position + len(batch[1])] = batch
        position += len(batch[1])
    return images, labels


def make_training_batches(
    *,
    batch_size: int,
    seed: int,
    augmentation: Augmentation,
    cache_gb: float,
    shuffle_buffer: int,
    first_epoch: int = 0,
    oversample: bool = False,
    targets: np.ndarray | None = None,
    folder: Path = TFRECORDS,
) -> tuple[tf.data.Dataset, int]:
    """Endless training batches, (uint8 or float32 images 0 to 255, int64 labels), and the number of batches per epoch. Where
    images are mixed, labels are rows of probabilities, float32 (batch, classes).

    targets: a further row of each image, float32 (n, k), in the order of the files. Labels are rows then, too, and these follow
    in them, float32 (batch, classes + k), mixed in the same shares.

    Each epoch has its own order and augmentation, both drawn from (seed, epoch, position of the image), so that a run that
    resumes at `first_epoch` sees what an uninterrupted one would. A split of up to `cache_gb` GB is kept in memory and shuffled
    completely; a larger one is read again each epoch and shuffled within a buffer of `shuffle_buffer` images.

    oversample: an epoch has all classes equally often: images of smaller ones several times, each time augmented anew. Of
    images that are not kept in memory, the copies of one image follow each other into the buffer.
    """
    facts = load_dataset_facts(folder)
    n, size = facts.num_images["train"], facts.image_size
    if n * size * size * 3 <= cache_gb * 1e9:
        split = load_split("train", folder=folder)
        times = _draw_times(split[1], seed) if oversample else None
        shuffle = _shuffle_in_memory(split, batch_size, seed, times)
    else:
        times = _draw_times(_read_labels("train", folder), seed) if oversample else None
        parse = partial(parse_batch, image_size=size, encoding=facts.encoding)
        shuffle = _shuffle_files(list_shards("train", folder), parse, batch_size, seed, shuffle_buffer, times)
    n = count_oversampled(facts.counts["train"].values()) if oversample else n
    further = None if targets is None else tf.constant(targets)

    def read_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        numbers = draw_numbers(n, seed=seed, epoch=epoch) if augmentation.is_active else None
        batches = shuffle(epoch)
        if further is not None:
            batches = _add_targets(batches, further, times(epoch) if times else None, facts.num_classes)
        return _augment(batches, numbers, augmentation, facts.num_classes)

    epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
    return read_untuned(epochs.flat_map(read_epoch).prefetch(tf.data.AUTOTUNE)), -(-n // batch_size)


def _add_targets(
    batches: tf.data.Dataset, targets: tf.Tensor, times: tf.Tensor | None, num_classes: int
) -> tf.data.Dataset:
    """Batches with labels as rows, and the rows of `targets` behind them. batches: (positions of the images, Batch). times: of
    each image, whose copies follow each other; None: once."""
    rows = None if times is None else tf.repeat(tf.range(len(targets), dtype=tf.int64), times)

    def add(i: tf.Tensor, batch: Batch) -> tuple[tf.Tensor, Batch]:
        own = tf.gather(targets, i if rows is None else tf.gather(rows, i))
        return i, Batch(batch.images, tf.concat([tf.one_hot(batch.labels, num_classes), own], axis=1))

    return batches.map(add, tf.data.AUTOTUNE, deterministic=True)


def _draw_times(labels: np.ndarray, seed: int) -> _Times:
    def draw(epoch: tf.Tensor) -> tf.Tensor:
        times = tf.numpy_function(lambda number: draw_times(labels, seed=seed, epoch=int(number)), [epoch], tf.int64)
        return tf.ensure_shape(times, (len(labels),))

    return draw


def _read_labels(split: str, folder: Path) -> np.ndarray:
    """int64 (n,), in the order of the files."""
    features = {"label": _FEATURES["label"]}
    records = read_untuned(tf.data.TFRecordDataset(list_shards(split, folder)).batch(1024))
    parts = records.map(lambda r: tf.io.parse_example(r, features)["label"]).as_numpy_iterator()
    return np.concatenate([np.empty(0, np.int64), *parts])


def _shuffle_in_memory(
    split: tuple[np.ndarray, np.ndarray], batch_size: int, seed: int, times: _Times | None = None
) -> _Shuffle:
    """times: of each image; None: once. Positions are those of an image, or of one of its copies, which follow each other."""
    images, labels, n = split[0], tf.constant(split[1]), len(split[1])

    def take(rows: np.ndarray) -> np.ndarray:  # NumPy's: a tensor that tf.data captures is copied when it begins
        return images[rows]

    total = count_oversampled(np.bincount(split[1]).tolist()) if times else n

    def shuffle(epoch: tf.Tensor) -> tf.data.Dataset:
        rows = tf.repeat(tf.range(n, dtype=tf.int64), times(epoch)) if times else None

        def gather(i: tf.Tensor) -> tuple[tf.Tensor, Batch]:
            row = i if rows is None else tf.gather(rows, i)
            chosen = tf.ensure_shape(tf.numpy_function(take, [row], tf.uint8), (None, *images.shape[1:]))
            return i, Batch(chosen, tf.gather(labels, row))

        order = tf.data.Dataset.range(total).shuffle(
            total, seed=_epoch_seed(seed, epoch), reshuffle_each_iteration=False
        )
        return order.batch(batch_size).map(gather, tf.data.AUTOTUNE, deterministic=True)

    return shuffle


def _repeat(records: tf.data.Dataset, times: tf.Tensor) -> tf.data.Dataset:
    """Each record as often as `times`, int64 (n,), says, with the positions of its copies. records: (row, record)."""
    ends = tf.cumsum(times)

    def copy(row: tf.Tensor, record: tf.Tensor) -> tf.data.Dataset:
        copies = tf.data.Dataset.range(ends[row] - times[row], ends[row])
        return copies.map(lambda position: (position, record))

    return records.flat_map(copy)


def _shuffle_files(
    files: list[str],
    parse: Callable[[tf.Tensor], Batch],
    batch_size: int,
    seed: int,
    buffer: int,
    times: _Times | None = None,
) -> _Shuffle:
    """parse: of a batch of records. times: see `_shuffle_in_memory`."""
    records = tf.data.TFRecordDataset(files).enumerate()

    def shuffle(epoch: tf.Tensor) -> tf.data.Dataset:
        whole = _repeat(records, times(epoch)) if times else records
        order = whole.shuffle(buffer, seed=_epoch_seed(seed, epoch), reshuffle_each_iteration=False)
        return order.batch(batch_size).map(lambda i, r: (i, parse(r)), tf.data.AUTOTUNE, deterministic=True)

    return shuffle


def _augment(
    batches: tf.data.Dataset, numbers: tf.Tensor | None, augmentation: Augmentation, num_classes: int
) -> tf.data.Dataset:
    """batches: (positions of the images, Batch). numbers: of `draw_numbers`, or None for no augmentation."""
    if numbers is None:
        # A plain tuple: given class weights, Keras takes a named tuple for the images alone.
        return batches.map(lambda _, batch: (batch.images, batch.labels))
    return batches.map(
        lambda i, batch: augment_labelled(
            batch.images, batch.labels, tf.gather(numbers, i), augmentation, num_classes=num_classes
        ),
        tf.data.AUTOTUNE,
        deterministic=True,
    )


def augment_labelled(
    images: tf.Tensor, labels: tf.Tensor, numbers: tf.Tensor, augmentation: Augmentation, *, num_classes: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """`augment_batch` and, where images are mixed, what becomes of their labels, int (batch,): float32 (batch, classes). Labels
    that are rows already, float32 (batch, …), are mixed as they are."""
    images = augment_batch(images, numbers, augmentation)
    if not augmentation.mixes:
        return images, labels
    rows = labels if labels.dtype.is_floating else tf.one_hot(labels, num_classes)
    shares = get_mixing_numbers(numbers)
    return mix_batch(images, rows, shares, mixup=augmentation.mixup, cutmix=augmentation.cutmix)


def _epoch_seed(seed: int, epoch: tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_uniform([], [seed, epoch], maxval=tf.int64.max, dtype=tf.int64)
