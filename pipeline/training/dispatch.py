"""Trains a family of any kind: network, transfer or linear. Imports TensorFlow."""

import logging
from pathlib import Path
from typing import Any

import keras

from pipeline.config.recipe_sections import LinearRecipe, Recipe, TransferRecipe
from pipeline.config.recipes import resolve_family
from pipeline.config.sections import Params
from pipeline.runtime.tensorflow import seed_everything
from pipeline.training.checkpoints import NO_CHECKPOINTS, Checkpoints
from pipeline.training.fit import Watch
from pipeline.training.head import train_transfer
from pipeline.training.network import train_network

logger = logging.getLogger(__name__)


def train_family(
    family: str,
    params: Params,
    *,
    record: Path,
    watch: Watch | None = None,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
) -> keras.Model:
    """A trained model, uncompiled, pixels in, probabilities out, from data/tfrecords and data/embeddings below the working
    directory. record: folder for dvclive. watch: see `fit`; a linear machine has no epochs, so it is never called for one.
    checkpoints: to go on from where this training was killed; the caller removes them when it has kept the model.

    Raises PipelineError where training diverges.
    """
    published, recipe = params.recipes[family], resolve_family(params, family)
    seed_everything(params.train.seed)
    logger.info("%s: %s", family, describe_overrides(published, recipe))
    if isinstance(recipe, LinearRecipe):
        from pipeline.training.svm import train_linear  # imports SciPy: half a second that no network needs

        return train_linear(family, recipe, record=record)
    settings: dict[str, Any] = {
        "seed": params.train.seed,
        "cache_gb": params.train.cache_gb,
        "shuffle_buffer": params.train.shuffle_buffer,
        "record": record,
        "watch": watch,
        "checkpoints": checkpoints,
    }
    if isinstance(recipe, TransferRecipe):
        return train_transfer(family, recipe, **settings)
    return train_network(family, recipe, **settings)


def describe_overrides(published: Recipe | LinearRecipe, recipe: Recipe | LinearRecipe) -> str:
    """In words, how `train` changes a published recipe."""
    before, after = published.model_dump(), recipe.model_dump()
    changes = [f"{key} {after[key]} instead of {before[key]}" for key in before if before[key] != after[key]]
    return f"trained with {'; '.join(changes)}: train in params.yaml overrides" if changes else "trained as published"
