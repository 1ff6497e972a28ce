"""System B (2024): a linear support-vector machine on the pixels."""

import keras
from keras import layers

from pipeline.models.layers import make_input, softmax_head
from pipeline.models.voting import voting_head


def build_linear_svm(*, image_size: int, num_classes: int, pool: int = 1, solver: str = "fast") -> keras.Model:
    """fast: one weight per value (pixel and colour) and class, and softmax: (3 × size² + 1) × classes parameters. svc: one per
    value and pair of classes, and their votes.

    pipeline.training.svm trains the machine; this model holds its hyperplanes, so that it can be saved, loaded and applied
    like every other family. pool: pixels, each side, that are averaged into one first.
    """
    inputs = make_input(image_size)
    x = inputs if solver == "svc" else layers.Rescaling(1 / 255)(inputs)
    x = layers.AveragePooling2D(pool)(x) if pool > 1 else x
    head = voting_head if solver == "svc" else softmax_head
    return keras.Model(inputs, head(layers.Flatten()(x), num_classes), name="linear_svm")
