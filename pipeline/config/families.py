"""The families and backbones that exist, as declarations: cheap to import, as nothing is built here."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pipeline.runtime.errors import PipelineError


@dataclass(frozen=True)
class Family:
    """One architecture and how it is trained.

    builder: "module:function". kind: a network from scratch, a new head on a pretrained backbone (transfer), or a linear
    machine. min_image_size: pixels, each side: below it the last pool would leave nothing, or the backbone's authors allow
    no less. backbone: a name in BACKBONES, whose pooled features the family trains on; None: it trains on pixels. sizes,
    rates: whole numbers and dropout rates in this network's recipe, and arguments of its builder, that others lack.
    """

    builder: str
    kind: Literal["network", "transfer", "linear"] = "network"
    min_image_size: int = 1
    backbone: str | None = None
    sizes: tuple[str, ...] = ()
    rates: tuple[str, ...] = ()

    @property
    def arguments(self) -> tuple[str, ...]:
        """Of its builder, that others lack."""
        return self.sizes + self.rates


_TRANSFER = "pipeline.models.transfer:build_transfer"
_TRANSFER_SVM = "pipeline.models.transfer:build_transfer_svm"

FINE_TUNED = "_fine_tuned"  # ends the name of a family whose backbone is trained too; the rest is the frozen one's name
DISTILLED = (
    "_distilled"  # ends that of a network that learns from a better model too; the rest is that without a teacher
)

# Builders and backbones are named, not imported: reading parameters must not cost the four seconds that TensorFlow takes.
FAMILIES: dict[str, Family] = {
    "linear_svm": Family("pipeline.models.linear_svm:build_linear_svm", kind="linear"),
    "underfit": Family("pipeline.models.studies.scenes:build_underfit", min_image_size=16),
    "overfit": Family("pipeline.models.studies.scenes:build_overfit", min_image_size=32),
    "optimized": Family(
        "pipeline.models.studies.scenes:build_optimized",
        min_image_size=32,
        sizes=("last_filters",),
        rates=("last_dropout",),
    ),
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
    "resnet_fast": Family("pipeline.models.scratch.resnet_fast:build_resnet_fast", min_image_size=9),
    "resnet_fast_distilled": Family("pipeline.models.scratch.resnet_fast:build_resnet_fast", min_image_size=9),
    "mobilenet": Family(_TRANSFER, "transfer", 32, "mobilenet"),
    "vgg16": Family(_TRANSFER, "transfer", 32, "vgg16"),
    "resnet50v2": Family(_TRANSFER, "transfer", 32, "resnet50v2"),
    "inceptionv3": Family(_TRANSFER, "transfer", 75, "inceptionv3"),
    "mobilenetv3": Family(_TRANSFER, "transfer", 32, "mobilenetv3"),
    "efficientnetv2b0": Family(_TRANSFER, "transfer", 32, "efficientnetv2b0"),
    "efficientnet_lite0": Family(_TRANSFER, "transfer", 32, "efficientnet_lite0"),
    "efficientnet_lite1": Family(_TRANSFER, "transfer", 32, "efficientnet_lite1"),
    "efficientnet_lite2": Family(_TRANSFER, "transfer", 32, "efficientnet_lite2"),
    "mobilenet_fine_tuned": Family(_TRANSFER, "transfer", 32, "mobilenet"),
    "vgg16_fine_tuned": Family(_TRANSFER, "transfer", 32, "vgg16"),
    "resnet50v2_fine_tuned": Family(_TRANSFER, "transfer", 32, "resnet50v2"),
    "inceptionv3_fine_tuned": Family(_TRANSFER, "transfer", 75, "inceptionv3"),
    "mobilenetv3_fine_tuned": Family(_TRANSFER, "transfer", 32, "mobilenetv3"),
    "efficientnetv2b0_fine_tuned": Family(_TRANSFER, "transfer", 32, "efficientnetv2b0"),
    "efficientnet_lite0_fine_tuned": Family(_TRANSFER, "transfer", 32, "efficientnet_lite0"),
    "efficientnet_lite1_fine_tuned": Family(_TRANSFER, "transfer", 32, "efficientnet_lite1"),
    "efficientnet_lite2_fine_tuned": Family(_TRANSFER, "transfer", 32, "efficientnet_lite2"),
    "mobilenet_svm": Family(_TRANSFER_SVM, "linear", 32, "mobilenet"),
    "vgg16_svm": Family(_TRANSFER_SVM, "linear", 32, "vgg16"),
    "resnet50v2_svm": Family(_TRANSFER_SVM, "linear", 32, "resnet50v2"),
    "inceptionv3_svm": Family(_TRANSFER_SVM, "linear", 75, "inceptionv3"),
    "mobilenetv3_svm": Family(_TRANSFER_SVM, "linear", 32, "mobilenetv3"),
    "efficientnetv2b0_svm": Family(_TRANSFER_SVM, "linear", 32, "efficientnetv2b0"),
    "efficientnet_lite0_svm": Family(_TRANSFER_SVM, "linear", 32, "efficientnet_lite0"),
    "efficientnet_lite1_svm": Family(_TRANSFER_SVM, "linear", 32, "efficientnet_lite1"),
    "efficientnet_lite2_svm": Family(_TRANSFER_SVM, "linear", 32, "efficientnet_lite2"),
    "dinov2": Family(_TRANSFER, "transfer", 14, "dinov2"),
    "siglip": Family(_TRANSFER, "transfer", 14, "siglip"),
    "dinov2_fine_tuned": Family(_TRANSFER, "transfer", 14, "dinov2"),
    "siglip_fine_tuned": Family(_TRANSFER, "transfer", 14, "siglip"),
    "dinov2_svm": Family(_TRANSFER_SVM, "linear", 14, "dinov2"),
    "siglip_svm": Family(_TRANSFER_SVM, "linear", 14, "siglip"),
}

# "module:constant" of each, which `pipeline.models.backbones.loader` imports.
BACKBONES: dict[str, str] = {
    "mobilenet": "pipeline.models.backbones.keras_applications:MOBILENET",
    "vgg16": "pipeline.models.backbones.keras_applications:VGG16",
    "resnet50v2": "pipeline.models.backbones.keras_applications:RESNET50V2",
    "inceptionv3": "pipeline.models.backbones.keras_applications:INCEPTIONV3",
    "mobilenetv3": "pipeline.models.backbones.keras_applications:MOBILENETV3",
    "efficientnetv2b0": "pipeline.models.backbones.keras_applications:EFFICIENTNETV2B0",
    "efficientnet_lite0": "pipeline.models.backbones.efficientnet_lite:EFFICIENTNET_LITE0",
    "efficientnet_lite1": "pipeline.models.backbones.efficientnet_lite:EFFICIENTNET_LITE1",
    "efficientnet_lite2": "pipeline.models.backbones.efficientnet_lite:EFFICIENTNET_LITE2",
    "dinov2": "pipeline.models.backbones.hub:PRESET",
    "siglip": "pipeline.models.backbones.hub:PRESET",
}

# Backbones that are places for presets of KerasHub: each can take any of them, see recipes.<name>.backbone.preset.
PRESETS = ("dinov2", "siglip")

# Blocks of each, from the start, whose outputs `recipes.<backbone>.features` can name; a last one that ends the network is not
# among them, as its output is there anyway. Those of presets have no numbers.
BLOCKS: dict[str, int] = {
    "mobilenet": 13,
    "vgg16": 4,
    "resnet50v2": 17,
    "inceptionv3": 12,
    "mobilenetv3": 15,
    "efficientnetv2b0": 21,
    "efficientnet_lite0": 16,
    "efficientnet_lite1": 21,
    "efficientnet_lite2": 21,
    "dinov2": 0,
    "siglip": 0,
}


def find_origin(family: str) -> str | None:
    """The family whose recipe a variant starts from: X of X_svm, X_fine_tuned and X_distilled. None: it is no variant."""
    origin = family.removesuffix(DISTILLED) if family.endswith(DISTILLED) else FAMILIES[family].backbone
    return None if origin == family else origin


def check_family(name: str, *, parameter: str = "families") -> None:
    """Raises PipelineError, with the nearest names, for a family that does not exist. parameter: the one that holds it."""
    if name not in FAMILIES:
        near = difflib.get_close_matches(name, FAMILIES, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(FAMILIES)}"
        raise PipelineError(f"{parameter}: no family is called {name!r}: {hint}")


def check_image_size(family: str, image_size: int, *, name: str = "preprocess.image_size") -> None:
    """Raises PipelineError, with the smallest size, for images that are too small for an architecture.

    image_size: pixels, each side. name: the parameter that sets it.
    """
    smallest = FAMILIES[family].min_image_size
    if image_size < smallest:
        raise PipelineError(
            f"{family} downsamples its images too often for this size: expected images of {smallest} px or more, received "
            f"{image_size} px; raise {name} or leave the family out of families"
        )


def check_blocks(backbone: str, blocks: Iterable[int], *, count: int | None = None, parameter: str) -> None:
    """Raises PipelineError for numbers that are no blocks of a backbone. count: of its blocks; None: as in BLOCKS. parameter:
    the one that names them."""
    last = BLOCKS[backbone] if count is None else count
    unknown = [block for block in blocks if not 1 <= block <= last]
    if unknown and last == 0:
        raise PipelineError(
            f"{parameter}: {backbone} is a preset of KerasHub, whose blocks have no numbers: expected none, received "
            f"{', '.join(map(str, blocks))}"
        )
    if unknown:
        raise PipelineError(
            f"{parameter}: {backbone} has no block {unknown[0]}: expected numbers from 1, the first, to {last}, received "
            f"{', '.join(map(str, blocks))}"
        )
