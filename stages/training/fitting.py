"""One fit, as all networks have it: callbacks, the record, the best epoch's weights. Imports TensorFlow."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from dvclive import Live
from dvclive.keras import DVCLiveCallback

from stages.errors import PipelineError
from stages.params import Recipe
from stages.training.artifacts import MODELS, save_model
from stages.training.rates import make_optimizer, make_rate, make_rate_callbacks


@dataclass(frozen=True)
class Fit:
    """best_epoch: from 0, within this fit. best: name (loss, val_accuracy, …) to value in that epoch. epochs: how many."""

    best_epoch: int
    best: dict[str, float]
    epochs: int


def fit(
    family: str,
    model: keras.Model,
    recipe: Recipe,
    *,
    batches: tf.data.Dataset,
    steps: int,
    validation: tf.data.Dataset,
    class_weight: dict[int, float] | None,
    live: Live,
    steps_per_execution: int = 1,
) -> Fit:
    """Compiles and trains a model in place by a recipe, and leaves it with the weights of its best epoch.

    batches: endless, `steps` an epoch. live: gets a row an epoch; the caller closes it. Raises PipelineError if the loss
    stops being a number, having kept the best epoch's weights until then in models/<family>.last-good.keras.
    """
    rate = make_rate(recipe.schedule, recipe.learning_rate, epochs=recipe.epochs, steps_per_epoch=steps)
    model.compile(
        make_optimizer(recipe.optimizer, rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=steps_per_execution,
    )
    keeper = make_best_epoch_keeper(recipe)
    history = model.fit(
        batches,
        steps_per_epoch=steps,
        epochs=recipe.epochs,
        validation_data=validation,
        class_weight=class_weight,
        callbacks=[keeper, *make_rate_callbacks(recipe), keras.callbacks.TerminateOnNaN(), DVCLiveCallback(live=live)],
        shuffle=False,  # the batches are shuffled already
        verbose=2,
    ).history
    _check_finite(family, model, history, recipe, keeper.best_epoch)
    best = {
        name: float(values[keeper.best_epoch]) for name, values in history.items() if len(values) > keeper.best_epoch
    }
    return Fit(keeper.best_epoch, best, len(history["loss"]))


def make_best_epoch_keeper(recipe: Recipe) -> keras.callbacks.EarlyStopping:
    """Brings back the weights of the best epoch when training ends, whether early or not."""
    patience = recipe.early_stopping.patience
    return keras.callbacks.EarlyStopping(
        monitor=recipe.early_stopping.monitor,
        patience=recipe.epochs + 1 if patience is None else patience,
        restore_best_weights=True,
    )


def is_better(recipe: Recipe, one: Fit, other: Fit) -> bool:
    """Whether the best epoch of `one` is better than that of `other`, by the monitor of early stopping."""
    monitor = recipe.early_stopping.monitor
    a, b = one.best[monitor], other.best[monitor]
    return a < b if monitor == "val_loss" else a > b


def _check_finite(
    family: str, model: keras.Model, history: dict[str, list[float]], recipe: Recipe, best_epoch: int
) -> None:
    if np.all(np.isfinite(history["loss"])):
        return
    kept = "no epoch before it was good, nothing is kept"
    if np.isfinite(history["loss"][best_epoch]) and all(np.isfinite(array).all() for array in model.get_weights()):
        file = MODELS / f"{family}.last-good.keras"
        save_model(model, file)
        kept = f"the weights of epoch {best_epoch + 1} are kept in {file}"
    raise PipelineError(
        f"{family}: the loss is no longer a number in epoch {len(history['loss'])} with learning rate "
        f"{recipe.learning_rate:g}: expected a finite loss; lower train.learning_rate; {kept}"
    )


def log_best(live: Live, epoch: int, best: dict[str, Any]) -> None:
    """Adds `best` to the record: dvclive itself keeps the last epoch only. epoch: from 1."""
    live.summary["best"] = {"epoch": epoch} | best
