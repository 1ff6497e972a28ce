"""System B (2024): bears against pandas."""

import keras
from keras import layers

from pipeline.models.layers import (
    convolve,
    dense,
    make_dropout,
    make_input,
    scale_filters,
    softmax_head,
    spread_dropout,
)


def build_vgg_blocks(
    *, image_size: int, num_classes: int, dropout: float, l2: float, width: float, head_units: int
) -> keras.Model:
    """Three blocks of two convolutions and a pool, two dense layers of 128; 4,498,217 parameters at 128 px and 2 classes.

    The Normalization layer gets the mean and variance of the training images before training begins. dropout: after the
    first two blocks; 0.1 more after the dense layers. l2: on the dense layers.
    """
    inputs = make_input(image_size)
    x = layers.Normalization()(inputs)
    *after_blocks, first, second = spread_dropout(dropout, (0.0, 0.0, 0.1, 0.1))
    for filters, rate in zip((32, 64, 128), [*after_blocks, 0.0], strict=True):
        for _ in range(2):
            x = convolve(x, scale_filters(filters, width))
        x = make_dropout(rate)(layers.MaxPooling2D()(x))
    x = make_dropout(first)(dense(layers.Flatten()(x), 128, l2=l2))
    x = make_dropout(second)(dense(x, head_units, l2=l2)) if head_units else x
    return keras.Model(inputs, softmax_head(x, num_classes), name="vgg_blocks")
