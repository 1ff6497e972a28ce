"""System B (2024): a linear support-vector machine on the pixels."""

import keras
from keras import layers


def build_linear_svm(*, image_size: int, num_classes: int, pool: int = 1) -> keras.Model:
    """One weight a pixel and class, and softmax: (3 × size² + 1) × classes parameters.

    The machine is trained by scikit-learn (stages.training.linear); this holds its hyperplanes, so that it is saved,
    loaded and applied as every other family. pool: pixels a side that are averaged into one first.
    """
    inputs = keras.Input((image_size, image_size, 3), name="image")
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.AveragePooling2D(pool)(x) if pool > 1 else x
    x = layers.Flatten()(x)
    outputs = layers.Dense(num_classes, activation="softmax", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="linear_svm")
