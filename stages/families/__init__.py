"""What can be trained. A family is a builder, one line in FAMILIES, and its published settings in params.yaml."""

import difflib
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from stages.errors import PipelineError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Family:
    """builder: "module:function". kind: how it is trained, by gradient descent or as a linear machine. min_image_size:
    pixels, each side, below which nothing is left after the last pool."""

    builder: str
    kind: Literal["network", "linear"] = "network"
    min_image_size: int = 1


# Builders are named, not imported: reading parameters must not cost the four seconds that TensorFlow takes.
FAMILIES: dict[str, Family] = {
    "linear_svm": Family("stages.families.linear_svm:build_linear_svm", kind="linear"),
    "underfit": Family("stages.families.scene_cnns:build_underfit", min_image_size=16),
    "overfit": Family("stages.families.scene_cnns:build_overfit", min_image_size=32),
    "optimized": Family("stages.families.scene_cnns:build_optimized", min_image_size=32),
}


def check_family(name: str) -> None:
    """Raises PipelineError, naming the nearest ones, for a family that does not exist."""
    if name not in FAMILIES:
        near = difflib.get_close_matches(name, FAMILIES, n=3, cutoff=0.4) or list(FAMILIES)
        raise PipelineError(f"families: no family is called {name!r}: expected {' or '.join(near)}, say")


def check_image_size(family: str, image_size: int) -> None:
    """Raises PipelineError, naming the smallest size, for images that are too small for an architecture."""
    smallest = FAMILIES[family].min_image_size
    if image_size < smallest:
        raise PipelineError(
            f"{family} halves its images again and again: expected images of {smallest} px or more, received {image_size} px; "
            "raise preprocess.image_size or leave the family out of families"
        )


def build_model(family: str, *, image_size: int, num_classes: int, **settings: Any) -> "keras.Model":
    """An uncompiled model with the published architecture.

    family: a name of FAMILIES. image_size: pixels, each side. num_classes: 2 or more. settings: `dropout`, `l2`, `width`
    where the published value is not wanted. The model takes float or uint8 RGB images (batch, image_size, image_size, 3),
    values 0 to 255, and returns probabilities, float32 (batch, num_classes). Raises PipelineError for a name that does
    not exist and for an image too small for the architecture.
    """
    check_family(family)
    check_image_size(family, image_size)
    if num_classes < 2:
        raise PipelineError(f"{family} needs two classes or more to tell apart: received {num_classes}")
    module, _, function = FAMILIES[family].builder.partition(":")
    return getattr(import_module(module), function)(image_size=image_size, num_classes=num_classes, **settings)
