"""Activations at the cut of a backbone, in batches for fine-tuning what comes after it. Imports TensorFlow.

Read from memory-mapped files, a batch at a time: the system keeps in memory what fits.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.data.embeddings import Embeddings
from pipeline.data.iteration import read_untuned
from pipeline.data.mixing import mix_parts
from pipeline.data.oversampling import count_oversampled
from pipeline.training.features import draw_epochs
from pipeline.training.fit import FitData

_VALIDATION_BATCH = 256  # images; only speed and memory depend on it


def make_activation_data(
    embeddings: Embeddings,
    *,
    batch_size: int,
    seed: int,
    num_early: int,
    first_epoch: int = 0,
    oversample: bool = False,
    class_weight: dict[int, float] | None = None,
    mixup: float = 0.0,
    num_classes: int,
) -> FitData:
    """Batches as `build_tail` takes them: activations, float32 (batch, height, width, channels), with the first `num_early`
    pooled features, float32 (batch, num_early), if that is not 0; and labels, int64 (batch,) or, where mixup is not 0, rows of
    them, float32 (batch, classes): see `mix_parts`.

    Each epoch has each image once, as itself or as one of its views, see `training_views`; view and order are drawn from (seed,
    epoch), as for the head. Validation has the images themselves, in order.
    """
    labels, views = embeddings.labels("train"), embeddings.facts.training_views
    reader = _Reader(embeddings, "train", views, num_early)
    total = count_oversampled(np.bincount(labels).tolist()) if oversample else len(labels)
    epochs = tf.data.Dataset.from_generator(
        lambda: draw_epochs(len(labels), len(views) - 1, seed, first_epoch, labels if oversample else None),
        output_signature=(*(tf.TensorSpec((total,), tf.int64),) * 2, tf.TensorSpec((total,), tf.float32)),
    )
    known = tf.constant(labels)

    def read(rows: tf.Tensor, views: tf.Tensor, numbers: tf.Tensor) -> tuple[Any, tf.Tensor]:
        inputs, own = reader.read(views * len(labels) + rows), tf.gather(known, rows)
        if not mixup:
            return inputs, own
        *mixed, own = mix_parts([*tf.nest.flatten(inputs), tf.one_hot(own, num_classes)], numbers, mixup=mixup)
        return tf.nest.pack_sequence_as(inputs, mixed), own

    batches = epochs.flat_map(lambda *drawn: tf.data.Dataset.from_tensor_slices(drawn).batch(batch_size).map(read))
    batches, steps = read_untuned(batches.prefetch(tf.data.AUTOTUNE)), -(-total // batch_size)
    return FitData(batches, steps, _read_split(embeddings, "val", num_early), class_weight)


class _Reader:
    """Rows of activations, and of early features beside them."""

    def __init__(self, embeddings: Embeddings, split: str, views: Sequence[int], num_early: int) -> None:
        self._activations, self._features = embeddings.activations(split, *views), embeddings.features(split, *views)
        self._shape, self._early = tuple(embeddings.facts.cut_shape), num_early

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """float32 (rows, height, width, channels) and (rows, num_early)."""
        maps = self._activations.take(rows).reshape(len(rows), *self._shape)
        return maps, self._features.take(rows)[:, : self._early] if self._early else np.empty(
            (len(rows), 0), np.float32
        )

    def read(self, rows: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        """The same in TensorFlow, without the second where there are no early features."""
        maps, early = tf.numpy_function(self.take, [rows], (tf.float32, tf.float32))
        maps = tf.ensure_shape(maps, (None, *self._shape))
        return (maps, tf.ensure_shape(early, (None, self._early))) if self._early else maps


def _read_split(embeddings: Embeddings, split: str, num_early: int) -> tf.data.Dataset:
    reader, labels = _Reader(embeddings, split, range(1), num_early), tf.constant(embeddings.labels(split))
    count = len(embeddings.labels(split))
    batches = (
        tf.data.Dataset.range(count)
        .batch(_VALIDATION_BATCH)
        .map(lambda rows: (reader.read(rows), tf.gather(labels, rows)))
    )
    return read_untuned(batches.prefetch(tf.data.AUTOTUNE))
