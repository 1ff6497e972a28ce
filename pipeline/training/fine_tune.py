"""The second phase of transfer learning: training of the backbone itself, on pixels. Imports TensorFlow."""

import logging

import keras
from dvclive import Live

from pipeline.config.families import FAMILIES
from pipeline.config.recipe_sections import TransferRecipe
from pipeline.models.backbones.loader import unfreeze
from pipeline.training.checkpoints import PhaseCheckpoints
from pipeline.training.fit import Fit, FitData, Phase, Watch, compile_model, fit, is_better, log_kept

logger = logging.getLogger(__name__)


def make_tuning_recipe(recipe: TransferRecipe) -> TransferRecipe:
    """How the backbone is trained: as the head, but for what `fine_tune` says."""
    rule = recipe.fine_tune
    names = ("epochs", "learning_rate", "optimizer", "early_stopping", "reduce_lr")
    return recipe.model_copy(update={name: getattr(rule, name) for name in names})


def train_whole(
    family: str,
    model: keras.Model,
    network: keras.Model,
    recipe: TransferRecipe,
    data: FitData,
    *,
    live: Live,
    watch: Watch | None = None,
    checkpoints: PhaseCheckpoints,
) -> None:
    """Trains an untrained head and the backbone in it at once, in place; see `fine_tune`."""
    tuning = make_tuning_recipe(recipe)
    unfreeze(str(FAMILIES[family].backbone), network, recipe.fine_tune.unfreeze)
    compile_model(model, tuning, data.steps)
    phase = Phase(rate_name=_name_rate(family), checkpoints=checkpoints)
    outcome = fit(family, model, tuning, data, live=live, phase=phase, watch=watch)
    log_kept(live, outcome.kept_epoch + 1, outcome.kept)


def _name_rate(family: str) -> str:
    return f"recipes.{family}.fine_tune.learning_rate"


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
    checkpoints: PhaseCheckpoints,
) -> None:
    """Fine-tunes a model in place. Leaves it as it was if no epoch is better than the first phase's best.

    network: the backbone within the model. data: images, float32 (batch, size, size, 3), 0 to 255. frozen: the first phase.
    checkpoints: of this one.
    """
    before, tuning = model.get_weights(), make_tuning_recipe(recipe)

    def restore() -> keras.Model:
        network.trainable = False
        model.set_weights(before)
        return model

    unfreeze(str(FAMILIES[family].backbone), network, recipe.fine_tune.unfreeze)
    compile_model(model, tuning, data.steps)
    phase = Phase(
        fallback=restore,
        is_worth_keeping=lambda outcome: is_better(tuning, outcome, frozen),
        epochs_before=frozen.epochs,
        rate_name=_name_rate(family),
        checkpoints=checkpoints,
    )
    tuned = fit(family, model, tuning, data, live=live, phase=phase, watch=watch)
    if is_better(tuning, tuned, frozen):
        log_kept(live, frozen.epochs + tuned.kept_epoch + 1, tuned.kept)
        return
    logger.info("%s: fine-tuning has no better epoch than the frozen backbone's best, which is kept", family)
    restore()
