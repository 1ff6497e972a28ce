"""Recipes: how a family trains, as its study published it, and as `train` overrides it."""

from functools import cache
from typing import Any, TypeVar

from pydantic import create_model

from pipeline.config.families import Family
from pipeline.config.sections import (
    Augment,
    FeatureLinearRecipe,
    NetworkRecipe,
    Params,
    PixelLinearRecipe,
    Recipe,
    Train,
    TrainAugment,
    TransferRecipe,
)
from pipeline.config.types import Count, Section
from pipeline.runtime.errors import PipelineError

AnyRecipe = TypeVar("AnyRecipe", bound="Recipe")


@cache
def recipe_schema(family: Family) -> type[Section]:
    if family.kind == "linear":
        return FeatureLinearRecipe if family.backbone else PixelLinearRecipe
    if family.kind == "transfer":
        return TransferRecipe
    sizes: dict[str, Any] = dict.fromkeys(family.sizes, (Count, ...))
    return create_model("NetworkRecipe", __base__=NetworkRecipe, **sizes) if sizes else NetworkRecipe


def resolve_recipe(train: Train, recipe: AnyRecipe) -> AnyRecipe:
    """The settings with which one family trains: `train` where it says something, the family's own where it is null.

    `train.max_epochs` caps what a recipe says, not what `train.epochs` asks for in so many words. Raises PipelineError for
    two rules that would both set the learning rate.
    """
    resolved = _override(recipe.model_dump(), train.model_dump())
    if train.epochs is None and train.max_epochs is not None:
        resolved["epochs"] = min(resolved["epochs"], train.max_epochs)
    if resolved["schedule"]["kind"] == "cosine" and resolved["reduce_lr"]["patience"] is not None:
        raise PipelineError(
            "schedule.kind cosine sets the learning rate of every step: expected reduce_lr.patience null beside it, received "
            f"{resolved['reduce_lr']['patience']}; take one of the two"
        )
    return type(recipe).model_validate(resolved)


def without_augment(params: Params) -> Params:
    """The same parameters with every augmentation off, whatever a recipe says."""
    none = TrainAugment(flip="none", rotation=0.0, zoom=0.0, contrast=0.0)
    return params.model_copy(update={"train": params.train.model_copy(update={"augment": none})})


def resolve_augment(train: Train, own: Augment) -> Augment:
    """How images are changed for one family: `train.augment` where it says something, else the family's own."""
    return Augment.model_validate(_override(own.model_dump(), train.augment.model_dump()))


def _override(own: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Keys that `above` does not have, such as a recipe's backbone, can't be overridden."""
    return {
        key: _override(value, above[key])
        if isinstance(value, dict) and key in above
        else value
        if above.get(key) is None
        else above[key]
        for key, value in own.items()
    }
