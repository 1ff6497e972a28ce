"""What may stand in front of a family's own layers: augmentation and resizing. Imports Keras."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers

from stages.families.pieces import begin, resize

_FLIPS = {"horizontal": "horizontal", "vertical": "vertical", "both": "horizontal_and_vertical"}


def put_in_front(model: keras.Model, *, image_size: int, augment: Mapping[str, Any]) -> keras.Model:
    """`model` on images of another size, which are resized to its own, and changed at random while it trains.

    augment: flip, rotation, zoom, contrast; see `train.augment` in params.yaml.
    """
    inputs = begin(image_size)
    x = resize(_augment(inputs, augment), model.input_shape[1])
    return keras.Model(inputs, model(x), name=model.name)


def _augment(x: keras.KerasTensor, augment: Mapping[str, Any]) -> keras.KerasTensor:
    if augment.get("flip", "none") != "none":
        x = layers.RandomFlip(_FLIPS[augment["flip"]])(x)
    if augment.get("rotation"):
        x = layers.RandomRotation(augment["rotation"])(x)
    if augment.get("zoom"):
        x = layers.RandomZoom(augment["zoom"])(x)
    if augment.get("contrast"):
        x = layers.RandomContrast(augment["contrast"])(x)
    return x
