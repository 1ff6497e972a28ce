"""Random augmentation of training images: flip, rotation and zoom in one warp, then contrast. Imports TensorFlow.

Keras' layers warp once for each of the three, and draw from a state that can't be resumed or traced to an image. One fused
warp is more than twice as fast (tests/benchmarks/bench_augmentation.py).
"""

import math
from dataclasses import dataclass

import tensorflow as tf

_NUMBERS = 5  # drawn for each image and epoch: two flips, rotation, zoom, contrast


@dataclass(frozen=True)
class Augmentation:
    """flip: none, horizontal, vertical or both. rotation: largest angle, as a fraction of a full turn. zoom, contrast: largest
    relative change. As defined by Keras' RandomFlip, RandomRotation, RandomZoom and RandomContrast."""

    flip: str = "none"
    rotation: float = 0.0
    zoom: float = 0.0
    contrast: float = 0.0

    @property
    def warps(self) -> bool:
        """Whether pixels move."""
        return self.flip != "none" or self.rotation > 0 or self.zoom > 0

    @property
    def is_active(self) -> bool:
        """Whether anything is augmented."""
        return self.warps or self.contrast > 0


def draw_numbers(num_images: int, *, seed: int, epoch: tf.Tensor | int) -> tf.Tensor:
    """float32 (num_images, 5), uniform in [0, 1): row i belongs to image i in this epoch, whatever batch it is in."""
    key = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
    return tf.random.stateless_uniform([num_images, _NUMBERS], seed=key)


def augment_batch(images: tf.Tensor, numbers: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Augmented images, float32 (batch, height, width, 3), 0 to 255.

    images: uint8 or float32 of that shape. numbers: rows of `draw_numbers`. What a warp uncovers is filled by reflection.
    """
    images = tf.cast(images, tf.float32)
    if augmentation.warps:
        images = _warp(images, numbers, augmentation)
    if augmentation.contrast > 0:
        mean = tf.reduce_mean(images, axis=(1, 2), keepdims=True)
        factor = _spread(numbers[:, 4], 1.0, augmentation.contrast)[:, None, None, None]
        images = tf.clip_by_value((images - mean) * factor + mean, 0.0, 255.0)
    return images


def _spread(numbers: tf.Tensor, centre: float, largest: float) -> tf.Tensor:
    return centre + (2.0 * numbers - 1.0) * largest


def _sign(numbers: tf.Tensor, flips: bool) -> tf.Tensor:
    return tf.where(numbers < 0.5, -1.0, 1.0) if flips else tf.ones_like(numbers)


def _warp(images: tf.Tensor, numbers: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Flip, rotation and zoom about the centre, as one affine map from pixels of the result to points of the image."""
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    flip_x = _sign(numbers[:, 0], augmentation.flip in ("horizontal", "both"))
    flip_y = _sign(numbers[:, 1], augmentation.flip in ("vertical", "both"))
    angle = _spread(numbers[:, 2], 0.0, augmentation.rotation * 2.0 * math.pi)
    scale = _spread(numbers[:, 3], 1.0, augmentation.zoom)
    a0, a1 = flip_x * scale * tf.cos(angle), -flip_x * scale * tf.sin(angle)
    b0, b1 = flip_y * scale * tf.sin(angle), flip_y * scale * tf.cos(angle)
    x, y = tf.cast(width - 1, tf.float32) / 2.0, tf.cast(height - 1, tf.float32) / 2.0
    zero = tf.zeros_like(a0)
    transforms = tf.stack([a0, a1, x - a0 * x - a1 * y, b0, b1, y - b0 * x - b1 * y, zero, zero], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=tf.stack([height, width]),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
