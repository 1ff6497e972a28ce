"""What a fine-tuned model gives, from the activations that were kept at the cut, not from pixels. Imports TensorFlow.

What comes before the cut is frozen, so that the image need not go through it once more: on a CPU, four to five times as fast.
"""

from collections.abc import Callable
from typing import TypeAlias

import keras
import numpy as np
import tensorflow as tf

from pipeline.data.embeddings import MIRROR, Embeddings
from pipeline.models.backbones.blocks import list_block_outputs
from pipeline.models.backbones.loader import load_backbone
from pipeline.models.inference import freeze_function
from pipeline.models.mirrors import get_one_view, is_averaged
from pipeline.runtime.processes import map_ahead

_ROWS = 256  # images at a time; only speed and memory depend on it

# Activations, float32 (n, height, width, channels), and early features, (n, features), to an output, float32 (n, …).
_Apply: TypeAlias = Callable[[np.ndarray, np.ndarray], np.ndarray]


def predict_from_cut(model: keras.Model, embeddings: Embeddings, split: str) -> tuple[np.ndarray, np.ndarray]:
    """(labels, int64 (n,); probabilities, float32 (n, classes)) of train or val, in the order of the files: as from pixels, to
    the rounding of float16.

    model: the whole one, on the backbone of the embeddings, whose weights up to `facts.cut` are those that computed them. One
    that averages mirror images takes these from there, too.
    """
    one, labels = get_one_view(model), embeddings.labels(split)
    apply, num_early = _build(one, one.output, embeddings)
    probabilities = _apply_to_view(apply, num_early, embeddings, split, 0, len(labels))
    if is_averaged(model):
        mirrored = _apply_to_view(apply, num_early, embeddings, split, MIRROR, len(labels))
        probabilities = (probabilities + mirrored) / 2
    return labels, probabilities


def extract_from_cut(
    model: keras.Model, output: keras.KerasTensor, embeddings: Embeddings, split: str, count: int
) -> np.ndarray:
    """float32 (count, …): `output`, of a layer of the head, of the first images of train or val; see `predict_from_cut`."""
    apply, num_early = _build(get_one_view(model), output, embeddings)
    return _apply_to_view(apply, num_early, embeddings, split, 0, count)


def _apply_to_view(
    apply: _Apply, num_early: int, embeddings: Embeddings, split: str, view: int, count: int
) -> np.ndarray:
    maps, pooled = embeddings.activations(split, view), embeddings.features(split, view)

    def work(start: int) -> np.ndarray:
        rows = np.arange(start, min(start + _ROWS, count))
        given = maps.take(rows).reshape(len(rows), *embeddings.facts.cut_shape)
        return apply(given, pooled.take(rows)[:, :num_early])

    return np.concatenate(list(map_ahead(work, range(0, count, _ROWS))))


def _build(model: keras.Model, output: keras.KerasTensor, embeddings: Embeddings) -> tuple[_Apply, int]:
    """A function from activations and the pooled features of blocks up to the cut to `output`, and how many these features
    are."""
    facts = embeddings.facts
    assert facts.cut is not None
    [network] = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    outputs = list_block_outputs(load_backbone(facts.backbone), network)
    num_early = sum(outputs[block - 1].shape[-1] for block in facts.features if block <= facts.cut)
    later = [outputs[block - 1] for block in facts.features if block > facts.cut]
    own = keras.tree.flatten(network.output)[0]
    tail = keras.Model(outputs[facts.cut - 1], [own, *later])
    features = model.get_layer("features").output
    head = None if output is features else keras.Model(features, output)  # Keras makes no model without a layer
    pool = keras.layers.GlobalAveragePooling2D()

    def compute(maps: tf.Tensor, early: tf.Tensor) -> tf.Tensor:
        last, *others = keras.tree.flatten(tail(maps, training=False))
        pooled = tf.concat([early, *map(pool, [*others, last])], axis=1)
        return pooled if head is None else head(pooled, training=False)

    return freeze_function(compute, tuple(facts.cut_shape), (num_early,)), num_early
