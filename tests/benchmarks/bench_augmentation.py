"""One fused warp against Keras' RandomFlip, RandomRotation and RandomZoom, both in a parallel map over batches of 150 px.

Run: python tests/benchmarks/bench_augmentation.py. Target: 2x.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.runtime.tensorflow import configure_tensorflow
from tests.benchmarks.pairs import compare, rate

BATCH, BATCHES, SIZE = 32, 20, 150


def main() -> None:
    configure_tensorflow(onednn=True, threads=2, portable=True)
    import keras
    import numpy as np
    import tensorflow as tf

    from pipeline.data.augmentation import Augmentation, augment_batch, draw_numbers

    images = np.random.default_rng(0).integers(0, 256, (BATCH, SIZE, SIZE, 3), np.uint8)
    batches = tf.data.Dataset.from_tensors(images).repeat(BATCHES)
    layers = keras.Sequential(
        [keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.1), keras.layers.RandomZoom(0.1)]
    )
    how = Augmentation("horizontal", 0.1, 0.1)
    numbers = draw_numbers(BATCH, seed=1, epoch=0)
    ours = batches.map(lambda x: augment_batch(x, numbers, how), tf.data.AUTOTUNE).prefetch(2)
    theirs = batches.map(lambda x: layers(tf.cast(x, tf.float32), training=True), tf.data.AUTOTUNE).prefetch(2)
    count = BATCH * BATCHES
    compare(
        "fused augmentation",
        lambda: rate(count, lambda: [None for _ in ours]),
        lambda: rate(count, lambda: [None for _ in theirs]),
    )


if __name__ == "__main__":
    main()
