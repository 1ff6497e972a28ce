"""A backbone cut in two: activations at the cut, to be kept, and what comes after them, to be trained. Imports Keras."""

import logging
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from pipeline.config.recipe_sections import LinearRecipe, Recipe, TransferRecipe
from pipeline.data.embeddings import CUT_DTYPE, EmbeddingFacts
from pipeline.models.backbones.blocks import count_multiply_adds, cut_after, list_block_outputs
from pipeline.models.backbones.loader import load_backbone, unfreeze
from pipeline.models.transfer import POOLED_LAST, add_head, make_feature_model
from pipeline.runtime.errors import PipelineError

logger = logging.getLogger(__name__)

_GB = 1e9


def make_extractor(
    network: keras.Model, facts: EmbeddingFacts, *, image_size: int, input_size: int
) -> tuple[keras.Model, EmbeddingFacts]:
    """Pixels to pooled features, see `make_feature_model`, and, where there is a cut, the activations there behind them:
    float32 (batch, features + height × width × channels), in one pass. And the facts, with the number of features and the shape
    at the cut."""
    sizes = {"image_size": image_size, "input_size": input_size}
    if facts.cut is None:
        model = make_feature_model(facts.backbone, network, **sizes, features=facts.features)
        return model, replace(facts, num_features=model.output_shape[-1])
    blocks = sorted({*facts.features, facts.cut})
    whole = make_feature_model(facts.backbone, network, **sizes, features=blocks)
    names = [*(f"pooled_{block}" for block in facts.features), POOLED_LAST]
    pooled = [whole.get_layer(name).output for name in names]
    activations = whole.get_layer(f"pooled_{facts.cut}").input
    model = keras.Model(whole.input, layers.Concatenate()([*pooled, layers.Flatten()(activations)]))
    shape = list(activations.shape[1:])
    return model, replace(facts, num_features=sum(part.shape[-1] for part in pooled), cut_shape=shape)


def count_early_features(name: str, network: keras.Model, features: Sequence[int], cut: int) -> int:
    """How many of the pooled features come from blocks up to the cut: they stay as they are."""
    outputs = list_block_outputs(load_backbone(name), network)
    return sum(outputs[block - 1].shape[-1] for block in features if block <= cut)


def build_tail(name: str, network: keras.Model, *, features: Sequence[int], cut: int, **head: Any) -> keras.Model:
    """What comes after the cut, with an untrained head: activations, (batch, height, width, channels), and where `features`
    names blocks up to the cut, their pooled outputs, (batch, channels), to probabilities. It shares its layers with `network`,
    so that training it trains that. head: arguments of `add_head`."""
    _, tail = cut_after(name, load_backbone(name), network, cut)
    activations = keras.Input(tail.input_shape[1:], name="activations")
    # training=False: batch normalization keeps ImageNet's statistics, as in `build_transfer`.
    last, *later = keras.tree.flatten(tail(activations, training=False))
    inputs, pooled = [activations], []
    if early := count_early_features(name, network, features, cut):
        inputs.append(keras.Input((early,), name="early_features"))
        pooled.append(inputs[1])
    pooled += [layers.GlobalAveragePooling2D()(later[block - cut - 1]) for block in features if block > cut]
    pooled.append(layers.GlobalAveragePooling2D()(last))
    joined = layers.Concatenate()(pooled) if len(pooled) > 1 else pooled[0]
    outputs = add_head(joined, **head)
    return keras.Model(inputs if early else activations, outputs, name=f"{name}_tail")


def prepare_cut(
    family: str,
    recipe: Recipe | LinearRecipe,
    network: keras.Model,
    facts: EmbeddingFacts,
    folder: Path = Path(),
) -> None:
    """Where there is a cut, says before it starts what keeping the activations costs and spares. folder: on the disk to which
    they will be written. Raises PipelineError where they do not fit, and for `unfreeze` that reaches before the cut."""
    if facts.cut is None or not isinstance(recipe, TransferRecipe):
        return
    unfreeze(facts.backbone, network, recipe.fine_tune.unfreeze, cut=facts.cut)
    network.trainable = False
    images = facts.num_images["train"] * len(facts.training_views) + facts.num_images["val"] * (1 + facts.mirrored)
    size = images * math.prod(facts.cut_shape) * np.dtype(CUT_DTYPE).itemsize
    _, tail = cut_after(facts.backbone, load_backbone(facts.backbone), network, facts.cut)
    logger.info(
        "%s: keeps the activations after block %d, %s in %s, of %d images and views: %.2f GB; of the backbone's multiply-adds, "
        "%.0f %% are left for each epoch of fine-tuning",
        family,
        facts.cut,
        " × ".join(map(str, facts.cut_shape)),
        CUT_DTYPE,
        images,
        size / _GB,
        100 * count_multiply_adds(tail) / count_multiply_adds(network),
    )
    free = shutil.disk_usage(folder).free
    if size > free:
        raise PipelineError(
            f"{family}: the activations after block {facts.cut} do not fit on the disk: expected {size / _GB:.2f} GB free, "
            f"received {free / _GB:.2f} GB; name a later block in recipes.{family}.fine_tune.from, set it to null, or lower "
            "embed.views"
        )
