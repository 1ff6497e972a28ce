"""A mobilenet of two blocks: as fast to build, trace and save as a network of a study. Imports Keras."""

from dataclasses import replace

import keras
import pytest
from keras import layers

from pipeline.models.backbones import keras_applications

NUM_BLOCKS, NUM_FEATURES = 3, 64


def build_small(input_size: int) -> keras.Model:
    """The first convolution and two blocks, with mobilenet's names and layers."""
    inputs = keras.Input((input_size, input_size, 3))
    x = _finish(layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="conv1")(inputs), "conv1")
    for number, filters in enumerate((16, NUM_FEATURES), start=1):
        name = f"conv_dw_{number}"
        x = _finish(layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False, name=name)(x), name)
        name = f"conv_pw_{number}"
        x = _finish(layers.Conv2D(filters, 1, use_bias=False, name=name)(x), name)
    return keras.Model(inputs, x, name="mobilenet")


def _finish(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.ReLU(6.0, name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_bn")(x))


def shrink_mobilenet(patch: pytest.MonkeyPatch) -> None:
    """Makes the backbone mobilenet the small one. The real one is trained in test_every_family."""
    patch.setattr(keras_applications, "MOBILENET", replace(keras_applications.MOBILENET, build=build_small))
