"""Which families there are: a builder, how it is trained, the smallest image. Cheap to import: nothing is built here."""

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.runtime.errors import PipelineError

if TYPE_CHECKING:
    pass


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


_TRANSFER = "pipeline.models.backbones:build_transfer"


_TRANSFER_SVM = "pipeline.models.linear_svm:build_transfer_svm"


# Builders are named, not imported: reading parameters must not cost the four seconds that TensorFlow takes.
FAMILIES: dict[str, Family] = {
    "linear_svm": Family("pipeline.models.linear_svm:build_linear_svm", kind="linear"),
    "underfit": Family("pipeline.models.studies.scenes:build_underfit", min_image_size=16),
    "overfit": Family("pipeline.models.studies.scenes:build_overfit", min_image_size=32),
    "optimized": Family("pipeline.models.studies.scenes:build_optimized", min_image_size=32),
    "deep_cnn": Family("pipeline.models.studies.scenes:build_deep_cnn"),
    "vgg_blocks": Family("pipeline.models.studies.bears:build_vgg_blocks", min_image_size=8),
    "cifar_small": Family("pipeline.models.studies.cifar:build_cifar_small", min_image_size=18),
    "cifar_dropout": Family("pipeline.models.studies.cifar:build_cifar_dropout", min_image_size=22),
    "cifar_elu": Family("pipeline.models.studies.cifar:build_cifar_elu", min_image_size=8),
    "dense_ann": Family("pipeline.models.studies.animals:build_dense_ann"),
    "animals_cnn": Family("pipeline.models.studies.animals:build_animals_cnn", min_image_size=8),
    "animals_cnn_augmented": Family("pipeline.models.studies.animals:build_animals_cnn", min_image_size=8),
    "animals_cnn_wide": Family("pipeline.models.studies.animals:build_animals_cnn_wide", min_image_size=16),
    "searched_cnn": Family(
        "pipeline.models.studies.searched:build_searched_cnn", sizes=("blocks", "layers", "filters", "kernel")
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
