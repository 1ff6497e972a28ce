"""System A (2023): three networks on Intel scenes that underfit, overfit and fit. System C (2024): its own network."""

import keras
from keras import layers

from pipeline.models.layers import (
    convolve,
    dense,
    make_dropout,
    make_input,
    make_l2,
    scale_filters,
    softmax_head,
    spread_dropout,
)


def build_underfit(
    *, image_size: int, num_classes: int, dropout: float, l2: float, width: float, head_units: int
) -> keras.Model:
    """Two convolutions of six filters; 1,973 parameters at 150 px and 5 classes."""
    filters = scale_filters(6, width)
    inputs = make_input(image_size)
    x = layers.Conv2D(filters, 3, strides=5, padding="same", activation="relu", kernel_regularizer=make_l2(l2))(inputs)
    x = layers.MaxPooling2D()(x)
    x = layers.MaxPooling2D()(convolve(x, filters, l2=l2))
    x = make_dropout(dropout)(dense(layers.Flatten()(x), head_units, l2=l2))
    return keras.Model(inputs, softmax_head(x, num_classes), name="underfit")


def build_overfit(
    *, image_size: int, num_classes: int, dropout: float, l2: float, width: float, head_units: int
) -> keras.Model:
    """Five convolutions and a dense layer of 256, unregularized; 3,667,269 parameters at 150 px and 5 classes."""
    x = inputs = make_input(image_size)
    for filters in (32, 64, 128, 256, 512):
        x = layers.MaxPooling2D()(convolve(x, scale_filters(filters, width), l2=l2))
        x = make_dropout(dropout)(x)
    x = dense(layers.Flatten()(x), head_units)
    return keras.Model(inputs, softmax_head(x, num_classes), name="overfit")


def build_optimized(
    *,
    image_size: int,
    num_classes: int,
    dropout: float,
    last_dropout: float,
    l2: float,
    width: float,
    last_filters: int,
    head_units: int,
) -> keras.Model:
    """`overfit` with normalized input, L2, dropout and twice the filters; 10,466,449 parameters at 150 px and 5 classes.

    dropout: after each pool but the last. last_dropout: after the last. last_filters: of the last convolution, times width.
    l2: on all but the first convolution.
    """
    inputs = make_input(image_size)
    x = layers.BatchNormalization()(inputs)
    filters, rates = (32, 64, 128, 256, last_filters), [*[dropout] * 4, last_dropout]
    for number, (count, rate) in enumerate(zip(filters, rates, strict=True)):
        x = convolve(x, scale_filters(count, width), l2=l2 if number else 0.0)
        x = make_dropout(rate)(layers.MaxPooling2D()(x))
    x = dense(layers.Flatten()(x), head_units)
    return keras.Model(inputs, softmax_head(x, num_classes), name="optimized")


def build_deep_cnn(
    *, image_size: int, num_classes: int, dropout: float, l2: float, width: float, head_units: int
) -> keras.Model:
    """System C's own: eight convolutions, each with a pool, both padded, so that any image size works; 1,306,918 parameters
    for 6 classes at 150 px, and at any size up to 256 px, where the last pool leaves one pixel.

    dropout: after the second pool; 0.1, 0.2, 0.3 and 0.3 more after the fourth, sixth, eighth and before the softmax.
    """
    inputs = make_input(image_size)
    x = layers.Rescaling(1 / 255)(inputs)
    *rates, last = spread_dropout(dropout, (0.0, 0.1, 0.2, 0.3, 0.3))
    for filters, rate in zip((32, 64, 128, 256), rates, strict=True):
        for _ in range(2):
            x = layers.MaxPooling2D(padding="same")(convolve(x, scale_filters(filters, width), l2=l2))
        x = make_dropout(rate)(x)
    x = make_dropout(last)(dense(layers.Flatten()(x), head_units, l2=l2))
    return keras.Model(inputs, softmax_head(x, num_classes), name="deep_cnn")
