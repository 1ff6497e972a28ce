"""Cached features of a backbone: in batches to train on, and the backbone that computed them. Imports TensorFlow."""

import itertools
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from pipeline.config.families import FAMILIES
from pipeline.config.recipe_sections import LinearRecipe, TransferRecipe
from pipeline.config.recipes import list_features
from pipeline.data.embeddings import Embeddings
from pipeline.data.in_memory import share
from pipeline.data.iteration import read_untuned
from pipeline.data.oversampling import count_oversampled, draw_times
from pipeline.models.backbones.backbone import compute_weights_digest
from pipeline.models.backbones.loader import build_backbone
from pipeline.runtime.errors import PipelineError

_VALIDATION_BATCH = 4096  # rows; only speed and memory depend on it


def load_embedding_backbone(
    family: str, recipe: TransferRecipe | LinearRecipe, image_size: int, embeddings: Embeddings
) -> keras.Model:
    """The frozen backbone with the very weights that computed the features. Raises PipelineError if the recipe now names
    others, or other blocks."""
    assert recipe.backbone is not None
    name, blocks = FAMILIES[family].backbone, list_features(recipe)
    if blocks != embeddings.facts.features:
        raise PipelineError(
            f"the features in {embeddings.folder} are of other blocks than recipes.{family}.features names now: expected "
            f"{blocks}, received {embeddings.facts.features}; run `dvc repro embed@{embeddings.folder.name}`"
        )
    asked, size = recipe.backbone, recipe.input_size or image_size
    network = build_backbone(str(name), size, asked.weights, preset=asked.preset, family=family)
    if compute_weights_digest(network) != embeddings.facts.weights_sha256:
        raise PipelineError(
            f"the features in {embeddings.folder} were made with other weights than recipes.{family}.backbone.weights names "
            f"now: run `dvc repro -f embed@{embeddings.folder.name}`"
        )
    return network


def make_feature_batches(
    embeddings: Embeddings,
    *,
    batch_size: int,
    seed: int,
    cache_gb: float,
    first_epoch: int = 0,
    oversample: bool = False,
) -> tuple[tf.data.Dataset, int]:
    """Endless training batches of features, (float32 (batch, features), int64 (batch,)), and the number per epoch.

    Each epoch has each image once, as itself or as one of its augmented views; view and order are drawn from (seed, epoch).
    Features of up to `cache_gb` GB are kept in memory. oversample: all classes equally often, see `draw_times`; each copy has a
    view of its own.
    """
    numbers = embeddings.labels("train")
    labels, n, num_features = tf.constant(numbers), len(numbers), embeddings.facts.num_features
    total = count_oversampled(np.bincount(numbers).tolist()) if oversample else n
    views = embeddings.facts.views
    features = embeddings.features("train", *range(embeddings.facts.views + 1))
    # In the stored type: float16 takes half the memory, and its float32 is the same number.
    in_memory = share(features.load()) if features.num_bytes <= cache_gb * 1e9 else None

    def read(rows: tf.Tensor, views: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if in_memory is None:
            batch = tf.numpy_function(features.take, [views * n + rows], tf.float32)
        else:
            batch = tf.cast(tf.gather(in_memory, views * n + rows), tf.float32)
        return tf.ensure_shape(batch, (None, num_features)), tf.gather(labels, rows)

    # Python draws one epoch at a time: one batch at a time would take longer than a head's training step.
    epochs = tf.data.Dataset.from_generator(
        lambda: (drawn[:2] for drawn in draw_epochs(n, views, seed, first_epoch, numbers if oversample else None)),
        output_signature=(tf.TensorSpec((total,), tf.int64),) * 2,
    )
    batches = epochs.flat_map(lambda *drawn: tf.data.Dataset.from_tensor_slices(drawn).batch(batch_size).map(read))
    return read_untuned(batches.prefetch(tf.data.AUTOTUNE)), -(-total // batch_size)


def draw_epochs(
    n: int, views: int, seed: int, first_epoch: int, labels: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each epoch the rows in their order and the view of each, int (n,) both, view 0 the image itself, and a number
    by which each may be mixed with another, float32 (n,), 0 to 1. labels: int (n,), where images of rare classes come several
    times; None: once."""
    for epoch in itertools.count(first_epoch):
        rng = np.random.default_rng([seed, epoch])
        rows = np.arange(n) if labels is None else np.repeat(np.arange(n), draw_times(labels, seed=seed, epoch=epoch))
        order, chosen = rng.permutation(len(rows)), rng.integers(0, views + 1, len(rows))
        yield rows[order], chosen[order], rng.random(len(rows), np.float32)


def read_feature_batches(embeddings: Embeddings, split: str) -> tf.data.Dataset:
    """A split's features once, in order, with their labels; kept in memory."""
    rows, labels = embeddings.features(split), embeddings.labels(split)

    def generate() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(labels), _VALIDATION_BATCH):
            chosen = np.arange(start, min(start + _VALIDATION_BATCH, len(labels)))
            yield rows.take(chosen), labels[chosen]

    signature = (tf.TensorSpec((None, embeddings.facts.num_features), tf.float32), tf.TensorSpec((None,), tf.int64))
    batches = tf.data.Dataset.from_generator(generate, output_signature=signature)
    number = tf.data.experimental.assert_cardinality(-(-len(labels) // _VALIDATION_BATCH))
    return read_untuned(batches.apply(number).cache())
