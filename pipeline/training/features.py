"""Batches of a backbone's cached features. Imports TensorFlow."""

import itertools
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from pipeline.data.embeddings import Embeddings

_VALIDATION_BATCH = 4096  # rows; only speed and memory depend on it


def make_feature_batches(
    embeddings: Embeddings, *, batch_size: int, seed: int, cache_gb: float, first_epoch: int = 0
) -> tuple[tf.data.Dataset, int]:
    """Endless training batches of features, (float32 (batch, features), int64 (batch,)), and how many make an epoch.

    In each epoch each image comes once, as itself or as one of its views, drawn with the order from (seed, epoch). Features
    of up to `cache_gb` GB are kept in memory.
    """
    labels = tf.constant(embeddings.labels("train"))
    n, views, num_features = len(labels), embeddings.facts.views + 1, embeddings.facts.num_features
    features = embeddings.features("train", *range(views))
    # As they are stored: float16 takes half of the memory, and float32 of it is the same number.
    in_memory = tf.constant(features.load()) if features.num_bytes <= cache_gb * 1e9 else None

    def draw() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for epoch in itertools.count(first_epoch):
            rng = np.random.default_rng([seed, epoch])
            rows, chosen = rng.permutation(n), rng.integers(0, views, n)
            yield rows, chosen[rows]

    def read(rows: tf.Tensor, chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if in_memory is None:
            batch = tf.numpy_function(features.take, [chosen * n + rows], tf.float32)
        else:
            batch = tf.cast(tf.gather(in_memory, chosen * n + rows), tf.float32)
        return tf.ensure_shape(batch, (None, num_features)), tf.gather(labels, rows)

    # Python draws an epoch at a time: asked for each batch, it would take longer than a head's step.
    epochs = tf.data.Dataset.from_generator(draw, output_signature=(tf.TensorSpec((n,), tf.int64),) * 2)
    batches = epochs.flat_map(lambda *drawn: tf.data.Dataset.from_tensor_slices(drawn).batch(batch_size).map(read))
    return batches.prefetch(tf.data.AUTOTUNE), -(-n // batch_size)


def read_feature_batches(embeddings: Embeddings, split: str) -> tf.data.Dataset:
    """The features of a split once, in order, with their labels."""
    rows, labels = embeddings.features(split), embeddings.labels(split)

    def generate() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(labels), _VALIDATION_BATCH):
            chosen = np.arange(start, min(start + _VALIDATION_BATCH, len(labels)))
            yield rows.take(chosen), labels[chosen]

    signature = (tf.TensorSpec((None, embeddings.facts.num_features), tf.float32), tf.TensorSpec((None,), tf.int64))
    batches = tf.data.Dataset.from_generator(generate, output_signature=signature)
    return batches.apply(tf.data.experimental.assert_cardinality(-(-len(labels) // _VALIDATION_BATCH))).cache()
