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
    """builder: "module:function". kind: how it is trained, by gradient descent or as a linear machine."""

    builder: str
    kind: Literal["network", "linear"] = "network"


# Builders are named, not imported: reading parameters must not cost the four seconds that TensorFlow takes.
FAMILIES: dict[str, Family] = {
    "linear_svm": Family("stages.families.linear_svm:build_linear_svm", kind="linear"),
    "underfit": Family("stages.families.scene_cnns:build_underfit"),
    "overfit": Family("stages.families.scene_cnns:build_overfit"),
    "optimized": Family("stages.families.scene_cnns:build_optimized"),
}


def check_family(name: str) -> None:
    """Raises PipelineError, naming the nearest ones, for a family that does not exist."""
    if name not in FAMILIES:
        near = difflib.get_close_matches(name, FAMILIES, n=3, cutoff=0.4) or list(FAMILIES)
        raise PipelineError(f"families: no family is called {name!r}: expected {' or '.join(near)}, say")


def build_model(family: str, *, image_size: int, num_classes: int, **settings: Any) -> "keras.Model":
    """An uncompiled model with the published architecture.

    family: a name of FAMILIES. image_size: pixels, each side. num_classes: 2 or more. settings: `dropout`, `l2`, `width`
    where the published value is not wanted. The model takes float or uint8 RGB images (batch, image_size, image_size, 3),
    values 0 to 255, and returns probabilities, float32 (batch, num_classes). Raises PipelineError for a name that does
    not exist and for an image too small for the architecture.
    """
    check_family(family)
    if num_classes < 2:
        raise PipelineError(f"{family} needs two classes or more to tell apart: received {num_classes}")
    module, _, function = FAMILIES[family].builder.partition(":")
    return getattr(import_module(module), function)(image_size=image_size, num_classes=num_classes, **settings)
