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
    *,
    image_size: int,
    num_classes: int,
    dropout: float = 0.15,
    l2: float = 1e-3,
    width: float = 1.0,
    head_units: int = 128,
) -> keras.Model:
    """Three blocks of two convolutions and a pool, two dense layers of 128; 4,498,217 parameters at 128 px and 2 classes.

    The Normalization layer takes the mean and variance of the training images before training begins. dropout: after the
    first two blocks; 0.1 more after the dense layers. l2: on the dense layers.
    """
    inputs = make_input(image_size)
    x = layers.Normalization()(inputs)
    *after_blocks, first, second = spread_dropout(dropout, (0.15, 0.15, 0.25, 0.25))
    for filters, rate in zip((32, 64, 128), [*after_blocks, 0.0], strict=True):
        for _ in range(2):
            x = convolve(x, scale_filters(filters, width))
        x = make_dropout(rate)(layers.MaxPooling2D()(x))
    x = make_dropout(first)(dense(layers.Flatten()(x), 128, l2=l2))
    x = make_dropout(second)(dense(x, head_units, l2=l2)) if head_units else x
    return keras.Model(inputs, softmax_head(x, num_classes), name="vgg_blocks")
