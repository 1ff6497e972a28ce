"""The second phase of transfer learning: training of the backbone itself, on pixels. Imports TensorFlow."""

import logging

import keras
from dvclive import Live

from pipeline.config.families import FAMILIES
from pipeline.config.recipe_sections import TransferRecipe
from pipeline.models.backbones.loader import unfreeze
from pipeline.training.fit import Fit, FitData, Phase, Watch, compile_model, fit, is_better, log_best

logger = logging.getLogger(__name__)


def fine_tune(
    family: str,
    model: keras.Model,
    network: keras.Model,
    recipe: TransferRecipe,
    data: FitData,
    *,
    frozen: Fit,
    live: Live,
    watch: Watch | None = None,
) -> None:
    """Fine-tunes a model in place. Leaves it as it was if no epoch is better than the first phase's best.

    network: the backbone within the model. data: images, float32 (batch, size, size, 3), 0 to 255. frozen: the first phase.
    """
    before, rule = model.get_weights(), recipe.fine_tune

    def restore() -> keras.Model:
        network.trainable = False
        model.set_weights(before)
        return model

    unfreeze(str(FAMILIES[family].backbone), network, rule.unfreeze)
    settings = {"epochs": rule.epochs, "learning_rate": rule.learning_rate, "optimizer": rule.optimizer}
    tuned_recipe = recipe.model_copy(update=settings)
    compile_model(model, tuned_recipe, data.steps)
    phase = Phase(
        fallback=restore,
        is_worth_keeping=lambda outcome: is_better(recipe, outcome, frozen),
        epochs_before=frozen.epochs,
        rate_name=f"recipes.{family}.fine_tune.learning_rate",
    )
    tuned = fit(family, model, tuned_recipe, data, live=live, phase=phase, watch=watch)
    if is_better(recipe, tuned, frozen):
        log_best(live, frozen.epochs + tuned.best_epoch + 1, tuned.best)
        return
    logger.info("%s: fine-tuning has no better epoch than the frozen backbone's best, which is kept", family)
    restore()
