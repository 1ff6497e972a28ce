"""Where in a picture a network looks, and what its layers are. Imports TensorFlow."""

import keras
import numpy as np
import tensorflow as tf

from pipeline.models.layers import unwrap

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
_FLATTENING = (keras.layers.Flatten, keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)


def compute_heat_maps(model: keras.Model, images: np.ndarray, classes: np.ndarray) -> np.ndarray | None:
    """How much each place of a picture speaks for a class, float32 (n, rows, columns) in 0 to 1; None for a model without
    convolutions. Grad-CAM at the last convolution (Selvaraju et al. 2017, arXiv:1610.02391), of the logarithm of the odds:
    the map is that of the logarithm of the probability, whose gradient vanishes where a network is certain.

    images: (n, size, size, 3), 0 to 255. classes: int (n,).
    """
    front, inner = unwrap(model)
    place = _find_map(inner)
    if place is None:
        return None
    last = inner.layers[-1]  # dense, softmax
    to_maps, to_features = keras.Model(inner.inputs, place), keras.Model(place, last.input)
    x = tf.cast(images, tf.float32)
    for layer in front:
        x = layer(x, training=False)  # left to themselves, layers that change pictures at random do
    maps = to_maps(x, training=False)  # off the tape, which would go back through all that comes before
    with tf.GradientTape() as tape:
        tape.watch(maps)
        logits = tf.matmul(to_features(maps, training=False), last.kernel) + last.bias
        is_chosen = tf.one_hot(classes, logits.shape[1], on_value=True, off_value=False)
        others = tf.reduce_logsumexp(tf.where(is_chosen, -np.inf, logits), axis=1)
        score = tf.reduce_sum(logits[is_chosen] - others)
    weights = tf.reduce_mean(tape.gradient(score, maps), axis=(1, 2), keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(maps * weights, axis=-1)).numpy()
    return heat / np.maximum(heat.max(axis=(1, 2), keepdims=True), 1e-12)


def _find_map(model: keras.Model) -> keras.KerasTensor | None:
    convolutions = [layer for layer in model.layers if isinstance(layer, _CONVOLUTIONS)]
    if convolutions:
        return convolutions[-1].output
    if any(isinstance(layer, keras.Model) for layer in model.layers):  # a backbone, then what pools it
        return next(layer.input for layer in model.layers if isinstance(layer, _FLATTENING))
    return None
