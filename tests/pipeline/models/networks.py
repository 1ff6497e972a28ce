"""Backbones for tests: their smallest sizes and their blocks, and what tests ask of them."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from pipeline.models.backbones.loader import build_backbone
from pipeline.runtime.errors import PipelineError

SMALLEST = {"inceptionv3": 75}  # pixels; the others' is 32
# The names of the layers that end the blocks of the networks' authors.
RESNET_BLOCKS, EFFICIENTNET_BLOCKS = (3, 4, 6, 3), (1, 2, 2, 3, 5, 8)
BLOCK_ENDS = {
    "mobilenet": ["conv1_relu", *(f"conv_pw_{i}_relu" for i in range(1, 14))],
    "vgg16": [f"block{i}_pool" for i in range(1, 6)],
    "resnet50v2": [
        "pool1_pool",
        *(f"conv{i}_block{j + 1}_out" for i, n in enumerate(RESNET_BLOCKS, 2) for j in range(n)),
    ],
    "inceptionv3": [f"mixed{i}" for i in range(11)],
    "mobilenetv3": ["expanded_conv_project_bn", *(f"expanded_conv_{i}_project_bn" for i in range(1, 15))],
    "efficientnetv2b0": [
        f"block{i}{'abcdefgh'[j]}_project_bn" for i, n in enumerate(EFFICIENTNET_BLOCKS, 1) for j in range(n)
    ],
    "efficientnet_lite0": [f"_blocks_{i}__bn2" for i in range(16)],
    "efficientnet_lite1": [f"_blocks_{i}__bn2" for i in range(21)],
    "efficientnet_lite2": [f"_blocks_{i}__bn2" for i in range(21)],
}
_MORE = ("efficientnet_lite1", "efficientnet_lite2")  # of the kind of efficientnet_lite0
EVERY_BACKBONE = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.ci] if name in _MORE else []) for name in BLOCK_ENDS]
)


def size_of(name: str) -> int:
    return SMALLEST.get(name, 32)


@cache
def build_once(name: str) -> Any:
    """A backbone without ImageNet's weights, at its smallest size; shared, so it has to be left as it was."""
    return build_backbone(name, size_of(name))


def refusal(call, *arguments, **options) -> str:
    with pytest.raises(PipelineError) as caught:
        call(*arguments, **options)
    line = str(caught.value)
    assert "\n" not in line
    return line


def noise(count: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, size, size, 3)).astype(np.float32)


def predict(model, images: np.ndarray, *, training: bool = False) -> np.ndarray:
    return model(images, training=training).numpy()


def count_trainable(model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def check_same_weights(model, other) -> None:
    for mine, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def weighted_layers(model) -> list:
    return [layer for layer in model.layers if layer.weights]


def names_of(layers) -> set[str]:
    return {layer.name for layer in layers}


def trainable_names(model) -> set[str]:
    """Of the layers of which something changes in training."""
    return {layer.name for layer in model.layers if layer.trainable_weights}


def upstream_names(model, name: str) -> set[str]:
    """A layer and all those from which something flows into it."""
    found, left = set(), [model.get_layer(name)]
    while left:
        layer = left.pop()
        if layer.name in found:
            continue
        found.add(layer.name)
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        left += [tensor._keras_history.operation for tensor in inputs if tensor is not layer.output]
    return found
