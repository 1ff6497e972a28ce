"""Training by gradient descent. Imports TensorFlow."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from dvclive import Live
from dvclive.keras import DVCLiveCallback

from stages.dataset.augmentation import Augmentation
from stages.dataset.batches import make_training_batches, read_batches
from stages.dataset.records import load_dataset_facts
from stages.errors import PipelineError
from stages.families import build_model
from stages.params import Recipe
from stages.training.weights import compute_class_weight

_VALIDATION_BATCH = 256  # images; only speed and memory depend on it


def train_network(
    family: str, recipe: Recipe, *, seed: int, cache_gb: float, shuffle_buffer: int, record: Path
) -> keras.Model:
    """Trains a family on data/tfrecords by its recipe; returns an uncompiled model with the best epoch's weights.

    record: folder for dvclive, one row an epoch, and `best/…` for the epoch whose weights are kept. Raises PipelineError
    if the loss stops being a number.
    """
    facts = load_dataset_facts()
    settings: dict[str, Any] = {
        "image_size": facts["image_size"],
        "num_classes": len(facts["class_names"]),
        **{key: getattr(recipe, key) for key in ("dropout", "l2", "width")},
    }
    model = build_model(family, **settings)
    model.compile(make_optimizer(recipe), "sparse_categorical_crossentropy", metrics=["accuracy"])
    batches, steps = make_training_batches(
        batch_size=recipe.batch_size,
        seed=seed,
        augmentation=Augmentation(**recipe.augment.model_dump()),
        cache_gb=cache_gb,
        shuffle_buffer=shuffle_buffer,
    )
    best = _best_epoch_keeper(recipe)
    # Within `with`, the record stays open after fit: the best epoch is known only then.
    with Live(str(record), dvcyaml=False, save_dvc_exp=False, report=None, monitor_system=False) as live:
        history = model.fit(
            batches,
            steps_per_epoch=steps,
            epochs=recipe.epochs,
            validation_data=read_batches("val", batch_size=_VALIDATION_BATCH).cache(),
            class_weight=compute_class_weight(facts["counts"]["train"], recipe.class_weight),
            callbacks=[best, *_plateau(recipe), keras.callbacks.TerminateOnNaN(), DVCLiveCallback(live=live)],
            shuffle=False,  # the batches are shuffled already
            verbose=2,
        ).history
        _log_best(live, history, best.best_epoch)
    _check_finite(family, history, recipe)
    kept = build_model(family, **settings)  # without the optimizer, which weighs twice as much as the model
    kept.set_weights(model.get_weights())
    return kept


def make_optimizer(recipe: Recipe) -> keras.Optimizer:
    """The optimizer that a recipe names, at its learning rate."""
    rate = recipe.learning_rate
    return {
        "adam": lambda: keras.optimizers.Adam(rate),
        "adamw": lambda: keras.optimizers.AdamW(rate),
        "rmsprop": lambda: keras.optimizers.RMSprop(rate),
        "sgd": lambda: keras.optimizers.SGD(rate, momentum=0.9),
    }[recipe.optimizer]()


def _best_epoch_keeper(recipe: Recipe) -> keras.callbacks.EarlyStopping:
    patience = recipe.early_stopping.patience
    return keras.callbacks.EarlyStopping(
        monitor=recipe.early_stopping.monitor,
        patience=recipe.epochs + 1 if patience is None else patience,
        restore_best_weights=True,
    )


def _plateau(recipe: Recipe) -> list[keras.callbacks.Callback]:
    if recipe.reduce_lr.patience is None:
        return []
    rule = recipe.reduce_lr
    return [
        keras.callbacks.ReduceLROnPlateau(
            monitor=recipe.early_stopping.monitor, factor=rule.factor, patience=rule.patience, min_lr=rule.min_lr
        )
    ]


def _log_best(live: Live, history: dict[str, list[float]], best_epoch: int) -> None:
    live.summary["best"] = {"epoch": best_epoch + 1} | {
        name: float(values[best_epoch]) for name, values in history.items() if len(values) > best_epoch
    }


def _check_finite(family: str, history: dict[str, list[float]], recipe: Recipe) -> None:
    if not np.all(np.isfinite(history["loss"])):
        raise PipelineError(
            f"{family}: the loss is no longer a number after {len(history['loss'])} epoch(s) with learning rate "
            f"{recipe.learning_rate:g}: expected a finite loss; lower train.learning_rate"
        )
