"""System B (2024): a linear support-vector machine on the pixels; and the same on a backbone's pooled features."""

import keras
from keras import layers

from pipeline.models.transfer import build_transfer


def build_linear_svm(*, image_size: int, num_classes: int, pool: int = 1) -> keras.Model:
    """One weight a pixel and class, and softmax: (3 × size² + 1) × classes parameters.

    The machine is trained by scikit-learn (pipeline.training.svm); this holds its hyperplanes, so that it is saved,
    loaded and applied as every other family. pool: pixels a side that are averaged into one first.
    """
    inputs = keras.Input((image_size, image_size, 3), name="image")
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.AveragePooling2D(pool)(x) if pool > 1 else x
    x = layers.Flatten()(x)
    outputs = layers.Dense(num_classes, activation="softmax", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="linear_svm")


def build_transfer_svm(
    *,
    backbone: str,
    image_size: int,
    num_classes: int,
    input_size: int | None = None,
    weights: str = "none",
    network: keras.Model | None = None,
) -> keras.Model:
    """A backbone, global average pooling, one weight a feature and class, softmax; see `build_transfer`."""
    return build_transfer(
        backbone=backbone,
        image_size=image_size,
        num_classes=num_classes,
        input_size=input_size,
        weights=weights,
        network=network,
        head_units=0,
    )
