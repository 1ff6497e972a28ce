"""Networks trained on ImageNet, with a new head: systems C and E (2024), and two more. Imports Keras.

Each takes raw 0–255 pixels and does its own preprocessing, inside the model. (System C fed raw pixels to all of them.)
"""

import hashlib
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
from keras import applications, layers

from stages.errors import PipelineError
from stages.families.efficientnet_lite import build_efficientnet_lite0, load_imagenet_weights
from stages.families.pieces import begin, classify, connect, make_dropout, resize, scale_filters


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


def _to_unit_range(x: keras.KerasTensor) -> keras.KerasTensor:
    """-1 to 1."""
    return layers.Rescaling(1 / 127.5, offset=-1.0)(x)


def _to_caffe(x: keras.KerasTensor) -> keras.KerasTensor:
    """BGR, centred on ImageNet's mean: the VGG networks come from Caffe."""
    return layers.Normalization(mean=[103.939, 116.779, 123.68], variance=[1.0, 1.0, 1.0])(x[..., ::-1])


def _to_lite(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Rescaling(1 / 128, offset=-127 / 128)(x)


def _build_lite(input_size: int) -> keras.Model:
    return build_efficientnet_lite0(input_size=input_size)


def _unchanged(x: keras.KerasTensor) -> keras.KerasTensor:
    """The network scales by itself."""
    return x


def _application(
    builder: Callable[..., keras.Model],
    scale: Callable[[keras.KerasTensor], keras.KerasTensor],
    block_end: str,
    head_units: int = 0,
) -> Backbone:
    """One of Keras' own, whose ImageNet weights Keras downloads, checks and keeps in its cache (~/.keras)."""

    def build(input_size: int) -> keras.Model:
        return builder(include_top=False, weights=None, input_shape=(input_size, input_size, 3))

    def load(model: keras.Model) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that the size is not the one of the weights: no convolution minds
                published = builder(include_top=False, weights="imagenet", input_shape=model.input_shape[1:])
        except Exception as error:  # whatever the network makes it stumble over; a wrong checksum too
            raise PipelineError(
                f"the ImageNet weights of {builder.__name__} can't be had ({type(error).__name__}: {error}): download them "
                "elsewhere and name the file in recipes.<family>.backbone.weights, or set that to none, or take the family "
                "efficientnet_lite0, which brings its own"
            ) from error
        model.set_weights(published.get_weights())

    return Backbone(build, load, scale, block_end, head_units)


BACKBONES: dict[str, Backbone] = {
    "mobilenet": _application(applications.MobileNet, _to_unit_range, r"conv1_relu|conv_pw_\d+_relu"),
    "vgg16": _application(applications.VGG16, _to_caffe, r"block\d_pool"),
    "resnet50v2": _application(applications.ResNet50V2, _to_unit_range, r"pool1_pool|conv\d_block\d_out"),
    "inceptionv3": _application(applications.InceptionV3, _to_unit_range, r"max_pooling2d(_\d+)?|mixed\d+", 1024),
    "mobilenetv3": _application(applications.MobileNetV3Large, _unchanged, r"expanded_conv(_\d+)?_project_bn"),
    "efficientnetv2b0": _application(applications.EfficientNetV2B0, _unchanged, r"block\d[a-z]_project_bn"),
    "efficientnet_lite0": Backbone(_build_lite, load_imagenet_weights, _to_lite, r"_blocks_\d+__bn2", 512),
}


def build_backbone(name: str, input_size: int, weights: str = "none", *, family: str | None = None) -> keras.Model:
    """The convolutional part of BACKBONES[name]: scaled images in, feature maps out; frozen.

    weights: imagenet, none (random, the same each time) or a file that Keras has saved: `.weights.h5`, or a whole `.keras`
    model of the same part. family: whose recipe an error names; None: that of the backbone's own name. Raises PipelineError
    where they can't be had or do not fit.
    """
    if weights == "none":
        keras.utils.set_random_seed(1)
    backbone = BACKBONES[name].build(input_size)
    if weights == "imagenet":
        BACKBONES[name].load(backbone)
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


def make_feature_model(name: str, backbone: keras.Model, *, image_size: int, input_size: int) -> keras.Model:
    """Pixels to pooled features: RGB 0–255, (batch, image_size, image_size, 3), to float32 (batch, features)."""
    inputs = begin(image_size)
    return keras.Model(inputs, _extract(inputs, name, backbone, input_size), name=f"{name}_features")


def _extract(x: keras.KerasTensor, name: str, backbone: keras.Model, input_size: int) -> keras.KerasTensor:
    # training=False: batch normalization keeps ImageNet's statistics, also while its weights are fine-tuned.
    return layers.GlobalAveragePooling2D(name="features")(
        backbone(BACKBONES[name].scale(resize(x, input_size)), training=False)
    )


def add_head(
    features: keras.KerasTensor,
    *,
    num_classes: int,
    head_units: int,
    dropout: float = 0.0,
    l2: float = 0.0,
    width: float = 1.0,
) -> keras.KerasTensor:
    """Pooled features to probabilities: a dense layer of `head_units` × width if there is one, dropout, softmax."""
    if head_units:
        features = connect(features, scale_filters(head_units, width), l2=l2, name="hidden")
    return classify(make_dropout(dropout)(features), num_classes)


def build_head(name: str, num_features: int, **settings: float) -> keras.Model:
    """`add_head` on its own: what trains on cached features, float32 (batch, num_features)."""
    inputs = keras.Input((num_features,), name="features")
    return keras.Model(inputs, add_head(inputs, **_complete(name, settings)), name=f"{name}_head")


def build_transfer(
    *,
    backbone: str,
    image_size: int,
    num_classes: int,
    input_size: int | None = None,
    weights: str = "none",
    network: keras.Model | None = None,
    **settings: float,
) -> keras.Model:
    """The whole: pixels, resizing to input_size, preprocessing, frozen backbone, global average pooling, head.

    backbone: a name of BACKBONES. input_size: pixels; None = image_size. weights: see `build_backbone`. network: a
    backbone that is there already, instead. settings: head_units, dropout, l2, width, as `add_head` has them; the width is
    that of the head, as a backbone's filters are given.
    """
    size = input_size or image_size
    network = network if network is not None else build_backbone(backbone, size, weights)
    inputs = begin(image_size)
    features = _extract(inputs, backbone, network, size)
    outputs = add_head(features, **_complete(backbone, settings | {"num_classes": num_classes}))
    return keras.Model(inputs, outputs, name=backbone)


def _complete(name: str, settings: dict[str, float]) -> dict:
    units = settings.get("head_units")
    return settings | {"head_units": BACKBONES[name].head_units if units is None else units}


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
        if re.fullmatch(BACKBONES[name].block_end, layer.name):
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
