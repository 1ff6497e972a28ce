"""Training of a network from scratch, by gradient descent on pixels. Imports TensorFlow."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipeline.config.families import FAMILIES
from pipeline.config.recipe_sections import Recipe
from pipeline.data.augmentation import Augmentation
from pipeline.data.batches import make_training_batches, read_batches, read_images
from pipeline.data.tfrecords import DatasetFacts, load_dataset_facts
from pipeline.models.build import build_model
from pipeline.models.layers import finalize_normalization
from pipeline.models.scratch.whitening import has_whitening, set_whitening
from pipeline.training.checkpoints import NO_CHECKPOINTS, Checkpoints, PhaseCheckpoints
from pipeline.training.distillation import Lesson
from pipeline.training.fit import FitData, Phase, Watch, compile_model, compute_class_weight, fit, log_kept, open_record
from pipeline.training.soft_labels import soften_labels

_SAMPLE = 1024  # images from which patches are taken: far more patches than a first layer has weights
_VALIDATION_BATCH = 256  # images; only speed and memory depend on it


def train_network(
    family: str,
    recipe: Recipe,
    *,
    seed: int,
    cache_gb: float,
    shuffle_buffer: int,
    record: Path,
    watch: Watch | None = None,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
    lesson: Lesson | None = None,
) -> keras.Model:
    """Trains a family on data/tfrecords by its recipe; returns an uncompiled model with the best or the last epoch's weights.

    record: folder for dvclive: one row per epoch, and `best/…` for the epoch whose weights are kept. watch: see `fit`.
    checkpoints: to go on from where this training was killed. lesson: of a teacher; None: it learns from labels alone. Raises
    PipelineError if the loss is no longer finite.
    """
    facts = load_dataset_facts()
    settings = make_settings(family, recipe, facts)
    model = build_model(family, **settings)
    adapt_normalization(model, facts.channel_mean, facts.channel_std)
    if has_whitening(model):
        set_whitening(model, read_sample(facts.num_images["train"]))
    phase = Phase(checkpoints=PhaseCheckpoints(checkpoints, "network"))
    reading: dict[str, Any] = {"seed": seed, "cache_gb": cache_gb, "shuffle_buffer": shuffle_buffer}
    reading |= {"first_epoch": phase.checkpoints.first_epoch, "targets": None if lesson is None else lesson.targets}
    data = make_fit_data(recipe, facts, **reading)
    data = soften_labels(data, facts.num_classes, recipe, taught=lesson is not None)
    copy = compile_model(model, recipe, data.steps, lesson=lesson)
    # `with` keeps the record open after fit: only then is the epoch known that is kept.
    with open_record(record) as live:
        result = fit(family, model, recipe, data, live=live, phase=phase, watch=watch, copy=copy)
        log_kept(live, result.kept_epoch + 1, result.kept)
    kept = build_model(family, **settings)  # without the optimizer, which is twice as large as the model
    kept.set_weights(model.get_weights())
    finalize_normalization(kept)
    return kept


def read_sample(num_images: int) -> np.ndarray:
    """Training images, evenly from the files, uint8 (n, size, size, 3). num_images: that there are."""
    return read_images("train", np.linspace(0, num_images - 1, min(num_images, _SAMPLE)).round().astype(int).tolist())


def make_fit_data(
    recipe: Recipe,
    facts: DatasetFacts,
    *,
    seed: int,
    cache_gb: float,
    shuffle_buffer: int,
    first_epoch: int = 0,
    targets: np.ndarray | None = None,
) -> FitData:
    """Training and validation images, uint8 to float32 (batch, size, size, 3), 0 to 255, as a recipe asks for. targets: see
    `make_training_batches`."""
    batches, steps = make_training_batches(
        batch_size=recipe.batch_size,
        seed=seed,
        augmentation=Augmentation(**recipe.augment.model_dump()),
        cache_gb=cache_gb,
        shuffle_buffer=shuffle_buffer,
        first_epoch=first_epoch,
        oversample=recipe.oversample == "balanced",
        targets=targets,
    )
    validation = read_batches("val", batch_size=_VALIDATION_BATCH).cache()  # in memory after the first epoch
    return FitData(batches, steps, validation, compute_class_weight(facts.counts["train"], recipe.class_weight))


def make_settings(family: str, recipe: Recipe, facts: DatasetFacts) -> dict[str, Any]:
    """Arguments of `build_model` for a recipe and the images that dataset.json describes."""
    names = ("head_units", "dropout", "l2", "width", *FAMILIES[family].arguments)
    return {
        "image_size": facts.image_size,
        "input_size": recipe.input_size,
        "num_classes": facts.num_classes,
        **{name: getattr(recipe, name) for name in names},
    }


def count_parameters(family: str, recipe: Recipe, facts: DatasetFacts) -> int:
    """Parameters of the model that a recipe describes, without memory being allocated for them."""

    def count() -> int:
        with keras.StatelessScope(initialize_variables=False):
            return int(build_model(family, **make_settings(family, recipe, facts)).count_params())

    # Keras notes variables without values, per thread, and the next such scope gives all of them values: in this thread, also
    # those of a network that was counted because it is too large.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(count).result()


def adapt_normalization(model: keras.Model, mean: list[float], std: list[float]) -> None:
    """Sets the Normalization layer, if the family has one that learns, to the training images' mean and deviation per
    channel, 0 to 255: what its `adapt` would compute from the pixels, and preprocess has computed already."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:
            layer.adapt_mean.assign(np.asarray(mean, np.float32))
            layer.adapt_variance.assign(np.square(np.asarray(std, np.float32)))
            layer.finalize_state()
