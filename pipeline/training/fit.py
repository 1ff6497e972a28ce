"""One fit, the same for all networks: callbacks, the dvclive record, the weights that are kept. Imports TensorFlow."""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf
from dvclive import Live
from dvclive.keras import DVCLiveCallback

from pipeline.config.recipe_sections import ClassWeight, Recipe
from pipeline.models.artifacts import save_model
from pipeline.runtime.allocation import keep_freed_memory
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import MODELS
from pipeline.runtime.tensorflow import get_training_mode
from pipeline.training.checkpoints import NO_PHASE, PhaseCheckpoints
from pipeline.training.devices import copy_state, mirror, on_devices, share_fit
from pipeline.training.distillation import DistillationLoss, LabelAccuracy, Lesson
from pipeline.training.early_stopping import EpochKeeper, make_quitter
from pipeline.training.precision import lower, restore
from pipeline.training.resume import Resumer, log_resumed, replay
from pipeline.training.schedules import make_optimizer, make_rate, make_rate_callbacks

logger = logging.getLogger(__name__)

# Called after each epoch with its number, from 0, and the validation accuracy; an exception that it raises ends training.
Watch: TypeAlias = Callable[[int, float], None]


@dataclass(frozen=True)
class FitData:
    """batches: endless, `steps` per epoch. validation: once. class_weight: by class number; None: all count alike."""

    batches: tf.data.Dataset
    steps: int
    validation: tf.data.Dataset
    class_weight: dict[int, float] | None


@dataclass(frozen=True)
class Fit:
    """kept_epoch: whose weights are kept, from 0, within this fit. kept: name (loss, val_accuracy, …) to value in that epoch.
    epochs: how many ran."""

    kept_epoch: int
    kept: dict[str, float]
    epochs: int


@dataclass(frozen=True)
class Phase:
    """What differs between the phases of training.

    finish: the fitted network to the whole model, which is kept if training diverges. fallback: the model to keep where no
    epoch was good and worth keeping; None: nothing. epochs_before: of earlier phases. is_last: whether it can be given
    up, as nothing follows. rate_name: the parameter to lower.
    checkpoints: what to go on from, if anything; the batches have to begin with its `first_epoch`.
    """

    finish: Callable[[keras.Model], keras.Model] = lambda model: model
    fallback: Callable[[], keras.Model] | None = None
    is_worth_keeping: Callable[[Fit], bool] = lambda _: True
    epochs_before: int = 0
    is_last: bool = True
    rate_name: str = "train.learning_rate"
    checkpoints: PhaseCheckpoints = NO_PHASE


ONLY_PHASE = Phase()


def open_record(folder: Path) -> Live:
    """A new dvclive record, to be used in `with`: closed by the callback of `fit`, it could not take a second phase. By
    default, dvclive would edit dvc.yaml at every step."""
    return Live(str(folder), dvcyaml=False, save_dvc_exp=False, report=None, monitor_system=False)


def fit(
    family: str,
    model: keras.Model,
    recipe: Recipe,
    data: FitData,
    *,
    live: Live,
    phase: Phase = ONLY_PHASE,
    watch: Watch | None = None,
    copy: keras.Model | None = None,
) -> Fit:
    """Trains a compiled model in place by a recipe, and leaves it with the weights of its best or its last epoch, as
    early_stopping.restore says.

    copy: what `compile_model` returned, if several devices may share the batches. live: gets one row per epoch; the caller
    closes it. watch: see Watch. Raises PipelineError if the loss is no longer finite, having kept the best epoch's weights
    until then in models/<family>.last-good.keras; see Phase.
    """
    keeper, record = EpochKeeper(recipe.early_stopping, epochs=recipe.epochs), keras.callbacks.History()
    trained = model if copy is None else copy
    make = make_inputs if trained is model else partial(share_fit, trained)
    # Averaged weights are put in before the keeper takes them.
    optimizer = getattr(trained.optimizer, "inner_optimizer", trained.optimizer)  # inside of one that scales the loss
    averaging = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if optimizer.use_ema else []
    quitter = make_quitter(family, recipe, record) if phase.is_last else None
    quitting = [] if quitter is None else [quitter]
    callbacks = [*averaging, keeper, *make_callbacks(family, recipe, live, phase, watch), record, *quitting]
    log_resumed(family, phase.checkpoints, epochs=recipe.epochs, before=phase.epochs_before)
    keep_freed_memory()
    replay(live, phase.checkpoints.found)
    history = trained.fit(
        **make(data.batches, data.validation, data.class_weight),
        steps_per_epoch=data.steps,
        epochs=recipe.epochs,
        callbacks=[*callbacks, Resumer(phase.checkpoints, keeper, record, others=callbacks, epochs=recipe.epochs)],
        initial_epoch=phase.checkpoints.first_epoch,
        shuffle=False,  # the batches are shuffled already
        verbose=0,
    ).history
    if trained is not model:
        copy_state(trained, model)
    restore(model)
    number = keeper.kept_epoch
    kept = {name: float(values[number]) for name, values in history.items() if len(values) > number}
    outcome = Fit(number, kept, len(history["loss"]))
    if quitter is not None and quitter.given_up:
        live.summary["given_up"] = quitter.given_up
    if not is_finite(history):
        good = choose_kept(model, history, outcome, phase)
        raise PipelineError(explain_divergence(family, history, recipe.learning_rate, phase, good))
    return outcome


def make_inputs(
    batches: tf.data.Dataset, validation: tf.data.Dataset, class_weight: dict[int, float] | None
) -> dict[str, Any]:
    """Arguments of Keras' `fit` for one device."""
    return {"x": batches, "validation_data": validation, "class_weight": class_weight}


def compile_model(
    model: keras.Model,
    recipe: Recipe,
    steps: int,
    steps_per_execution: int = 1,
    *,
    factors: Mapping[str, float] | None = None,
    lesson: Lesson | None = None,
    shared: bool = True,
) -> keras.Model:
    """Sets the optimizer, loss, metrics and, until `fit` ends, the precision. Returns the compiled model: this one or, where
    several devices share its batches, a copy of it on them. steps: per epoch. factors: see `make_optimizer`. lesson: of a
    teacher; None: labels alone. shared: False: by one device in any case. Labels come as `soften_labels` gives them for this
    recipe."""
    copy = mirror(model, recipe.batch_size) if shared else model
    # A layer inside of another one may have another path in the copy.
    paths = {old.path: new.path for old, new in zip(model.variables, copy.variables, strict=True)}
    mode = get_training_mode()
    lower(copy, mode.precision)
    loss = "categorical_crossentropy" if recipe.has_soft_labels else "sparse_categorical_crossentropy"
    with on_devices() if copy is not model else nullcontext():
        optimizer = make_optimizer(
            recipe.optimizer,
            make_rate(recipe.schedule, recipe.learning_rate, epochs=recipe.epochs, steps_per_epoch=steps),
            step_decay=recipe.schedule.step_decay,
            weight_decay=recipe.weight_decay,
            ema=recipe.ema,
            factors={paths.get(path, path): factor for path, factor in (factors or {}).items()},
        )
        copy.compile(
            optimizer,
            loss if lesson is None else DistillationLoss(lesson),
            metrics=["accuracy" if lesson is None else LabelAccuracy()],
            steps_per_execution=steps_per_execution,
            jit_compile=mode.xla,
        )
    return copy


def compute_class_weight(counts: dict[str, int], how: ClassWeight) -> dict[int, float] | None:
    """Weight by class number: None, or, balanced, such that all classes have the same total weight: n / (classes × n of the
    class). counts: class to images, in the order of the class numbers."""
    if how == "none":
        return None
    from sklearn.utils.class_weight import compute_class_weight as compute_weights  # half a second: only where needed

    numbers = np.arange(len(counts))
    weights = compute_weights(how, classes=numbers, y=np.repeat(numbers, list(counts.values())))
    return dict(enumerate(weights.tolist()))


def make_callbacks(
    family: str, recipe: Recipe, live: Live, phase: Phase, watch: Watch | None
) -> list[keras.callbacks.Callback]:
    """All but the one that keeps weights."""
    callbacks = [
        *make_rate_callbacks(recipe),
        keras.callbacks.TerminateOnNaN(),
        DVCLiveCallback(live=live),
        EpochLog(family, epochs_before=phase.epochs_before, epochs=phase.epochs_before + recipe.epochs),
    ]
    return callbacks if watch is None else [*callbacks, make_watcher(watch, phase.epochs_before)]


class EpochLog(keras.callbacks.Callback):
    """Logs one line per epoch."""

    def __init__(self, family: str, *, epochs_before: int, epochs: int) -> None:
        """epochs: of all phases so far, this one included, at most."""
        super().__init__()
        self._family, self._before, self._epochs = family, epochs_before, epochs
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002 - Keras' names
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        names = ("accuracy", "loss", "val_accuracy", "val_loss")
        values = ", ".join(f"{name} {logs[name]:.4f}" for name in names if logs and name in logs)
        number, seconds = self._before + epoch + 1, time.perf_counter() - self._start
        logger.info("%s: epoch %d/%d: %s, %.1f s", self._family, number, self._epochs, values, seconds)


def make_watcher(watch: Watch, epochs_before: int) -> keras.callbacks.Callback:
    """Calls `watch` after each epoch."""
    return keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: watch(epochs_before + epoch, float(logs["val_accuracy"]))
    )


def is_better(recipe: Recipe, one: Fit, other: Fit) -> bool:
    """Whether the kept epoch of `one` is better than that of `other`, by the monitor of early stopping."""
    monitor = recipe.early_stopping.monitor
    a, b = one.kept[monitor], other.kept[monitor]
    return a < b if monitor == "val_loss" else a > b


def is_finite(history: dict[str, list[float]]) -> bool:
    """Whether the training and the validation loss are finite in every epoch."""
    return all(np.isfinite(history[name]).all() for name in ("loss", "val_loss"))


def is_good_epoch(history: dict[str, list[float]], epoch: int) -> bool:
    """Whether they are in this one. epoch: from 0."""
    return all(np.isfinite(history[name][epoch]) for name in ("loss", "val_loss"))


def choose_kept(model: keras.Model, history: dict[str, list[float]], outcome: Fit, phase: Phase) -> keras.Model | None:
    """After divergence: the best epoch's model if it is good and worth keeping, else the fallback, if there is one."""
    is_good = is_good_epoch(history, outcome.kept_epoch) and all(np.isfinite(a).all() for a in model.get_weights())
    if is_good and phase.is_worth_keeping(outcome):
        return phase.finish(model)
    return phase.fallback() if phase.fallback else None


def explain_divergence(
    family: str, history: dict[str, list[float]], rate: float, phase: Phase, kept: keras.Model | None
) -> str:
    """One line; saves the model that is kept, if there is one."""
    epoch = next(epoch for epoch in range(len(history["loss"])) if not is_good_epoch(history, epoch))
    where = "no epoch before it was good, nothing is kept"
    if kept is not None:
        file = MODELS / f"{family}.last-good.keras"
        save_model(kept, file)
        where = f"the last good weights are kept in {file}"
    return (
        f"{family}: the loss is no longer a number in epoch {phase.epochs_before + epoch + 1} with learning rate {rate:g}: "
        f"expected a finite loss; lower {phase.rate_name}; {where}"
    )


def log_kept(live: Live, epoch: int, kept: dict[str, Any]) -> None:
    """Adds what is kept to the record, as `best`: dvclive by itself knows the last epoch only. epoch: from 1."""
    live.summary["best"] = {"epoch": epoch} | kept
