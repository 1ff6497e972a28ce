"""Random augmentation of training images: all that moves pixels in one warp, then colours, then what is erased. Imports
TensorFlow.

Keras' layers (RandomFlip to RandAugment, RandomErasing, MixUp and CutMix) warp once for each, draw one number for a whole batch
in places, and all from a state that can't be resumed or traced to an image. One fused warp is more than twice as fast
(tests/benchmarks/bench_augmentation.py).
"""

import math
from dataclasses import dataclass

import tensorflow as tf

from pipeline.data.mixing import make_box
from pipeline.data.random_augment import NUM_NUMBERS, apply_random_operations

_NUMBERS = 5  # drawn for each image and epoch: two flips, rotation, zoom, contrast
_MORE = 6  # brightness, two shifts, the side of the crop and its place: by a key of their own, as the five came first
_MORE_KEY = 2**32  # above all seeds
# Two whole-pixel moves, the square that is erased (side, x, y), mixing (which, share, x, y), RandAugment's, by a third key.
_LATEST, _LATEST_KEY = 9 + NUM_NUMBERS, 2**33
_SIDES_KEY = 2**34  # of the side that an image begins with, the same in all epochs
NUM_DRAWN = _NUMBERS + _MORE + _LATEST + 1
_TRANSLATE, _ERASE, _MIX, _RANDOM, _SIDE = 11, 13, 16, 20, NUM_DRAWN - 1  # the first column of each


@dataclass(frozen=True)
class Augmentation:
    """flip: none, horizontal, vertical, both, or alternate (horizontal, but each image in exactly every second epoch: Jordan
    2024, arXiv:2404.00498). rotation: largest angle, as a fraction of a full turn. zoom, contrast: largest
    relative change. brightness: largest change, as a fraction of 255. shift: largest, as a fraction of a side. As defined by
    Keras' RandomFlip, RandomRotation, RandomZoom, RandomContrast, RandomBrightness and RandomTranslation. crop: most of a side
    that is cut off; what is left is enlarged to the whole again. translate: as shift, by whole pixels, so that nothing is
    blurred. erase: most of a side of a square that gets the image's mean colour, wherever its centre is (Cutout: DeVries and
    Taylor 2017, arXiv:1708.04552). randaugment: see `pipeline.data.random_augment`. mixup, cutmix: see `pipeline.data.mixing`;
    where both are on, each image is mixed in one of the two ways."""

    flip: str = "none"
    rotation: float = 0.0
    zoom: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    shift: float = 0.0
    crop: float = 0.0
    translate: float = 0.0
    erase: float = 0.0
    randaugment: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    @property
    def warps(self) -> bool:
        """Whether pixels move, RandAugment's left aside."""
        return self.flip != "none" or max(self.rotation, self.zoom, self.shift, self.crop, self.translate) > 0

    @property
    def mixes(self) -> bool:
        """Whether images, and so their labels, are mixed."""
        return max(self.mixup, self.cutmix) > 0

    @property
    def is_active(self) -> bool:
        """Whether anything is augmented."""
        return self.warps or self.mixes or max(self.contrast, self.brightness, self.erase, self.randaugment) > 0


def draw_numbers(num_images: int, *, seed: int, epoch: tf.Tensor | int) -> tf.Tensor:
    """float32 (num_images, NUM_DRAWN), uniform in [0, 1): row i belongs to image i in this epoch, whatever batch it is in."""
    seed, epoch = tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)
    first = tf.random.stateless_uniform([num_images, _NUMBERS], seed=tf.stack([seed, epoch]))
    more = tf.random.stateless_uniform([num_images, _MORE], seed=tf.stack([seed + _MORE_KEY, epoch]))
    latest = tf.random.stateless_uniform([num_images, _LATEST], seed=tf.stack([seed + _LATEST_KEY, epoch]))
    side = tf.random.stateless_uniform([num_images, 1], seed=tf.stack([seed + _SIDES_KEY, tf.constant(0, tf.int64)]))
    return tf.concat([first, more, latest, tf.math.floormod(side + 0.5 * tf.cast(epoch % 2, tf.float32), 1.0)], axis=1)


def augment_batch(images: tf.Tensor, numbers: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Augmented images, float32 (batch, height, width, 3), 0 to 255.

    images: uint8 or float32 of that shape. numbers: rows of `draw_numbers`. What a warp uncovers is filled by reflection.
    """
    images = tf.cast(images, tf.float32)
    if augmentation.warps:
        images = _warp(images, numbers, augmentation)
    if augmentation.randaugment > 0:
        images = apply_random_operations(images, numbers[:, _RANDOM:_SIDE], augmentation.randaugment)
    if augmentation.contrast > 0:
        mean = tf.reduce_mean(images, axis=(1, 2), keepdims=True)
        factor = _spread(numbers[:, 4], 1.0, augmentation.contrast)[:, None, None, None]
        images = tf.clip_by_value((images - mean) * factor + mean, 0.0, 255.0)
    if augmentation.brightness > 0:
        change = _spread(numbers[:, 5], 0.0, 255.0 * augmentation.brightness)[:, None, None, None]
        images = tf.clip_by_value(images + change, 0.0, 255.0)
    if augmentation.erase > 0:
        hidden = make_box(
            images, numbers[:, _ERASE] * augmentation.erase, numbers[:, _ERASE + 1], numbers[:, _ERASE + 2]
        )
        images = tf.where(hidden, tf.reduce_mean(images, axis=(1, 2), keepdims=True), images)
    return images


def get_mixing_numbers(numbers: tf.Tensor) -> tf.Tensor:
    """The columns of `draw_numbers` that `pipeline.data.mixing.mix_batch` takes, (batch, 4)."""
    return numbers[:, _MIX:_RANDOM]


def _spread(numbers: tf.Tensor, centre: float, largest: float) -> tf.Tensor:
    return centre + (2.0 * numbers - 1.0) * largest


def _sign(numbers: tf.Tensor, flips: bool) -> tf.Tensor:
    return tf.where(numbers < 0.5, -1.0, 1.0) if flips else tf.ones_like(numbers)


def _warp(images: tf.Tensor, numbers: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Flip, rotation and zoom about the centre, shift and crop, as one affine map from pixels of the result to points of the
    image."""
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    flips = numbers[:, _SIDE] if augmentation.flip == "alternate" else numbers[:, 0]
    flip_x = _sign(flips, augmentation.flip in ("horizontal", "both", "alternate"))
    flip_y = _sign(numbers[:, 1], augmentation.flip in ("vertical", "both"))
    angle = _spread(numbers[:, 2], 0.0, augmentation.rotation * 2.0 * math.pi)
    scale = _spread(numbers[:, 3], 1.0, augmentation.zoom)
    a0, a1 = flip_x * scale * tf.cos(angle), -flip_x * scale * tf.sin(angle)
    b0, b1 = flip_y * scale * tf.sin(angle), flip_y * scale * tf.cos(angle)
    x, y = tf.cast(width - 1, tf.float32) / 2.0, tf.cast(height - 1, tf.float32) / 2.0
    zero = tf.zeros_like(a0)
    dx, dy, side = _move(numbers, augmentation)
    dx, dy = dx * tf.cast(width, tf.float32), dy * tf.cast(height, tf.float32)
    if augmentation.translate > 0:
        dx += tf.round(_spread(numbers[:, _TRANSLATE], 0.0, augmentation.translate * tf.cast(width, tf.float32)))
        dy += tf.round(_spread(numbers[:, _TRANSLATE + 1], 0.0, augmentation.translate * tf.cast(height, tf.float32)))
    more_x, more_y = a0 * dx + a1 * dy, b0 * dx + b1 * dy
    a0, a1, b0, b1 = a0 * side, a1 * side, b0 * side, b1 * side
    from_x, from_y = x - a0 * x - a1 * y + more_x, y - b0 * x - b1 * y + more_y
    transforms = tf.stack([a0, a1, from_x, b0, b1, from_y, zero, zero], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=tf.stack([height, width]),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def _move(numbers: tf.Tensor, augmentation: Augmentation) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """How far the part that is seen lies from the centre, to the right and down, as fractions of the sides, and how much of a
    side it has: float32 (batch,) each. A crop lies within the shifted image."""
    cut = numbers[:, 8] * augmentation.crop
    dx = cut * (numbers[:, 9] - 0.5) - _spread(numbers[:, 6], 0.0, augmentation.shift)
    dy = cut * (numbers[:, 10] - 0.5) - _spread(numbers[:, 7], 0.0, augmentation.shift)
    return dx, dy, 1.0 - cut
