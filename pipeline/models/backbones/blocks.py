"""A backbone's blocks, counted from 1, the first: their layers, and the outputs of some in one pass. Imports Keras."""

import math
import re
from collections.abc import Sequence

import keras

from pipeline.config.families import check_blocks
from pipeline.models.backbones.backbone import Backbone
from pipeline.runtime.errors import PipelineError

# What may come between the layer that names a block's end and the next block: it belongs to the block.
_FINISHING = tuple(getattr(keras.layers, name) for name in ("Add", "Activation", "Concatenate", "Dropout", "ReLU"))


def keep_weighted(group: list[keras.Layer]) -> list[keras.Layer]:
    """Those that have weights."""
    return [layer for layer in group if layer.weights]


def split_blocks(declared: Backbone, network: keras.Model) -> list[list[keras.Layer]]:
    """Layers by block, in order; layers after the end of the last block belong to it. A block has weights. Raises PipelineError
    for a network whose blocks have no numbers."""
    if not declared.block_end:
        raise PipelineError(
            "a preset's blocks have no numbers: expected features [], fine_tune.from null, fine_tune.layer_decay 1.0 and no "
            "blocks in fine_tune.unfreeze"
        )
    blocks: list[list[keras.Layer]] = [[]]
    for layer in network.layers:
        blocks[-1].append(layer)
        if re.fullmatch(declared.block_end, layer.name):
            blocks.append([])
    tail = blocks.pop()
    blocks[-1] += tail
    return [block for block in blocks if keep_weighted(block)]


def list_block_outputs(declared: Backbone, network: keras.Model) -> list[keras.KerasTensor]:
    """The output of each block, after its shortcut, but for those of a last block that ends the network: that output is the
    network's own."""
    ends = [
        next(layer for layer in reversed(block) if re.fullmatch(declared.block_end, layer.name))
        for block in split_blocks(declared, network)
    ]
    users = _find_users(network)
    outputs = [_finish(end, users).output for end in ends]
    return [output for output in outputs if output is not network.output]


def _find_users(network: keras.Model) -> dict[str, list[keras.Operation]]:
    """Name of a layer, or of another operation, to those that take its output."""
    users: dict[str, list[keras.Operation]] = {operation.name: [] for operation in network.operations}
    for operation in network.operations:
        for tensor in keras.tree.flatten(operation.input):
            source = tensor._keras_history.operation.name
            if source != operation.name:  # an input layer's input is its output
                users[source].append(operation)
    return users


def _finish(layer: keras.Operation, users: dict[str, list[keras.Operation]]) -> keras.Operation:
    """The last layer of a block whose end `layer` names: in an EfficientNet the shortcut is added after it, in an Inception a
    pool may be one of several branches."""
    while len(following := users[layer.name]) == 1 and isinstance(following[0], _FINISHING):
        layer = following[0]
    return layer


def tap_blocks(name: str, declared: Backbone, network: keras.Model, blocks: Sequence[int]) -> keras.Model:
    """The same network, with its layers and weights, and with the outputs of these blocks too: (its own output, that of each
    block). Without blocks, the network itself. Raises PipelineError for a block that does not exist."""
    if not blocks:
        return network
    outputs = list_block_outputs(declared, network)
    check_blocks(name, blocks, count=len(outputs), parameter=f"recipes.{name}.features")
    # The network's own output first: layers, and so weights, stay in its order.
    tapped = keras.Model(network.input, [network.output, *(outputs[block - 1] for block in blocks)], name=network.name)
    tapped._call_context_args = network._call_context_args  # see build_backbone
    return tapped


def cut_after(name: str, declared: Backbone, network: keras.Model, cut: int) -> tuple[keras.Model, keras.Model]:
    """A network in two, which share its layers: images to the output of block `cut`, and from there to the network's own output
    and those of the blocks after it. Raises PipelineError for a block that does not exist, or past which anything flows."""
    outputs = list_block_outputs(declared, network)
    check_blocks(name, [cut], count=len(outputs), parameter=f"recipes.{name}.fine_tune.from")
    here = outputs[cut - 1]
    try:
        stem = keras.Model(network.input, here, name=f"{network.name}_stem")
        tail = keras.Model(here, [network.output, *outputs[cut:]], name=f"{network.name}_tail")
    except ValueError as error:  # Keras: the graph is disconnected
        raise PipelineError(
            f"recipes.{name}.fine_tune.from: block {cut} of {name} is not all that flows on there: expected a block that "
            f"ends in one place, received block {cut}; try the one after it"
        ) from error
    for part in (stem, tail):
        part._call_context_args = network._call_context_args  # see build_backbone
    return stem, tail


def count_multiply_adds(network: keras.Model) -> int:
    """Of one image, in convolutions and dense layers, which are nearly all."""
    return sum(_count_layer(layer) for layer in network.layers)


def _count_layer(layer: keras.Layer) -> int:
    if not isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D | keras.layers.Dense):
        return 0
    places = math.prod(layer.output.shape[1:-1])
    return places * math.prod(layer.kernel.shape)
