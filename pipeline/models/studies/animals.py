"""System E (2024): a dense network and three convolutional ones on ten animals. Pixels are scaled to 0–1 first."""

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

_DENSE_SIDE = 32  # pixels, each side, to which the dense network resizes its images


def build_dense_ann(
    *, image_size: int, num_classes: int, dropout: float, l2: float, width: float, head_units: int
) -> keras.Model:
    """Two dense layers on 32 × 32 pixels, whatever the size of the images; 8,401,930 parameters for 10 classes."""
    x = inputs = make_input(image_size)
    if image_size != _DENSE_SIDE:
        x = layers.Resizing(_DENSE_SIDE, _DENSE_SIDE)(x)
    x = layers.Flatten()(layers.Rescaling(1 / 255)(x))
    for units in (2048, head_units) if head_units else (2048,):
        x = make_dropout(dropout)(dense(x, scale_filters(units, width), l2=l2))
    return keras.Model(inputs, softmax_head(x, num_classes), name="dense_ann")


def build_animals_cnn(
    *, image_size: int, num_classes: int, dropout: float, l2: float, width: float, head_units: int
) -> keras.Model:
    """Three convolutions and a dense layer of 64; 5,631,722 parameters at 299 px and 10 classes.

    dropout: after the last pool; 0.3 more before the softmax. `animals_cnn_augmented` is the same network.
    """
    return _build("animals_cnn", (16, 32, 64), head_units, image_size, num_classes, dropout=dropout, l2=l2, width=width)


def build_animals_cnn_wide(
    *, image_size: int, num_classes: int, dropout: float, l2: float, width: float, head_units: int
) -> keras.Model:
    """The same with a fourth convolution, of 128, and a dense layer of 128 instead of 64; 5,407,274 parameters at 299 px
    and 10 classes."""
    return _build(
        "animals_cnn_wide",
        (16, 32, 64, 128),
        head_units,
        image_size,
        num_classes,
        dropout=dropout,
        l2=l2,
        width=width,
    )


def _build(
    name: str,
    convolutions: tuple[int, ...],
    head_units: int,
    image_size: int,
    num_classes: int,
    *,
    dropout: float,
    l2: float,
    width: float,
) -> keras.Model:
    after_pools, before_softmax = spread_dropout(dropout, (0.0, 0.3))
    inputs = make_input(image_size)
    x = layers.Rescaling(1 / 255)(inputs)
    for filters in convolutions:
        x = layers.MaxPooling2D()(convolve(x, scale_filters(filters, width), l2=l2))
    x = dense(layers.Flatten()(make_dropout(after_pools)(x)), head_units, l2=l2)
    x = make_dropout(before_softmax)(x)
    return keras.Model(inputs, softmax_head(x, num_classes), name=name)
