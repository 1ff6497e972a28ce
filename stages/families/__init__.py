"""What can be trained. A family is a builder, one line in FAMILIES, and its published settings in params.yaml."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal

from stages.errors import PipelineError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Family:
    """builder: "module:function". kind: how it is trained: a network from scratch, a new head on a pretrained backbone, or
    a linear machine. min_image_size: pixels, each side, below which nothing is left after the last pool, or which a
    backbone's authors name as the least. backbone: whose pooled features it trains on; None: on pixels. sizes: whole numbers
    that the recipe of a network has besides what all networks have, and that its builder takes."""

    builder: str
    kind: Literal["network", "transfer", "linear"] = "network"
    min_image_size: int = 1
    backbone: str | None = None
    sizes: tuple[str, ...] = ()


_TRANSFER = "stages.families.backbones:build_transfer"
_TRANSFER_SVM = "stages.families.linear_svm:build_transfer_svm"

# Builders are named, not imported: reading parameters must not cost the four seconds that TensorFlow takes.
FAMILIES: dict[str, Family] = {
    "linear_svm": Family("stages.families.linear_svm:build_linear_svm", kind="linear"),
    "underfit": Family("stages.families.scene_cnns:build_underfit", min_image_size=16),
    "overfit": Family("stages.families.scene_cnns:build_overfit", min_image_size=32),
    "optimized": Family("stages.families.scene_cnns:build_optimized", min_image_size=32),
    "deep_cnn": Family("stages.families.scene_cnns:build_deep_cnn"),
    "vgg_blocks": Family("stages.families.bear_cnn:build_vgg_blocks", min_image_size=8),
    "cifar_small": Family("stages.families.cifar_cnns:build_cifar_small", min_image_size=18),
    "cifar_dropout": Family("stages.families.cifar_cnns:build_cifar_dropout", min_image_size=22),
    "cifar_elu": Family("stages.families.cifar_cnns:build_cifar_elu", min_image_size=8),
    "dense_ann": Family("stages.families.animal_networks:build_dense_ann"),
    "animals_cnn": Family("stages.families.animal_networks:build_animals_cnn", min_image_size=8),
    "animals_cnn_augmented": Family("stages.families.animal_networks:build_animals_cnn", min_image_size=8),
    "animals_cnn_wide": Family("stages.families.animal_networks:build_animals_cnn_wide", min_image_size=16),
    "searched_cnn": Family(
        "stages.families.searched_cnn:build_searched_cnn", sizes=("blocks", "layers", "filters", "kernel")
    ),
    "mobilenet": Family(_TRANSFER, "transfer", 32, "mobilenet"),
    "vgg16": Family(_TRANSFER, "transfer", 32, "vgg16"),
    "resnet50v2": Family(_TRANSFER, "transfer", 32, "resnet50v2"),
    "inceptionv3": Family(_TRANSFER, "transfer", 75, "inceptionv3"),
    "mobilenetv3": Family(_TRANSFER, "transfer", 32, "mobilenetv3"),
    "efficientnetv2b0": Family(_TRANSFER, "transfer", 32, "efficientnetv2b0"),
    "efficientnet_lite0": Family(_TRANSFER, "transfer", 32, "efficientnet_lite0"),
    "mobilenet_svm": Family(_TRANSFER_SVM, "linear", 32, "mobilenet"),
    "vgg16_svm": Family(_TRANSFER_SVM, "linear", 32, "vgg16"),
    "resnet50v2_svm": Family(_TRANSFER_SVM, "linear", 32, "resnet50v2"),
    "inceptionv3_svm": Family(_TRANSFER_SVM, "linear", 75, "inceptionv3"),
    "mobilenetv3_svm": Family(_TRANSFER_SVM, "linear", 32, "mobilenetv3"),
    "efficientnetv2b0_svm": Family(_TRANSFER_SVM, "linear", 32, "efficientnetv2b0"),
    "efficientnet_lite0_svm": Family(_TRANSFER_SVM, "linear", 32, "efficientnet_lite0"),
}


def check_family(name: str, *, parameter: str = "families") -> None:
    """Raises PipelineError, naming the nearest ones, for a family that does not exist. parameter: that names it."""
    if name not in FAMILIES:
        near = difflib.get_close_matches(name, FAMILIES, n=3, cutoff=0.4) or list(FAMILIES)
        raise PipelineError(f"{parameter}: no family is called {name!r}: expected {' or '.join(near)}, say")


def check_image_size(family: str, image_size: int, *, name: str = "preprocess.image_size") -> None:
    """Raises PipelineError, naming the smallest size, for images that are too small for an architecture.

    name: the parameter that says how large they are.
    """
    smallest = FAMILIES[family].min_image_size
    if image_size < smallest:
        raise PipelineError(
            f"{family} halves its images again and again: expected images of {smallest} px or more, received {image_size} px; "
            f"raise {name} or leave the family out of families"
        )


def build_model(
    family: str,
    *,
    image_size: int,
    num_classes: int,
    input_size: int | None = None,
    augment: Mapping[str, Any] | None = None,
    **settings: Any,
) -> "keras.Model":
    """An uncompiled model with the published architecture.

    family: a name of FAMILIES. image_size: pixels, each side. num_classes: 2 or more. input_size: pixels to which the model
    resizes its images first; None: not at all. augment: flip, rotation, zoom and contrast, as in `train.augment`: layers
    that change images while the model trains; None: no such layers, as the pipeline augments in its batches. settings:
    `dropout`, `l2`, `width`, `head_units` (of the last dense layer before the softmax; 0: none) and a family's own `sizes`
    where the published value is not wanted; `weights` of a backbone (imagenet, a file, or none, which is the default).

    The model takes float or uint8 RGB images (batch, image_size, image_size, 3), values 0 to 255, and returns
    probabilities, float32 (batch, num_classes). Raises PipelineError for a name that does not exist, an image too
    small for the architecture, and a setting that the family does not have.
    """
    check_family(family)
    size = input_size or image_size
    check_image_size(family, size, name="input_size" if input_size else "image_size")
    if num_classes < 2:
        raise PipelineError(f"{family} needs two classes or more to tell apart: received {num_classes}")
    module, _, function = FAMILIES[family].builder.partition(":")
    builder = getattr(import_module(module), function)
    _check_settings(family, builder, settings)
    if FAMILIES[family].backbone:
        settings |= {"backbone": FAMILIES[family].backbone, "image_size": image_size, "input_size": size}
    else:
        settings |= {"image_size": size}
    model = builder(num_classes=num_classes, **settings)
    if augment or model.input_shape[1] != image_size:
        from stages.families.front import put_in_front

        model = put_in_front(model, image_size=image_size, augment=augment or {})
    model.name = family
    return model


def _check_settings(family: str, builder: Callable[..., Any], settings: Mapping[str, Any]) -> None:
    parameters = signature(builder).parameters
    known = [
        name for name in parameters if name not in ("image_size", "num_classes", "input_size", "backbone", "settings")
    ]
    known += ["head_units", "dropout", "l2", "width"] if "settings" in parameters else []
    for name in settings:
        if name not in known:
            raise PipelineError(f"{family} has no setting {name!r}: expected {', '.join(known)}")
