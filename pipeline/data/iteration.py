"""How datasets of TensorFlow are iterated over. Imports TensorFlow."""

import tensorflow as tf

_OPTIONS = tf.data.Options()
_OPTIONS.autotune.enabled = False


def read_untuned(batches: tf.data.Dataset) -> tf.data.Dataset:
    """The same elements in the same order, without TensorFlow's thread that tunes buffers and calls during an iteration.

    That thread sleeps from 10 ms to a minute, twice as long each time, and the end of an iteration may wait for it: with
    TensorFlow 2.21, about half of all fits took as long as the next power of two times 10 ms (1.28 instead of 0.65 s, 10.2
    instead of 6.6 s). Without it, AUTOTUNE means as many calls as there are threads, and a buffer that grows where it is empty.
    """
    return batches.with_options(_OPTIONS)
