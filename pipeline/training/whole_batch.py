"""Layers that look at a whole batch while each device has a share of it. Imports TensorFlow."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

_SUM = tf.distribute.ReduceOp.SUM


class _Current(threading.local):
    """Of the device whose step this thread traces: (images of the whole batch, those of its share), int32 () both. None: not
    in such a step."""

    share: tuple[tf.Tensor, tf.Tensor] | None = None


_CURRENT = _Current()


@contextmanager
def share(total: tf.Tensor, rows: tf.Tensor) -> Iterator[None]:
    """In which the layers below see a whole batch of `total` images, of which this device has `rows`, int32 () both."""
    _CURRENT.share = total, rows
    try:
        yield
    finally:
        _CURRENT.share = None


def find_rows(total: Any, device: Any, devices: int) -> tuple[Any, Any]:
    """Which images of a batch of `total` a device has, from 0: the first, and the one behind the last. No two devices differ by
    more than one image."""
    return total * device // devices, total * (device + 1) // devices


class WholeNormalization(keras.layers.BatchNormalization):
    """With mean and variance of the whole batch. Keras' own (`synchronized`) takes the variance as a difference of two large
    sums, which rounds worse, and counts images that do not."""

    def _moments(self, inputs: tf.Tensor, mask: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        if _CURRENT.share is None:
            return super()._moments(inputs, mask)
        total, rows = _CURRENT.share
        axes, context = self._reduction_axes, tf.distribute.get_replica_context()
        count = tf.cast(total * tf.reduce_prod(tf.gather(tf.shape(inputs), axes[1:])), inputs.dtype)
        counts = tf.cast(rows > 0, inputs.dtype)
        mean = context.all_reduce(_SUM, counts * tf.reduce_sum(inputs, axes)) / count
        squares = tf.reduce_sum(tf.math.squared_difference(inputs, tf.stop_gradient(mean)), axes)
        return mean, context.all_reduce(_SUM, counts * squares) / count


class WholeDropout(keras.layers.Dropout):
    """Draws for the whole batch, and takes the share of this device."""

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if _CURRENT.share is None or not training or not self.rate:
            return super().call(inputs, training=training)
        total, _ = _CURRENT.share
        ones = tf.ones(tf.concat([[total], tf.shape(inputs)[1:]], axis=0), inputs.dtype)
        factors = keras.random.dropout(ones, self.rate, noise_shape=self.noise_shape, seed=self.seed_generator)
        context = tf.distribute.get_replica_context()
        first, _ = find_rows(total, context.replica_id_in_sync_group, context.num_replicas_in_sync)
        own = factors[first : first + tf.shape(inputs)[0]]
        return inputs * tf.ensure_shape(own, [None, *inputs.shape[1:]])


# Layers of Keras to those that take their place.
WHOLE: dict[type[keras.layers.Layer], type[keras.layers.Layer]] = {
    keras.layers.BatchNormalization: WholeNormalization,
    keras.layers.Dropout: WholeDropout,
}
