"""Optimizers and learning rate schedules. Imports Keras."""

import math
from collections.abc import Callable

import keras

from pipeline.config.recipe_sections import Optimizer, Recipe, Schedule


def make_optimizer(
    name: Optimizer, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule
) -> keras.Optimizer:
    """adam, adamw, rmsprop, or sgd with momentum 0.9."""
    return {
        "adam": lambda: keras.optimizers.Adam(learning_rate),
        "adamw": lambda: keras.optimizers.AdamW(learning_rate),
        "rmsprop": lambda: keras.optimizers.RMSprop(learning_rate),
        "sgd": lambda: keras.optimizers.SGD(learning_rate, momentum=0.9),
    }[name]()


def make_rate(
    schedule: Schedule, learning_rate: float, *, epochs: int, steps_per_epoch: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The optimizer's argument: a number, or a cosine schedule that warms up from 0 to `learning_rate` and decays to 0
    (Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts)."""
    if schedule.kind != "cosine":
        return learning_rate
    warmup = min(schedule.warmup_epochs, epochs - 1) * steps_per_epoch
    rest = epochs * steps_per_epoch - warmup
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(learning_rate, rest)
    return keras.optimizers.schedules.CosineDecay(0.0, rest, warmup_target=learning_rate, warmup_steps=warmup)


def make_rate_callbacks(recipe: Recipe) -> list[keras.callbacks.Callback]:
    """The plateau rule and the exponential schedule, if a recipe has them; both change the current rate."""
    callbacks: list[keras.callbacks.Callback] = []
    if recipe.schedule.kind == "exponential":
        callbacks.append(keras.callbacks.LearningRateScheduler(make_exponential(recipe.schedule)))
    if recipe.reduce_lr.patience is not None:
        rule = recipe.reduce_lr
        callbacks.append(
            keras.callbacks.ReduceLROnPlateau(
                monitor=recipe.early_stopping.monitor, factor=rule.factor, patience=rule.patience, min_lr=rule.min_lr
            )
        )
    return callbacks


def make_exponential(schedule: Schedule) -> Callable[[int, float], float]:
    """System D's schedule, (epoch from 0, rate) to rate: constant for `hold_epochs`, then e^-decay times the previous epoch's;
    the first epoch has no previous one."""
    factor, hold = math.exp(-schedule.decay), max(1, schedule.hold_epochs)
    return lambda epoch, rate: rate if epoch < hold else rate * factor
