"""System A (2023): three convolutional networks on Intel scenes, fitted too little, too much and well."""

from collections.abc import Callable

import keras
from keras import layers


def build_underfit(
    *, image_size: int, num_classes: int, dropout: float = 0.0, l2: float = 0.0, width: float = 1.0
) -> keras.Model:
    """Two convolutions of six filters; 1,973 parameters at 150 px and 5 classes."""
    filters = scale_filters(6, width)
    inputs = keras.Input((image_size, image_size, 3), name="image")
    x = layers.Conv2D(filters, 3, strides=5, padding="same", activation="relu", kernel_regularizer=_l2(l2))(inputs)
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_regularizer=_l2(l2))(x)
    x = layers.MaxPooling2D()(x)
    x = _dropout(dropout)(layers.Flatten()(x))
    return keras.Model(inputs, _classify(x, num_classes), name="underfit")


def build_overfit(
    *, image_size: int, num_classes: int, dropout: float = 0.0, l2: float = 0.0, width: float = 1.0
) -> keras.Model:
    """Five convolutions and a dense layer of 256, unregularised; 3,667,269 parameters at 150 px and 5 classes."""
    inputs = keras.Input((image_size, image_size, 3), name="image")
    x = inputs
    for filters in (32, 64, 128, 256, 512):
        x = layers.Conv2D(
            scale_filters(filters, width), 3, padding="same", activation="relu", kernel_regularizer=_l2(l2)
        )(x)
        x = _dropout(dropout)(layers.MaxPooling2D()(x))
    x = layers.Dense(256, activation="relu")(layers.Flatten()(x))
    return keras.Model(inputs, _classify(x, num_classes), name="overfit")


def build_optimized(
    *, image_size: int, num_classes: int, dropout: float = 0.3, l2: float = 1e-4, width: float = 2.0
) -> keras.Model:
    """`overfit` with normalised input, L2, dropout and twice the filters; 10,466,449 parameters at 150 px and 5 classes.

    dropout: after each pool; 0.1 more after the last, unless it is 0. l2: on all but the first convolution.
    """
    inputs = keras.Input((image_size, image_size, 3), name="image")
    x = layers.BatchNormalization()(inputs)
    rates = [dropout] * 4 + [min(dropout + 0.1, 0.95) if dropout else 0.0]
    for number, (filters, rate) in enumerate(zip((32, 64, 128, 256, 512), rates, strict=True)):
        regularizer = _l2(l2) if number else None
        x = layers.Conv2D(
            scale_filters(filters, width), 3, padding="same", activation="relu", kernel_regularizer=regularizer
        )(x)
        x = _dropout(rate)(layers.MaxPooling2D()(x))
    x = layers.Dense(256, activation="relu")(layers.Flatten()(x))
    return keras.Model(inputs, _classify(x, num_classes), name="optimized")


def scale_filters(filters: int, width: float) -> int:
    """The number of filters at a width factor; at least one."""
    return max(1, round(filters * width))


def _l2(weight: float) -> keras.Regularizer | None:
    return keras.regularizers.L2(weight) if weight else None


def _dropout(rate: float) -> Callable[[keras.KerasTensor], keras.KerasTensor]:
    # No layer at all at rate 0, so that the published layer list is what is built.
    return layers.Dropout(rate) if rate else (lambda x: x)


def _classify(x: keras.KerasTensor, num_classes: int) -> keras.KerasTensor:
    return layers.Dense(num_classes, activation="softmax", name="probabilities")(x)
