"""System C (2024): the space of its Bayesian search as one family, whose recipe says which network of it is built."""

import keras

from pipeline.models.layers import convolve, dense, make_dropout, make_input, scale_filters, softmax_head


def build_searched_cnn(
    *,
    image_size: int,
    num_classes: int,
    blocks: int = 3,
    layers: int = 1,
    filters: int = 32,
    kernel: int = 3,
    head_units: int = 128,
    dropout: float = 0.0,
    l2: float = 0.0,
    width: float = 1.0,
) -> keras.Model:
    """`blocks` times `layers` convolutions and a pool, all padded, so that any size does; a dense layer, softmax.

    filters: of every convolution. kernel: pixels, each side, of every convolution. dropout: before the softmax.
    """
    inputs = make_input(image_size)
    x = keras.layers.Rescaling(1 / 255)(inputs)
    for _ in range(blocks):
        for _ in range(layers):
            x = convolve(x, scale_filters(filters, width), kernel=kernel, l2=l2)
        x = keras.layers.MaxPooling2D(padding="same")(x)
    x = make_dropout(dropout)(dense(keras.layers.Flatten()(x), head_units, l2=l2))
    return keras.Model(inputs, softmax_head(x, num_classes), name="searched_cnn")
