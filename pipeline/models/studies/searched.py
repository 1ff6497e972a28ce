"""System C (2024): the space of its Bayesian search as one family; the recipe says which network of that space is built."""

import keras

from pipeline.models.layers import convolve, dense, make_dropout, make_input, scale_filters, softmax_head


def build_searched_cnn(
    *,
    image_size: int,
    num_classes: int,
    blocks: int,
    layers: int,
    filters: int,
    kernel: int,
    head_units: int,
    dropout: float,
    l2: float,
    width: float,
) -> keras.Model:
    """`blocks` times `layers` convolutions and a pool, all padded, so that any image size works; a dense layer, softmax.

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
