"""Heat maps: where in an image a network looks. Imports TensorFlow."""

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from pipeline.data.batches import read_images
from pipeline.evaluation.results import pick_mistakes
from pipeline.models.layers import unwrap
from pipeline.models.mirrors import get_one_view, is_averaged

_HEAT_MAPS = 12  # mistakes
_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
_MERGING = (keras.layers.Add,)  # a shortcut: from the convolution alone, what follows could not be computed
_FLATTENING = (keras.layers.Flatten, keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)


def explain_mistakes(model: keras.Model, predictions: pd.DataFrame, class_names: list[str]) -> np.ndarray:
    """Heat maps of the most confident mistakes, for the predicted class, float16 (n, rows, columns), 0 to 1; n is 0 without
    mistakes or convolutions. predictions: of test, in the order of its images."""
    mistakes = pick_mistakes(predictions, _HEAT_MAPS)
    heat = None
    if not mistakes.empty:
        images = read_images("test", mistakes.index.to_list())
        numbers = {name: number for number, name in enumerate(class_names)}
        heat = compute_heat_maps(model, images, mistakes["predicted"].map(numbers).to_numpy())
    return np.zeros((0, 1, 1), np.float16) if heat is None else heat.astype(np.float16)


def compute_heat_maps(model: keras.Model, images: np.ndarray, classes: np.ndarray) -> np.ndarray | None:
    """How much each location of an image speaks for a class, float32 (n, rows, columns), 0 to 1; None for a model without
    convolutions. Grad-CAM at the last convolution, or where its shortcut ends (Selvaraju et al. 2017, arXiv:1610.02391), of the
    log-odds: the map is that of the log-probability, whose gradient vanishes where a network is certain. Where a head sees
    several depths of a backbone, the map is that of the last one. Where a model averages mirror images, it is the
    mean of both maps.

    images: (n, size, size, 3), 0 to 255. classes: int (n,).
    """
    if is_averaged(model):
        model = get_one_view(model)
        as_is, mirrored = (compute_heat_maps(model, view, classes) for view in (images, images[:, :, ::-1]))
        return None if as_is is None or mirrored is None else (as_is + mirrored[:, :, ::-1]) / 2
    front, inner = unwrap(model)
    feature_map = _find_feature_map(inner)
    if feature_map is None:
        return None
    last = inner.layers[-1]  # dense, softmax
    earlier = _find_earlier_maps(inner, feature_map)
    to_maps = keras.Model(inner.inputs, [feature_map, *earlier])
    to_features = keras.Model([feature_map, *earlier], last.input)
    x = tf.cast(images, tf.float32)
    for layer in front:
        x = layer(x, training=False)  # otherwise layers that augment would
    maps, *earlier = keras.tree.flatten(
        to_maps(x, training=False)
    )  # outside the tape, which would record all layers before
    with tf.GradientTape() as tape:
        tape.watch(maps)
        features = tf.cast(
            to_features([maps, *earlier], training=False), last.kernel.dtype
        )  # SVC votes in double precision
        logits = tf.matmul(features, last.kernel) + last.bias
        is_chosen = tf.one_hot(classes, logits.shape[1], on_value=True, off_value=False)
        others = tf.reduce_logsumexp(tf.where(is_chosen, -np.inf, logits), axis=1)
        score = tf.reduce_sum(logits[is_chosen] - others)
    weights = tf.reduce_mean(tape.gradient(score, maps), axis=(1, 2), keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(maps * weights, axis=-1)).numpy()
    return heat / np.maximum(heat.max(axis=(1, 2), keepdims=True), 1e-12)


def _find_feature_map(model: keras.Model) -> keras.KerasTensor | None:
    if any(isinstance(layer, _CONVOLUTIONS) for layer in model.layers):
        return [layer for layer in model.layers if isinstance(layer, _CONVOLUTIONS + _MERGING)][-1].output
    if any(isinstance(layer, keras.Model) for layer in model.layers):  # a backbone, then what pools it
        pooled = _list_pooled(model)[-1]
        return None if tuple(pooled.shape[1:3]) == (1, 1) else pooled  # one place: of a network of tokens
    return None


def _find_earlier_maps(model: keras.Model, feature_map: keras.KerasTensor) -> list[keras.KerasTensor]:
    """Those of earlier blocks of a backbone that the head sees too."""
    return [pooled for pooled in _list_pooled(model)[:-1] if pooled is not feature_map]


def _list_pooled(model: keras.Model) -> list[keras.KerasTensor]:
    return [layer.input for layer in model.layers if isinstance(layer, _FLATTENING)]
