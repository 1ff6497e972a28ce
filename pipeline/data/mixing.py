"""Images mixed with others of their batch, and their labels with them. Imports TensorFlow."""

from functools import cache

import numpy as np
import tensorflow as tf

_POINTS = 4097  # of the quantiles of a distribution, between which they are straight


def make_box(images: tf.Tensor, side: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Which pixels lie in a square, bool (batch, height, width, 1). What of it is outside the image is cut off.

    images: (batch, height, width, channels). side: of the square, as a fraction of the image's; x, y: of its centre; float32
    (batch,) each.
    """
    shape = tf.shape(images)
    height, width = tf.cast(shape[1], tf.float32), tf.cast(shape[2], tf.float32)
    columns, rows = tf.range(width) + 0.5, tf.range(height) + 0.5
    inside_x = tf.abs(columns - (x * width)[:, None]) < (side * width / 2.0)[:, None]
    inside_y = tf.abs(rows - (y * height)[:, None]) < (side * height / 2.0)[:, None]
    return (inside_y[:, :, None] & inside_x[:, None, :])[..., None]


def mix_batch(images: tf.Tensor, labels: tf.Tensor, numbers: tf.Tensor, *, mixup: float, cutmix: float) -> tf.Tensor:
    """Images mixed, each with the one before it in its batch, and labels in the same shares: float32 (batch, height, width, 3)
    and (batch, classes). The order of images is drawn from (seed, epoch), and so is who meets whom.

    mixup: both images are seen at once (Zhang et al. 2018, arXiv:1710.09412). cutmix: a square of the other covers a part (Yun
    et al. 2019, arXiv:1905.04899). Each is the parameter of a symmetric beta distribution, of which an image's share is drawn:
    1 makes all shares as likely, less than 1 those near 0 and 1 more; 0: off. labels: rows of that shape. numbers: uniform,
    (batch, 4).
    """
    shares = []
    if mixup:
        shares.append(tf.ones_like(images[..., :1]) * _draw_share(numbers[:, 1], mixup)[:, None, None, None])
    if cutmix:
        side = tf.sqrt(_draw_share(numbers[:, 1], cutmix))
        shares.append(tf.cast(make_box(images, side, numbers[:, 2], numbers[:, 3]), tf.float32))
    share = shares[0] if len(shares) == 1 else tf.where(numbers[:, 0, None, None, None] < 0.5, *shares)
    of_label = tf.reduce_mean(share, axis=(1, 2))  # what is seen of the other, also where its square was cut off
    images += share * (tf.roll(images, 1, axis=0) - images)
    return images, labels + of_label * (tf.roll(labels, 1, axis=0) - labels)


def mix_parts(parts: list[tf.Tensor], numbers: tf.Tensor, *, mixup: float) -> list[tf.Tensor]:
    """The same of what a network has made of images: each part, float32 (batch, …), rows of labels among them, is mixed with
    the one before it in its batch, all in the same shares (manifold mixup: Verma et al. 2019, arXiv:1806.05236). numbers:
    uniform, (batch,)."""
    share = _draw_share(numbers, mixup)
    return [
        part + tf.reshape(share, (-1, *[1] * (part.shape.rank - 1))) * (tf.roll(part, 1, axis=0) - part)
        for part in parts
    ]


def _draw_share(numbers: tf.Tensor, concentration: float) -> tf.Tensor:
    """Of a symmetric beta distribution, float32 (batch,). numbers: uniform, of that shape. TensorFlow's own draw takes a number
    of random numbers that nobody knows before."""
    quantiles = tf.constant(_compute_quantiles(concentration))
    place = numbers * (_POINTS - 1)
    below = tf.cast(tf.floor(place), tf.int32)
    start, end = tf.gather(quantiles, below), tf.gather(quantiles, tf.minimum(below + 1, _POINTS - 1))
    return start + (place - tf.cast(below, tf.float32)) * (end - start)


@cache
def _compute_quantiles(concentration: float) -> np.ndarray:
    """float32 (_POINTS,)."""
    from scipy.special import betaincinv  # a quarter of a second: only where images are mixed

    return betaincinv(concentration, concentration, np.linspace(0.0, 1.0, _POINTS)).astype(np.float32)
