"""RandAugment (Cubuk et al. 2020, arXiv:1909.13719): two operations for each image, drawn from thirteen. Imports TensorFlow.

The paper's but for equalize, which needs an image's histogram. A whole batch goes through each operation at once, with settings
that change nothing in the images that drew another: faster than a loop over images.
"""

import math

import tensorflow as tf

_ROUNDS = 2  # operations for each image
NUM_NUMBERS = 2 * _ROUNDS  # which, and in which direction, each
_OPERATIONS = (
    *("identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate"),
    *("brightness", "contrast", "colour", "sharpness", "posterize", "solarize", "autocontrast"),
)
_SHEAR, _TRANSLATE, _TURN, _CHANGE = 0.3, 0.33, math.pi / 6.0, 0.9  # at magnitude 1, as in the paper's code
_GREY = (0.299, 0.587, 0.114)


def apply_random_operations(images: tf.Tensor, numbers: tf.Tensor, magnitude: float) -> tf.Tensor:
    """float32 (batch, height, width, 3), 0 to 255, as it comes. numbers: uniform, (batch, NUM_NUMBERS). magnitude: 0 to 1, of
    all operations."""
    for start in range(0, NUM_NUMBERS, 2):
        chosen = tf.cast(numbers[:, start] * len(_OPERATIONS), tf.int32)
        signed = tf.where(numbers[:, start + 1] < 0.5, -magnitude, magnitude)
        strengths = {name: tf.where(chosen == i, signed, 0.0) for i, name in enumerate(_OPERATIONS)}
        images = _reduce_values(_change_colours(_move(images, strengths), strengths), strengths)
    return images


def _move(images: tf.Tensor, strengths: dict[str, tf.Tensor]) -> tf.Tensor:
    """Shear, translation and rotation about the centre; what is uncovered is filled by reflection."""
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    x, y = tf.cast(width - 1, tf.float32) / 2.0, tf.cast(height - 1, tf.float32) / 2.0
    angle = strengths["rotate"] * _TURN
    a0, a1 = tf.cos(angle), strengths["shear_x"] * _SHEAR - tf.sin(angle)
    b0, b1 = strengths["shear_y"] * _SHEAR + tf.sin(angle), tf.cos(angle)
    dx = tf.round(strengths["translate_x"] * _TRANSLATE * tf.cast(width, tf.float32))
    dy = tf.round(strengths["translate_y"] * _TRANSLATE * tf.cast(height, tf.float32))
    zero = tf.zeros_like(a0)
    transforms = [a0, a1, x - a0 * x - a1 * y + dx, b0, b1, y - b0 * x - b1 * y + dy, zero, zero]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(transforms, axis=1),
        output_shape=tf.stack([height, width]),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def _change_colours(images: tf.Tensor, strengths: dict[str, tf.Tensor]) -> tf.Tensor:
    """Away from, or towards, black, the mean grey, the grey image and the blurred one."""
    grey = tf.reduce_sum(images * tf.constant(_GREY), axis=3, keepdims=True)
    blurred = tf.nn.avg_pool2d(images, 3, 1, "SAME")
    ends = {
        "brightness": tf.zeros_like(grey),
        "contrast": tf.reduce_mean(grey, axis=(1, 2), keepdims=True),
        "colour": grey,
        "sharpness": blurred,
    }
    change = sum((_CHANGE * strengths[name])[:, None, None, None] * (images - end) for name, end in ends.items())
    return tf.clip_by_value(images + change, 0.0, 255.0)


def _reduce_values(images: tf.Tensor, strengths: dict[str, tf.Tensor]) -> tf.Tensor:
    """Fewer levels (down to 16), bright values turned into dark ones, all levels used."""
    step = tf.pow(2.0, tf.round(4.0 * tf.abs(strengths["posterize"])))[:, None, None, None]
    images = tf.where(step > 1.0, tf.floor(images / step) * step, images)
    threshold = 256.0 * (1.0 - tf.abs(strengths["solarize"]))[:, None, None, None]
    images = tf.where(images >= threshold, 255.0 - images, images)
    low, high = (reduce(images, axis=(1, 2), keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max))
    is_stretched = (strengths["autocontrast"] != 0.0)[:, None, None, None] & (high > low)
    return tf.where(is_stretched, (images - low) * 255.0 / tf.maximum(high - low, 1e-3), images)
