"""Where a backbone can be cut, and how fast what follows trains here, in a few steps on noise. Imports TensorFlow."""

import math

import keras

from pipeline.config.families import FAMILIES
from pipeline.config.recipe_sections import TransferRecipe
from pipeline.config.recipes import find_cut
from pipeline.doctor.cuts import Cut, Cuts, pick_measured
from pipeline.doctor.steps import measure_tail
from pipeline.models.backbones.blocks import count_multiply_adds, cut_after, list_block_outputs
from pipeline.models.backbones.loader import build_backbone, load_backbone, unfreeze
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.progress import progress_bar


def measure_cuts(family: str, recipe: TransferRecipe, input_size: int, num_classes: int) -> Cuts:
    """All cuts of a family's backbone, with random weights, on which no speed depends; at three of them training is measured.
    input_size: pixels. num_classes: of the data. Raises PipelineError where fine_tune.unfreeze reaches before each of them."""
    name, rule = str(FAMILIES[family].backbone), recipe.fine_tune
    network = build_backbone(name, input_size, family=family)
    unfreeze(name, network, rule.unfreeze)
    cuts = Cuts(family, input_size, find_cut(recipe), _count_trained(network))
    for block in range(1, len(list_block_outputs(load_backbone(name), network)) + 1):
        try:
            cuts.found.append(_describe(name, network, rule.unfreeze, block))
        except PipelineError as error:
            cuts.refused[block] = _shorten(error)
    if not cuts.found:
        raise PipelineError(
            f"{family} can be cut nowhere: expected a fine_tune.unfreeze that leaves a block frozen, received {rule.unfreeze}"
        )
    for cut in progress_bar(pick_measured(cuts.found), desc="measure", unit=" cuts", leave=False, disable=None):
        cuts.measured[cut.block] = measure_tail(family, network, cut_at(recipe, cut.block), cut.block, num_classes)
    return cuts


def cut_at(recipe: TransferRecipe, block: int) -> TransferRecipe:
    """The recipe with that cut, and with an epoch of fine-tuning if it has none."""
    rule = recipe.fine_tune
    changes = {"from": f"block {block}", "epochs": max(1, rule.epochs)}
    return recipe.model_copy(update={"fine_tune": rule.model_copy(update=changes)})


def _describe(name: str, network: keras.Model, which: str | int, block: int) -> Cut:
    """Raises PipelineError for a block after which it can't be cut, or before which layers shall train."""
    stem, tail = cut_after(name, load_backbone(name), network, block)
    unfreeze(name, network, which, cut=block)
    share = count_multiply_adds(tail) / count_multiply_adds(network)
    return Cut(block, tuple(stem.output_shape[1:]), share, _count_trained(tail))


def _count_trained(network: keras.Model) -> int:
    return sum(math.prod(variable.shape) for variable in network.trainable_variables)


def _shorten(error: PipelineError) -> str:
    return "fine_tune.unfreeze reaches before it" if "reach before" in str(error) else "other branches flow past it"
