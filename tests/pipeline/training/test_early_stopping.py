import logging
import math
from typing import Any

import numpy as np
import pytest

from tests.pipeline.training.test_network import RECIPE, make_recipe

pytestmark = pytest.mark.usefixtures("tensorflow")


class TestEpochKeeper:
    """Which weights a network has once training has ended."""

    def train(
        self,
        losses: list[float],
        *,
        restore: str,
        patience: int | None = None,
        monitor: str = "val_loss",
        accuracies: list[float] | None = None,
    ) -> tuple[float, int]:
        """(the number of the epoch, from 0, whose weights the network has; the one that the record names). losses, accuracies:
        of validation, by epoch."""
        import keras

        from pipeline.config.recipe_sections import EarlyStopping
        from pipeline.training.early_stopping import EpochKeeper

        rule = EarlyStopping(monitor=monitor, patience=patience, restore=restore)
        keeper = EpochKeeper(rule, epochs=len(losses))
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
        callbacks = keras.callbacks.CallbackList([keeper], model=model)
        callbacks.on_train_begin()
        for epoch, loss in enumerate(losses):
            model.layers[0].set_weights([np.full((1, 1), float(epoch), np.float32)])
            logs = {"loss": loss, "val_loss": loss, "val_accuracy": accuracies[epoch] if accuracies else 0.0}
            callbacks.on_epoch_end(epoch, logs)
            if getattr(model, "stop_training", False):
                break
        callbacks.on_train_end()
        return float(model.layers[0].get_weights()[0][0, 0]), keeper.kept_epoch

    def test_best_is_that_of_the_lowest_loss(self):
        assert self.train([3.0, 1.0, 2.0], restore="best") == (1, 1)

    def test_last_is_the_last(self):
        assert self.train([3.0, 1.0, 2.0], restore="last") == (2, 2)

    def test_last_is_the_one_that_patience_ended(self):
        assert self.train([3.0, 1.0, 2.0, 4.0, 5.0], restore="last", patience=2) == (3, 3)

    @pytest.mark.parametrize("restore", ["best", "last"])
    def test_one_whose_loss_is_no_number_is_never_kept(self, restore):
        assert self.train([3.0, 1.0, 2.0, math.nan], restore=restore) == (1, 1)

    @pytest.mark.parametrize("restore", ["best", "last"])
    def test_even_if_it_guesses_more_images_right(self, restore):
        losses, accuracies = [3.0, math.nan], [0.2, 0.21]
        assert self.train(losses, restore=restore, monitor="val_accuracy", accuracies=accuracies) == (0, 0)

    @pytest.mark.parametrize("restore", ["best", "last"])
    def test_a_single_epoch_is_both(self, restore):
        assert self.train([3.0], restore=restore) == (0, 0)


class TestQuitter:
    """What ends because it can't reach a bar."""

    def train(
        self, accuracies: list[float], *, bar: float | None, **changes: Any
    ) -> tuple[int, dict[str, float] | None]:
        """(epochs that ran, what is said of the end). accuracies: of validation, by epoch."""
        import keras

        from pipeline.training.early_stopping import make_quitter

        stopping = RECIPE["early_stopping"] | {"give_up_below": bar}
        recipe = make_recipe(epochs=len(accuracies), early_stopping=stopping, **changes)
        history = keras.callbacks.History()
        quitter = make_quitter("underfit", recipe, history)
        if quitter is None:
            return len(accuracies), None
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        callbacks = keras.callbacks.CallbackList([history, quitter], model=model)
        callbacks.on_train_begin()
        for epoch, accuracy in enumerate(accuracies):
            callbacks.on_epoch_end(epoch, {"val_accuracy": accuracy})
            if getattr(model, "stop_training", False):
                return epoch + 1, quitter.given_up
        return len(accuracies), quitter.given_up

    FLAT = (0.3, 0.41, 0.45, 0.46, 0.47, 0.47, 0.48, 0.47, 0.48, 0.48, 0.48, 0.48)

    def test_it_says_when_and_why(self, caplog):
        caplog.set_level(logging.INFO, "pipeline.training")
        epochs, said = self.train(list(self.FLAT), bar=0.9)
        assert epochs < len(self.FLAT)
        assert said is not None
        assert said["epoch"] == epochs
        assert said["epochs"] == len(self.FLAT)
        assert 0.47 < said["highest"] < 0.9 == said["bar"]
        assert f"underfit: given up after {epochs} of 12 epochs: by its learning curve" in caplog.text

    @pytest.mark.parametrize("bar", [None, 0.4, 0.48])
    def test_what_reaches_the_bar_goes_on_and_so_does_what_has_none(self, bar):
        assert self.train(list(self.FLAT), bar=bar) == (12, None)

    @pytest.mark.parametrize("kind", ["cosine", "one_cycle"])
    def test_a_rate_that_falls_to_the_end_promises_more_than_a_curve(self, kind, caplog):
        caplog.set_level(logging.INFO, "pipeline.training")
        schedule = RECIPE["schedule"] | {"kind": kind}
        assert self.train(list(self.FLAT), bar=0.9, schedule=schedule) == (12, None)
        assert f"underfit: is not given up early: with schedule {kind}" in caplog.text
