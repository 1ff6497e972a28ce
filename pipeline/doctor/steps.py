"""How fast families embed and train here, in a few steps on noise. Imports TensorFlow.

Nothing is downloaded: a backbone's speed does not depend on its weights.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from threadpoolctl import threadpool_limits

from pipeline.config.families import FAMILIES
from pipeline.config.recipe_sections import LinearRecipe, Recipe
from pipeline.config.recipes import find_cut, list_features, resolve_family
from pipeline.config.sections import Params
from pipeline.data.augmentation import Augmentation, augment_batch, draw_numbers
from pipeline.data.tfrecords import DatasetFacts
from pipeline.doctor.speed import Speed
from pipeline.models.backbones.blocks import count_multiply_adds, cut_after
from pipeline.models.backbones.loader import build_backbone, load_backbone
from pipeline.models.build import build_model
from pipeline.models.inference import freeze
from pipeline.models.transfer import make_feature_model
from pipeline.training.fit import compile_model
from pipeline.training.network import adapt_normalization, make_settings

_LEAST_STEPS, _MOST_STEPS = 3, 20
_PER_FAMILY = 0.6  # seconds of steps, once the first one has been made
_LINEAR_ROWS, _LINEAR_COLUMNS = 2048, 4096  # 33 MB: more than most caches


def measure_family(family: str, params: Params, num_classes: int) -> Speed:
    """num_classes: of the data."""
    recipe = resolve_family(params, family)
    if FAMILIES[family].backbone:
        return measure_backbone(family, params)
    if isinstance(recipe, LinearRecipe):
        return measure_linear(family)
    return measure_network(family, recipe, params, num_classes)


def measure_linear(family: str) -> Speed:
    """Products of float32 matrices on one thread, as a linear machine has them: square ones once, thin ones in every pass."""
    x, thin = np.ones((_LINEAR_ROWS, _LINEAR_COLUMNS), np.float32), np.ones((_LINEAR_COLUMNS, 8), np.float32)
    with threadpool_limits(1):
        product = _repeat(lambda: x[:512] @ x[:512].T) / (512 * 512 * _LINEAR_COLUMNS)
        sweep = _repeat(lambda: x @ thin) / x.size
    return Speed(family, product=product, sweep=sweep)


def measure_backbone(family: str, params: Params) -> Speed:
    """Of features, in batches as `embed` has them."""
    begin, name = time.perf_counter(), str(FAMILIES[family].backbone)
    network = build_backbone(name, params.input_size(family))
    sizes = {"image_size": params.image_size, "input_size": params.input_size(family)}
    model = make_feature_model(name, network, **sizes, features=list_features(params.recipes[family]))
    extract, batch = freeze(model), _make_images(params.embed.batch_size, params.image_size)
    extract(batch)
    first = time.perf_counter()
    return Speed(
        family,
        begin=first - begin,
        embed=_repeat(lambda: extract(batch)) / params.embed.batch_size,
        num_features=int(model.output_shape[-1]),
        **_measure_cut(name, network, find_cut(params.recipes[family])),
        parameters=int(model.count_params()),
    )


def _measure_cut(name: str, network: keras.Model, cut: int | None) -> dict[str, Any]:
    if cut is None:
        return {}
    stem, _ = cut_after(name, load_backbone(name), network, cut)
    share = count_multiply_adds(stem) / count_multiply_adds(network)
    return {"cut_numbers": math.prod(stem.output_shape[1:]), "stem_share": share}


def measure_network(family: str, recipe: Recipe, params: Params, num_classes: int) -> Speed:
    """Of training steps, with augmentation beside them as in training."""
    begin = time.perf_counter()
    facts = DatasetFacts(
        class_names=[str(number) for number in range(num_classes)],
        num_images={},
        counts={},
        image_size=params.image_size,
        resize=params.preprocess.resize,
        channel_mean=[127.0] * 3,
        channel_std=[64.0] * 3,
    )
    model = build_model(family, **make_settings(family, recipe, facts))
    adapt_normalization(model, facts.channel_mean, facts.channel_std)
    compile_model(model, recipe, _MOST_STEPS)
    batches = iter(_make_batches(recipe, params.image_size, num_classes))
    model.make_train_function()
    model.train_function(batches)
    first = time.perf_counter()
    step = _repeat(lambda: float(model.train_function(batches)["loss"]))
    return Speed(family, begin=first - begin, step=step, parameters=int(model.count_params()))


def _repeat(work: Callable[[], object]) -> float:
    """Seconds of one call: the median of several, as other programs may run too."""
    seconds: list[float] = []
    while len(seconds) < _LEAST_STEPS or (sum(seconds) < _PER_FAMILY and len(seconds) < _MOST_STEPS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def _make_images(count: int, image_size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, image_size, image_size, 3), np.uint8)


def _make_batches(recipe: Recipe, image_size: int, num_classes: int) -> tf.data.Dataset:
    augmentation = Augmentation(**recipe.augment.model_dump())
    images = tf.constant(_make_images(recipe.batch_size, image_size))
    labels = tf.range(recipe.batch_size, dtype=tf.int64) % num_classes

    def make(epoch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        numbers = draw_numbers(recipe.batch_size, seed=0, epoch=epoch)
        return augment_batch(images, numbers, augmentation) if augmentation.is_active else images, labels

    epochs = tf.data.Dataset.range(np.iinfo(np.int64).max)
    return epochs.map(make, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
