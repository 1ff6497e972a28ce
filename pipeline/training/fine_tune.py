"""The second phase of transfer learning: training of the backbone itself, on pixels or from a cut on. Imports TensorFlow."""

import logging
from collections.abc import Callable

import keras
from dvclive import Live

from pipeline.config.families import FAMILIES
from pipeline.config.recipe_sections import TransferRecipe
from pipeline.models.backbones.blocks import split_blocks
from pipeline.models.backbones.loader import load_backbone, unfreeze
from pipeline.training.checkpoints import PhaseCheckpoints
from pipeline.training.fit import Fit, FitData, Phase, Watch, compile_model, fit, is_better, log_kept
from pipeline.training.soft_labels import soften_labels

logger = logging.getLogger(__name__)


def make_tuning_recipe(recipe: TransferRecipe) -> TransferRecipe:
    """How the backbone is trained: as the head, but for what `fine_tune` says."""
    rule = recipe.fine_tune
    names = ["epochs", "learning_rate", "optimizer", "label_smoothing", "ema", "early_stopping", "reduce_lr"]
    names += [name for name in ("batch_size", "schedule") if getattr(rule, name) is not None]
    changed = {name: getattr(rule, name) for name in names}
    changed["augment"] = recipe.augment.model_copy(update={"mixup": rule.mixup})
    if rule.early_stopping.give_up_below is None:  # a bar is one of the whole training
        bar = {"give_up_below": recipe.early_stopping.give_up_below}
        changed["early_stopping"] = rule.early_stopping.model_copy(update=bar)
    return recipe.model_copy(update=changed)


def compile_tuned(
    family: str, model: keras.Model, network: keras.Model, recipe: TransferRecipe, data: FitData
) -> tuple[keras.Model, FitData]:
    """Unfreezes and compiles; returns what `compile_model` does, and the data with labels as the loss takes them."""
    name, rule = str(FAMILIES[family].backbone), recipe.fine_tune
    unfreeze(name, network, rule.unfreeze, cut=rule.cut)
    factors = make_rate_factors(name, network, rule.layer_decay)
    tuning = make_tuning_recipe(recipe)
    copy = compile_model(model, tuning, data.steps, factors=factors)
    return copy, soften_labels(data, model.output_shape[-1], tuning)


def make_rate_factors(name: str, network: keras.Model, decay: float) -> dict[str, float]:
    """Path of a variable to the factor on its learning rate: `decay` in the last block, its square in the one before, and so on
    (layer-wise rates: Howard and Ruder 2018, arXiv:1801.06146). None for decay 1."""
    if decay == 1:
        return {}
    blocks = reversed(split_blocks(load_backbone(name), network))
    return {
        variable.path: decay**number
        for number, block in enumerate(blocks, start=1)
        for layer in block
        for variable in layer.weights
    }


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
    copy, data = compile_tuned(family, model, network, recipe, data)
    phase = Phase(rate_name=_name_rate(family), checkpoints=checkpoints)
    outcome = fit(family, model, tuning, data, live=live, phase=phase, watch=watch, copy=copy)
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
    finish: Callable[[keras.Model], keras.Model] = lambda model: model,
    watch: Watch | None = None,
    checkpoints: PhaseCheckpoints,
) -> None:
    """Fine-tunes a model in place. Leaves it as it was if no epoch is better than the first phase's best.

    model: the whole one, or what comes after the cut, see `build_tail`. network: the backbone, whose layers it has. data: what
    the model takes: images, float32 (batch, size, size, 3), 0 to 255, or activations. frozen: the first phase. finish: the
    model to the whole one. checkpoints: of this phase.
    """
    before, tuning = model.get_weights(), make_tuning_recipe(recipe)

    def restore() -> keras.Model:
        network.trainable = False
        model.set_weights(before)
        return finish(model)

    copy, data = compile_tuned(family, model, network, recipe, data)
    phase = Phase(
        finish=finish,
        fallback=restore,
        is_worth_keeping=lambda outcome: is_better(tuning, outcome, frozen),
        epochs_before=frozen.epochs,
        rate_name=_name_rate(family),
        checkpoints=checkpoints,
    )
    tuned = fit(family, model, tuning, data, live=live, phase=phase, watch=watch, copy=copy)
    if is_better(tuning, tuned, frozen):
        log_kept(live, frozen.epochs + tuned.kept_epoch + 1, tuned.kept)
        return
    logger.info("%s: fine-tuning has no better epoch than the frozen backbone's best, which is kept", family)
    restore()
