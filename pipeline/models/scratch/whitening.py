"""A first layer whose outputs are uncorrelated and of variance 1 over patches of the training images: it is computed,
not learned (Page 2019; Jordan 2024, arXiv:2404.00498). Imports Keras."""

from collections.abc import Iterator

import keras
import numpy as np
from keras import layers

from pipeline.models.layers import unwrap

_NAME = "whitening"
_MOST = 24  # directions, those in which patches vary most; each is there with both signs
_NOISE = 1.0  # of the variance, in squares of a pixel's 255 levels: what varies less is not enlarged any more
_TOGETHER = 64  # images


def whiten(x: keras.KerasTensor, *, size: int, step: int) -> keras.KerasTensor:
    """(batch, height, width, 2 × directions): coordinates of patches of `size` × `size` pixels, `step` pixels apart, and their
    opposites. Until `set_whitening`, any weights."""
    directions = min(size * size * x.shape[-1], _MOST)
    return layers.Conv2D(2 * directions, size, strides=step, trainable=False, name=_NAME)(x)


def has_whitening(model: keras.Model) -> bool:
    """Whether there is such a layer to set."""
    return any(layer.name == _NAME for layer in unwrap(model)[1].layers)


def set_whitening(model: keras.Model, images: np.ndarray) -> None:
    """Sets the layer by patches of images, uint8 (n, size, size, 3), of the model's size."""
    front, network = unwrap(model)
    layer = network.get_layer(_NAME)
    if front:  # layers that resize
        seen = images.astype(np.float32)
        for resize in front:
            seen = resize(seen, training=False)
        images = keras.ops.convert_to_numpy(seen)
    size, step, directions = layer.kernel_size[0], layer.strides[0], layer.filters // 2
    weights, shift = compute_whitening(images, size=size, step=step, directions=directions)
    weights = weights.reshape(size, size, -1, directions)
    layer.set_weights([np.concatenate(pair, axis=-1) for pair in ((weights, -weights), (shift, -shift))])


def compute_whitening(images: np.ndarray, *, size: int, step: int, directions: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 (size × size × channels, directions) and (directions,): what to multiply flat patches by, and what to add, so
    that over all patches each coordinate has mean 0 and variance 1 (less, where that was small), and no two are correlated.

    images: (n, height, width, channels). In float64, where the sums of whole numbers, such as pixels, are exact in any order.
    """
    count, total, products = 0, 0.0, 0.0
    for patches in _cut_patches(images, size, step):
        count, total, products = count + len(patches), total + patches.sum(axis=0), products + patches.T @ patches
    mean = total / count
    variances, axes = np.linalg.eigh(products / count - np.outer(mean, mean))
    axes, variances = axes[:, ::-1][:, :directions], np.maximum(variances[::-1][:directions], 0.0)
    # An axis has no direction of its own: its largest part is positive, of equally large ones the first.
    largest = np.argmax(np.round(np.abs(axes), 6), axis=0)
    axes = axes * np.where(np.take_along_axis(axes, largest[None], axis=0) < 0, -1.0, 1.0)
    weights = axes / np.sqrt(variances + _NOISE)
    return weights.astype(np.float32), (-mean @ weights).astype(np.float32)


def _cut_patches(images: np.ndarray, size: int, step: int) -> Iterator[np.ndarray]:
    """float64 (patches, size × size × channels), rows, columns and channels in the order of a convolution's weights."""
    for start in range(0, len(images), _TOGETHER):
        part = images[start : start + _TOGETHER].astype(np.float64)
        windows = np.lib.stride_tricks.sliding_window_view(part, (size, size), axis=(1, 2))[:, ::step, ::step]
        yield windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, size * size * part.shape[-1])
