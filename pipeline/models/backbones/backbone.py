"""What a backbone consists of, and which weights it has. Imports Keras."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import keras


@dataclass(frozen=True)
class Backbone:
    """build: input size in pixels to the convolutional part, without weights. load: fills it with ImageNet's weights.
    scale: RGB 0–255 to the range that it was trained on. block_end: pattern for the names of the layers that end a block;
    empty: its blocks have no numbers. build_preset: in place of the first two, see `pipeline.models.backbones.hub`."""

    build: Callable[[int], keras.Model]
    load: Callable[[keras.Model], None]
    scale: Callable[[keras.KerasTensor], keras.KerasTensor]
    block_end: str
    build_preset: Callable[..., keras.Model] | None = None


def compute_weights_digest(backbone: keras.Model) -> str:
    """SHA-256 over all weights, 64 hex digits."""
    digest = hashlib.sha256()
    for array in backbone.get_weights():
        digest.update(array.tobytes())
    return digest.hexdigest()
