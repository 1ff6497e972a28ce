"""Networks trained on ImageNet, with a new head: systems C and E (2024), and two more. Imports Keras.

Each takes raw 0–255 pixels and does its own preprocessing, inside the model. (System C fed raw pixels to all of them.)
"""

import hashlib
import re
import warnings
from importlib import import_module
from pathlib import Path

import keras

from pipeline.models.backbones.backbone import Backbone
from pipeline.runtime.errors import PipelineError

# "module:name" of each: named, not imported, so that a change in one module concerns the families on its backbones alone.
_KERAS, _LITE = "pipeline.models.backbones.keras_applications", "pipeline.models.backbones.efficientnet_lite"
BACKBONES: dict[str, str] = {
    "mobilenet": f"{_KERAS}:MOBILENET",
    "vgg16": f"{_KERAS}:VGG16",
    "resnet50v2": f"{_KERAS}:RESNET50V2",
    "inceptionv3": f"{_KERAS}:INCEPTIONV3",
    "mobilenetv3": f"{_KERAS}:MOBILENETV3",
    "efficientnetv2b0": f"{_KERAS}:EFFICIENTNETV2B0",
    "efficientnet_lite0": f"{_LITE}:EFFICIENTNET_LITE0",
}


def load_backbone(name: str) -> Backbone:
    """The declaration behind a name of BACKBONES."""
    module, _, constant = BACKBONES[name].partition(":")
    return getattr(import_module(module), constant)


def build_backbone(name: str, input_size: int, weights: str = "none", *, family: str | None = None) -> keras.Model:
    """The convolutional part of BACKBONES[name]: scaled images in, feature maps out; frozen.

    weights: imagenet, none (random, the same each time) or a file that Keras has saved: `.weights.h5`, or a whole `.keras`
    model of the same part. family: whose recipe an error names; None: that of the backbone's own name. Raises PipelineError
    where they can't be had or do not fit.
    """
    if weights == "none":
        keras.utils.set_random_seed(1)
    backbone = load_backbone(name).build(input_size)
    if weights == "imagenet":
        load_backbone(name).load(backbone)
    elif weights != "none":
        _load_file(backbone, name, Path(weights), f"recipes.{family or name}.backbone.weights")
    backbone.trainable = False
    # Keras would hand `training=True` of the outer model's fit on to a network that was called with training=False, and
    # ImageNet's statistics of batch normalization would drift. There is no public way to say that the call means it.
    backbone._call_context_args = set()
    return backbone


def _load_file(backbone: keras.Model, name: str, file: Path, parameter: str) -> None:
    if not file.exists():
        raise PipelineError(f"{parameter}: {file} is not here: expected imagenet, none or a file of weights")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Keras only warns of layers that it could not fill
            if file.suffix == ".keras":
                backbone.set_weights(keras.models.load_model(file, compile=False, safe_mode=True).get_weights())
            else:
                backbone.load_weights(file)
    except Exception as error:  # Keras raises whatever the difference makes it stumble over
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise PipelineError(
            f"{parameter}: {file} does not fit {name} without its top: expected "
            f"{backbone.count_params():,} numbers in {len(backbone.weights)} arrays; Keras says: {reason}"
        ) from error


def unfreeze(name: str, backbone: keras.Model, which: str | int) -> None:
    """Makes the last layers of a backbone trainable.

    which: all; a number of layers that have weights; or as text "2 blocks" or "20 layers". Raises PipelineError if there
    are not so many.
    """
    if which == "all":
        backbone.trainable = True
        return
    number, _, unit = str(which).partition(" ")
    groups = _split_blocks(name, backbone) if unit.startswith("block") else [[x] for x in _weighted(backbone.layers)]
    if int(number) > len(groups):
        what = "blocks" if unit.startswith("block") else "layers with weights"
        raise PipelineError(
            f"recipes.{name}.fine_tune.unfreeze: {name} has {len(groups)} {what}: expected at most so many, received {which}"
        )
    backbone.trainable = True
    chosen = {id(layer) for group in groups[len(groups) - int(number) :] for layer in group}
    for layer in backbone.layers:
        layer.trainable = id(layer) in chosen


def _weighted(group: list[keras.Layer]) -> list[keras.Layer]:
    return [layer for layer in group if layer.weights]


def _split_blocks(name: str, backbone: keras.Model) -> list[list[keras.Layer]]:
    """Layers by block, in order; what comes after the last block's end counts to it."""
    blocks: list[list[keras.Layer]] = [[]]
    for layer in backbone.layers:
        blocks[-1].append(layer)
        if re.fullmatch(load_backbone(name).block_end, layer.name):
            blocks.append([])
    tail = blocks.pop()
    blocks[-1] += tail
    return [block for block in blocks if _weighted(block)]


def compute_weights_digest(backbone: keras.Model) -> str:
    """Which weights these are: SHA-256 over all of them, 64 hex digits."""
    digest = hashlib.sha256()
    for array in backbone.get_weights():
        digest.update(array.tobytes())
    return digest.hexdigest()
