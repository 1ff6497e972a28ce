"""Optimizers and learning rate schedules. Imports Keras."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import keras

from pipeline.config.recipe_sections import Optimizer, Recipe, Schedule

_OPTIMIZERS: dict[Optimizer, tuple[type[keras.Optimizer], dict[str, float]]] = {
    "adam": (keras.optimizers.Adam, {}),
    "adamw": (keras.optimizers.AdamW, {}),
    "rmsprop": (keras.optimizers.RMSprop, {}),
    "sgd": (keras.optimizers.SGD, {"momentum": 0.9}),
    "nesterov": (keras.optimizers.SGD, {"momentum": 0.9, "nesterov": True}),
}
# Parameters that `weight_decay` leaves alone: those that add, and the scales of normalization.
_NOT_DECAYED = ("bias", "beta", "gamma")


def make_optimizer(
    name: Optimizer,
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
    *,
    step_decay: float = 0.0,
    weight_decay: float = 0.0,
    ema: float = 0.0,
    factors: Mapping[str, float] = MappingProxyType({}),
) -> keras.Optimizer:
    """adam, adamw, rmsprop, sgd with momentum 0.9, or nesterov, the same with Nesterov's momentum.

    weight_decay: above 0, each step takes this share, times the learning rate, off the weights of layers, beside what the
    gradient does (Loshchilov and Hutter 2019, arXiv:1711.05101); 0: as the optimizer has it, of all parameters: adamw's 0.004.

    ema: above 0, it keeps an average of the weights beside them, of which each step takes this share over (Polyak and Juditsky
    1992). factors: path of a variable to a factor on its rate, 1 for others.

    step_decay: step n, from 0, has the learning rate / (1 + step_decay × n), whatever callbacks make of that rate: `decay` of
    Keras' optimizers up to 2.10, which Keras 3 no longer has.
    """
    kind, settings = _OPTIMIZERS[name]
    averaging = {"use_ema": True, "ema_momentum": ema} if ema else {}
    decay = {"weight_decay": weight_decay} if weight_decay else {}
    optimizer = kind(learning_rate, **settings, **averaging, **decay)
    if weight_decay:
        optimizer.exclude_from_weight_decay(var_names=list(_NOT_DECAYED))
    if ema:
        optimizer.finalize_variable_values = lambda _: None  # would undo which epoch's weights are restored
    if not step_decay and not factors:
        return optimizer
    update_step = optimizer.update_step

    def update_changed(gradient: Any, variable: Any, rate: Any) -> None:
        if step_decay:
            rate = rate / (1.0 + step_decay * keras.ops.cast(optimizer.iterations, rate.dtype))
        # Of the backend's variables, which have no path, Keras notes the number.
        path = optimizer._trainable_variables[optimizer._get_variable_index(variable)].path if factors else ""
        update_step(gradient, variable, rate * factors[path] if path in factors else rate)

    optimizer.update_step = update_changed
    return optimizer


def make_rate(
    schedule: Schedule, learning_rate: float, *, epochs: int, steps_per_epoch: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The optimizer's argument: a number, or a schedule that warms up from 0 to `learning_rate` and decays to 0: along a cosine
    (Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts) or a straight line (one_cycle, a triangle: Smith and Topin
    2019, arXiv:1708.07120, without their third part)."""
    if schedule.kind not in ("cosine", "one_cycle"):
        return learning_rate
    warmup = min(schedule.warmup_epochs, epochs - 1) * steps_per_epoch
    rest = epochs * steps_per_epoch - warmup
    if schedule.kind == "one_cycle":
        return OneCycle(learning_rate, warmup, rest)
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(learning_rate, rest)
    return keras.optimizers.schedules.CosineDecay(0.0, rest, warmup_target=learning_rate, warmup_steps=warmup)


class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Up to a rate in equal steps, and down to 0 in equal steps."""

    def __init__(self, learning_rate: float, warmup: int, rest: int) -> None:
        """warmup, rest: steps before and after the highest rate."""
        super().__init__()
        self._rate, self._warmup, self._rest = learning_rate, warmup, rest

    def __call__(self, step: Any) -> Any:
        step = keras.ops.cast(step, "float32")
        up = (step + 1.0) / (self._warmup + 1.0)
        down = keras.ops.maximum(1.0 - (step - self._warmup) / self._rest, 0.0)
        return self._rate * keras.ops.minimum(up, down)

    def get_config(self) -> dict[str, Any]:
        return {"learning_rate": self._rate, "warmup": self._warmup, "rest": self._rest}


def make_rate_callbacks(recipe: Recipe) -> list[keras.callbacks.Callback]:
    """The plateau rule and the exponential schedule, if a recipe has them; both change the current rate."""
    callbacks: list[keras.callbacks.Callback] = []
    if recipe.schedule.kind == "exponential":
        callbacks.append(keras.callbacks.LearningRateScheduler(make_exponential(recipe.schedule)))
    if recipe.reduce_lr.patience is not None:
        rule = recipe.reduce_lr
        callbacks.append(
            keras.callbacks.ReduceLROnPlateau(
                monitor=rule.monitor,
                mode="min" if rule.monitor == "val_loss" else "max",
                factor=rule.factor,
                patience=rule.patience,
                min_delta=rule.min_delta,
                min_lr=rule.min_lr,
            )
        )
    return callbacks


def make_exponential(schedule: Schedule) -> Callable[[int, float], float]:
    """System D's schedule, (epoch from 0, rate) to rate: constant for `hold_epochs`, then e^-decay times the previous epoch's;
    the first epoch has no previous one."""
    factor, hold = math.exp(-schedule.decay), max(1, schedule.hold_epochs)
    return lambda epoch, rate: rate if epoch < hold else rate * factor
