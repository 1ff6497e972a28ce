"""Trains a family of any kind: network, transfer or linear. Imports TensorFlow."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras

from pipeline.config.recipe_sections import LinearRecipe, NetworkRecipe, Recipe, TransferRecipe
from pipeline.config.recipes import averages_mirrors, resolve_family
from pipeline.config.sections import Params
from pipeline.data.embeddings import Embeddings, find_embeddings
from pipeline.models.mirrors import average_mirrors
from pipeline.models.predictions import predict
from pipeline.runtime.tensorflow import seed_everything
from pipeline.training.checkpoints import NO_CHECKPOINTS, Checkpoints
from pipeline.training.distillation import Lesson, make_lesson
from pipeline.training.fit import Watch
from pipeline.training.head import train_transfer
from pipeline.training.network import train_network
from pipeline.training.scores import compute_accuracy_and_loss

logger = logging.getLogger(__name__)


def train_family(
    family: str,
    params: Params,
    *,
    record: Path,
    watch: Watch | None = None,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
    embeddings: Embeddings | None = None,
) -> keras.Model:
    """A trained model, uncompiled, pixels in, probabilities out, from data/tfrecords and data/embeddings below the working
    directory. record: folder for dvclive. watch: see `fit`; a linear machine has no epochs, so it is never called for one.
    checkpoints: to go on from where this training was killed; the caller removes them when it has kept the model. embeddings:
    features to train on; None: those in data/embeddings/<family>. A network with a teacher trains the teacher first.

    Raises PipelineError where training diverges.
    """
    published, recipe = params.recipes[family], resolve_family(params, family)
    seed_everything(params.train.seed)
    logger.info("%s: %s", family, describe_overrides(published, recipe))
    if isinstance(recipe, LinearRecipe):
        from pipeline.training.svm import train_linear  # imports SciPy: half a second that no network needs

        return train_linear(family, recipe, record=record, embeddings=embeddings)
    settings: dict[str, Any] = {
        "seed": params.train.seed,
        "cache_gb": params.train.cache_gb,
        "shuffle_buffer": params.train.shuffle_buffer,
        "record": record,
        "watch": watch,
        "checkpoints": checkpoints,
    }
    if isinstance(recipe, TransferRecipe):
        return train_transfer(family, recipe, **settings, embeddings=embeddings)
    return train_network(family, recipe, **settings, lesson=take_lesson(family, recipe, params, checkpoints))


def take_lesson(family: str, recipe: Recipe, params: Params, checkpoints: Checkpoints) -> Lesson | None:
    """What a network's teacher says of the training images, once it is trained as its own family is, on what `embed` keeps for
    it in data/embeddings/<family>; None where there is no teacher. checkpoints: the network's own, whose phases have other
    names. What follows finds the random state, and the numbers in names of layers, as if there had been no teacher."""
    distill = recipe.distill if isinstance(recipe, NetworkRecipe) else None
    if distill is None or distill.teacher is None:
        return None
    teacher = distill.teacher
    embeddings = find_embeddings(family, source=teacher)
    with TemporaryDirectory() as record:
        model = train_family(teacher, params, record=Path(record), checkpoints=checkpoints, embeddings=embeddings)
    model = average_mirrors(model) if averages_mirrors(params, teacher) else model
    labels, probabilities = predict(model, "train", embeddings)
    accuracy = compute_accuracy_and_loss(labels, probabilities)["accuracy"]
    logger.info("%s: learns from %s, whose accuracy on the training images is %.4f", family, teacher, accuracy)
    keras.backend.clear_session()
    seed_everything(params.train.seed)
    return make_lesson(probabilities, weight=distill.weight, temperature=distill.temperature)


def describe_overrides(published: Recipe | LinearRecipe, recipe: Recipe | LinearRecipe) -> str:
    """In words, how `train` changes a published recipe."""
    before, after = published.model_dump(), recipe.model_dump()
    changes = [f"{key} {after[key]} instead of {before[key]}" for key in before if before[key] != after[key]]
    return f"trained with {'; '.join(changes)}: train in params.yaml overrides" if changes else "trained as published"
