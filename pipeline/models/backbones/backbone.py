"""What a backbone is made of. Imports Keras."""

from collections.abc import Callable
from dataclasses import dataclass

import keras


@dataclass(frozen=True)
class Backbone:
    """build: input size to the convolutional part, without weights. load: fills it with ImageNet's. scale: RGB 0–255 to
    what it was trained on. block_end: pattern of the names of layers with which a block ends. head_units: of the dense
    layer between the pooled features and the softmax; 0 = none."""

    build: Callable[[int], keras.Model]
    load: Callable[[keras.Model], None]
    scale: Callable[[keras.KerasTensor], keras.KerasTensor]
    block_end: str
    head_units: int = 0
