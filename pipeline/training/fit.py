"""One fit, as all networks have it: callbacks, the record, the best epoch's weights. Imports TensorFlow."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf
from dvclive import Live
from dvclive.keras import DVCLiveCallback

from pipeline.config.sections import Recipe
from pipeline.models.artifacts import save_model
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import MODELS
from pipeline.training.schedules import make_optimizer, make_rate, make_rate_callbacks

# Is told after each epoch its number, from 0, and the validation accuracy; what it raises ends the training.
Watch: TypeAlias = Callable[[int, float], None]


@dataclass(frozen=True)
class Fit:
    """best_epoch: from 0, within this fit. best: name (loss, val_accuracy, …) to value in that epoch. epochs: how many."""

    best_epoch: int
    best: dict[str, float]
    epochs: int


def open_record(folder: Path) -> Live:
    """A new dvclive record, to be used in `with`: closed by `fit`'s own callback, it could not hold a second phase. Left to
    itself dvclive would edit dvc.yaml at every step."""
    return Live(str(folder), dvcyaml=False, save_dvc_exp=False, report=None, monitor_system=False)


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
    compiled: bool = False,
    rate_name: str = "train.learning_rate",
    finish: Callable[[keras.Model], keras.Model] = lambda model: model,
    fallback: Callable[[], keras.Model] | None = None,
    is_worth_keeping: Callable[[Fit], bool] = lambda _: True,
    epochs_before: int = 0,
    watch: Watch | None = None,
) -> Fit:
    """Compiles and trains a model in place by a recipe, and leaves it with the weights of its best epoch.

    batches: endless, `steps` an epoch. live: gets a row an epoch; the caller closes it. compiled: whether it is already.
    Raises PipelineError if the loss stops being a number, having kept the best epoch's weights until then in
    models/<family>.last-good.keras: as the model that `finish` makes of it, or, where no epoch was good and worth keeping,
    the one that `fallback` gives. rate_name: the parameter to lower. epochs_before: of earlier phases, for what people
    read. watch: see Watch.
    """
    if not compiled:
        compile_model(model, recipe, steps)
    keeper = make_best_epoch_keeper(recipe)
    callbacks = [keeper, *make_rate_callbacks(recipe), keras.callbacks.TerminateOnNaN(), DVCLiveCallback(live=live)]
    if watch is not None:
        callbacks.append(make_watcher(watch, epochs_before))
    history = model.fit(
        batches,
        steps_per_epoch=steps,
        epochs=recipe.epochs,
        validation_data=validation,
        class_weight=class_weight,
        callbacks=callbacks,
        shuffle=False,  # the batches are shuffled already
        verbose=2,
    ).history
    best = {
        name: float(values[keeper.best_epoch]) for name, values in history.items() if len(values) > keeper.best_epoch
    }
    outcome = Fit(keeper.best_epoch, best, len(history["loss"]))
    if not is_finite(history):
        good = is_good_epoch(history, keeper.best_epoch) and all(np.isfinite(a).all() for a in model.get_weights())
        kept = finish(model) if good and is_worth_keeping(outcome) else fallback() if fallback else None
        raise PipelineError(explain_divergence(family, history, recipe.learning_rate, rate_name, kept, epochs_before))
    return outcome


def compile_model(model: keras.Model, recipe: Recipe, steps: int, steps_per_execution: int = 1) -> None:
    """Gives a model what it trains with. steps: of an epoch."""
    rate = make_rate(recipe.schedule, recipe.learning_rate, epochs=recipe.epochs, steps_per_epoch=steps)
    model.compile(
        make_optimizer(recipe.optimizer, rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=steps_per_execution,
    )


def make_best_epoch_keeper(recipe: Recipe) -> keras.callbacks.EarlyStopping:
    """Brings back the weights of the best epoch when training ends, whether early or not."""
    patience = recipe.early_stopping.patience
    return keras.callbacks.EarlyStopping(
        monitor=recipe.early_stopping.monitor,
        patience=recipe.epochs + 1 if patience is None else patience,
        restore_best_weights=True,
    )


def make_watcher(watch: Watch, epochs_before: int) -> keras.callbacks.Callback:
    """Tells `watch` of each epoch."""
    return keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: watch(epochs_before + epoch, float(logs["val_accuracy"]))
    )


def is_better(recipe: Recipe, one: Fit, other: Fit) -> bool:
    """Whether the best epoch of `one` is better than that of `other`, by the monitor of early stopping."""
    monitor = recipe.early_stopping.monitor
    a, b = one.best[monitor], other.best[monitor]
    return a < b if monitor == "val_loss" else a > b


def is_finite(history: dict[str, list[float]]) -> bool:
    """Whether the loss, on training and validation images, was a number in all epochs."""
    return all(np.isfinite(history[name]).all() for name in ("loss", "val_loss"))


def is_good_epoch(history: dict[str, list[float]], epoch: int) -> bool:
    """Whether it was in this one, from 0."""
    return all(np.isfinite(history[name][epoch]) for name in ("loss", "val_loss"))


def explain_divergence(
    family: str,
    history: dict[str, list[float]],
    rate: float,
    rate_name: str,
    kept: keras.Model | None,
    epochs_before: int = 0,
) -> str:
    """One line; saves the model that is kept, if there is one."""
    epoch = next(epoch for epoch in range(len(history["loss"])) if not is_good_epoch(history, epoch))
    where = "no epoch before it was good, nothing is kept"
    if kept is not None:
        file = MODELS / f"{family}.last-good.keras"
        save_model(kept, file)
        where = f"the last good weights are kept in {file}"
    return (
        f"{family}: the loss is no longer a number in epoch {epochs_before + epoch + 1} with learning rate {rate:g}: "
        f"expected a finite loss; lower {rate_name}; {where}"
    )


def log_best(live: Live, epoch: int, best: dict[str, Any]) -> None:
    """Adds `best` to the record: dvclive itself keeps the last epoch only. epoch: from 1."""
    live.summary["best"] = {"epoch": epoch} | best
