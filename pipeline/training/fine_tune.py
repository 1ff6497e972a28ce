"""The second phase: training of a backbone itself, on pixels. Imports TensorFlow."""

import keras
import tensorflow as tf
from dvclive import Live

from pipeline.config.families import FAMILIES
from pipeline.config.sections import TransferRecipe
from pipeline.models.backbones import unfreeze
from pipeline.training.fit import Fit, Watch, fit, is_better, log_best
from pipeline.training.network import read_validation


def fine_tune(
    family: str,
    model: keras.Model,
    network: keras.Model,
    recipe: TransferRecipe,
    batches: tf.data.Dataset,
    steps: int,
    class_weight: dict[int, float] | None,
    frozen: Fit,
    live: Live,
    watch: Watch | None = None,
) -> None:
    """The second phase, in place, on pixels. Leaves the model as it was if no epoch is better than the first phase's best."""
    before, rule = model.get_weights(), recipe.fine_tune

    def restore() -> keras.Model:
        network.trainable = False
        model.set_weights(before)
        return model

    unfreeze(str(FAMILIES[family].backbone), network, rule.unfreeze)
    settings = {"epochs": rule.epochs, "learning_rate": rule.learning_rate, "optimizer": rule.optimizer}
    tuned = fit(
        family,
        model,
        recipe.model_copy(update=settings),
        batches=batches,
        steps=steps,
        validation=read_validation(),
        class_weight=class_weight,
        live=live,
        rate_name=f"recipes.{family}.fine_tune.learning_rate",
        fallback=restore,
        is_worth_keeping=lambda outcome: is_better(recipe, outcome, frozen),
        epochs_before=frozen.epochs,
        watch=watch,
    )
    if is_better(recipe, tuned, frozen):
        log_best(live, frozen.epochs + tuned.best_epoch + 1, tuned.best)
        return
    print(f"{family}: no epoch of fine-tuning is better than the frozen backbone's best: that one is kept")
    restore()
