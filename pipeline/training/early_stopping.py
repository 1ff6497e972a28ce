"""When a fit ends before its last epoch, and whose weights are kept. Imports Keras."""

import logging

import keras
import numpy as np

from pipeline.config.recipe_sections import EarlyStopping, Recipe
from pipeline.training.learning_curve import estimate_highest, is_hopeless

logger = logging.getLogger(__name__)


class EpochKeeper(keras.callbacks.EarlyStopping):
    """Stops early as a recipe says. When training ends, whether early or not, restores the weights of the best epoch, or keeps
    those of the last one; also then the best ones where the loss is no longer a number."""

    def __init__(self, rule: EarlyStopping, *, epochs: int) -> None:
        """epochs: at most."""
        super().__init__(
            monitor=rule.monitor,
            mode="min" if rule.monitor == "val_loss" else "max",
            patience=epochs + 1 if rule.patience is None else rule.patience,
            restore_best_weights=True,
        )
        self._keeps_last, self.kept_epoch = rule.restore == "last", 0

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        is_good = all(np.isfinite((logs or {}).get(name, np.nan)) for name in ("loss", "val_loss"))
        self.restore_best_weights = True  # without it, Keras would not note them
        if is_good:  # accuracy is a number whatever the loss, and guesses may be right more often than before
            super().on_epoch_end(epoch, logs)
        self.restore_best_weights = not (self._keeps_last and is_good)
        self.kept_epoch = self.best_epoch if self.restore_best_weights else epoch


class Quitter(keras.callbacks.Callback):
    """Ends training once the learning curve says that it can't reach a bar. To come after the history."""

    def __init__(self, family: str, recipe: Recipe, history: keras.callbacks.History) -> None:
        super().__init__()
        self._family, self._epochs, self._history = family, recipe.epochs, history
        self._bar = float(recipe.early_stopping.give_up_below or 0)
        self.given_up: dict[str, float] | None = None  # epoch, from 1; epochs that were planned; the estimate; the bar

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002 - Keras' names
        curve = [float(value) for value in self._history.history["val_accuracy"]]
        if epoch + 1 < self._epochs and is_hopeless(curve, self._epochs, self._bar):
            highest = estimate_highest(curve, self._epochs)
            self.given_up = {"epoch": epoch + 1, "epochs": self._epochs, "highest": round(highest, 4), "bar": self._bar}
            self.model.stop_training = True
            logger.info(
                "%s: given up after %d of %d epochs: by its learning curve, its validation accuracy would reach %.4f at most, "
                "which is below early_stopping.give_up_below, %g",
                *(self._family, epoch + 1, self._epochs, highest, self._bar),
            )


def make_quitter(family: str, recipe: Recipe, history: keras.callbacks.History) -> Quitter | None:
    """None where the recipe has no bar, or a rate that falls to 0 at the end, which is when the accuracy comes."""
    if recipe.early_stopping.give_up_below is None:
        return None
    if recipe.schedule.kind in ("cosine", "one_cycle"):
        logger.info(
            "%s: is not given up early: with schedule %s, the accuracy comes at the end", family, recipe.schedule.kind
        )
        return None
    return Quitter(family, recipe, history)
