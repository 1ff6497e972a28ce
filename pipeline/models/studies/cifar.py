"""System D (2023): three convolutional networks on CIFAR-10, from scratch. Pixels are scaled to 0–1 first."""

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


def build_cifar_small(
    *, image_size: int, num_classes: int, dropout: float, l2: float, width: float, head_units: int
) -> keras.Model:
    """Three unpadded convolutions; 122,570 parameters at 32 px and 10 classes."""
    inputs = make_input(image_size)
    x = layers.Rescaling(1 / 255)(inputs)
    for filters in (32, 64):
        x = layers.MaxPooling2D()(convolve(x, scale_filters(filters, width), l2=l2, padding="valid"))
    x = convolve(x, scale_filters(64, width), l2=l2, padding="valid")
    x = make_dropout(dropout)(dense(layers.Flatten()(x), head_units, l2=l2))
    return keras.Model(inputs, softmax_head(x, num_classes), name="cifar_small")


def build_cifar_dropout(
    *, image_size: int, num_classes: int, dropout: float, l2: float, width: float, head_units: int
) -> keras.Model:
    """Three unpadded convolutions with a pool each, two dense layers; 167,818 parameters at 32 px and 10 classes."""
    inputs = make_input(image_size)
    x = layers.Rescaling(1 / 255)(inputs)
    for filters in (32, 64, 128):
        x = layers.MaxPooling2D()(convolve(x, scale_filters(filters, width), l2=l2, padding="valid"))
    x = make_dropout(dropout)(dense(layers.Flatten()(x), 128, l2=l2))
    x = dense(x, head_units, l2=l2)
    return keras.Model(inputs, softmax_head(x, num_classes), name="cifar_dropout")


def build_cifar_elu(
    *, image_size: int, num_classes: int, dropout: float, l2: float, width: float, head_units: int
) -> keras.Model:
    """Three blocks of (convolution, ELU, batch normalization) × 2; 309,290 parameters at 32 px and 10 classes.

    dropout: after the first block; 0.1 and 0.2 more after the second and third. l2: on the convolutions.
    """
    inputs = make_input(image_size)
    x = layers.Rescaling(1 / 255)(inputs)
    for filters, rate in zip((32, 64, 128), spread_dropout(dropout, (0.0, 0.1, 0.2)), strict=True):
        for _ in range(2):
            x = layers.ELU()(convolve(x, scale_filters(filters, width), l2=l2, activation=None))
            x = layers.BatchNormalization()(x)
        x = make_dropout(rate)(layers.MaxPooling2D()(x))
    x = dense(layers.Flatten()(x), head_units, l2=l2)
    return keras.Model(inputs, softmax_head(x, num_classes), name="cifar_elu")
