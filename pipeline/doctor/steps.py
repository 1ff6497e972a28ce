"""How fast families embed and train here, in a few steps on noise. Imports TensorFlow.

Nothing is downloaded, as a backbone's speed does not depend on its weights, but for how a preset of a hub is built.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from threadpoolctl import threadpool_limits

from pipeline.config.families import FAMILIES
from pipeline.config.recipe_sections import LinearRecipe, Recipe, TransferRecipe
from pipeline.config.recipes import find_cut, list_features, resolve_family
from pipeline.config.sections import Params
from pipeline.data.augmentation import Augmentation, draw_numbers
from pipeline.data.batches import augment_labelled
from pipeline.data.embeddings import EmbeddingFacts
from pipeline.data.iteration import read_untuned
from pipeline.data.tfrecords import DatasetFacts
from pipeline.doctor.speed import Speed
from pipeline.models.backbones.blocks import count_multiply_adds, cut_after
from pipeline.models.backbones.loader import build_backbone, load_backbone
from pipeline.models.build import build_model
from pipeline.models.inference import freeze
from pipeline.models.tail import build_tail, make_extractor
from pipeline.runtime.allocation import keep_freed_memory
from pipeline.runtime.processes import map_ahead
from pipeline.training.fine_tune import compile_tuned, make_tuning_recipe
from pipeline.training.fit import FitData, compile_model
from pipeline.training.head import begin_head, make_head_settings
from pipeline.training.network import adapt_normalization, make_settings
from pipeline.training.soft_labels import spread_labels

_LEAST_STEPS, _MOST_STEPS = 3, 20
_PER_FAMILY = 0.6  # seconds of steps, once the first one has been made
_BATCHES, _SEVERAL = 6, 2  # of a backbone together; fewer if they would take longer than that many times as above
_HEAD_STEPS = 8  # in one call, as heads train
_SIDE = 512  # of square matrices
_LINEAR_ROWS, _LINEAR_COLUMNS = 2048, 4096  # 33 MB: more than most caches


def measure_family(family: str, params: Params, num_classes: int, patience: int = 1) -> Speed:
    """num_classes: of the data. patience: of a backbone's images, as many times the usual steps."""
    recipe = resolve_family(params, family)
    if FAMILIES[family].backbone:
        return measure_backbone(family, params, num_classes, patience)
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


def measure_backbone(family: str, params: Params, num_classes: int, patience: int = 1) -> Speed:
    """Of features and activations at the cut, in batches as `embed` has them, and of training on them."""
    begin, name = time.perf_counter(), str(FAMILIES[family].backbone)
    recipe = resolve_family(params, family)
    asked = params.recipes[family].backbone
    network = build_backbone(name, params.input_size(family), preset=asked.preset if asked else None, family=family)
    sizes = {"image_size": params.image_size, "input_size": params.input_size(family)}
    facts = EmbeddingFacts(name, "", "", 0, params.embed.dtype, 0, {}, list_features(recipe), find_cut(recipe))
    model, facts = make_extractor(network, facts, **sizes)
    extract, batch = freeze(model), _make_images(params.embed.batch_size, params.image_size)
    extract(batch)
    first = time.perf_counter()
    square = np.ones((_SIDE, _SIDE))
    with threadpool_limits(1):
        product = _repeat(lambda: square.T @ square) / _SIDE**3
    return Speed(
        family,
        begin=first - begin,
        embed=_measure_embed(lambda: extract(batch), patience) / params.embed.batch_size,
        head=_measure_head(name, facts.num_features, recipe, num_classes),
        product=product,
        num_features=facts.num_features,
        **_measure_cut(family, network, recipe, num_classes, patience),
        parameters=int(model.count_params()),
    )


def _measure_embed(extract: Callable[[], object], patience: int) -> float:
    """Seconds of one batch where several are computed at a time, as `embed` has them: up to a tenth less than alone."""
    start = time.perf_counter()
    extract()
    count = int(_SEVERAL * _PER_FAMILY / (time.perf_counter() - start))
    count = min(_BATCHES, max(1, count))

    def extract_several() -> None:
        for _ in map_ahead(lambda _: extract(), range(count)):
            pass

    return _repeat(extract_several, patience) / count


def _measure_head(name: str, num_features: int, recipe: Recipe | LinearRecipe, num_classes: int) -> float:
    """Seconds of a training step of a head; 0 for a linear machine."""
    if not isinstance(recipe, TransferRecipe):
        return 0.0
    head = begin_head(name, num_features, num_classes, recipe, seed=0, steps=_HEAD_STEPS)
    rows = tf.random.stateless_uniform((recipe.batch_size, num_features), (0, 0))
    one = tf.data.Dataset.from_tensors((rows, _make_labels(recipe.batch_size, num_classes)))
    batches = iter(read_untuned(one.repeat()))
    return _measure_training(head, batches) / _HEAD_STEPS


def _measure_cut(
    family: str, network: keras.Model, recipe: Recipe | LinearRecipe, num_classes: int, patience: int
) -> dict[str, Any]:
    cut, name = find_cut(recipe), str(FAMILIES[family].backbone)
    if cut is None or not isinstance(recipe, TransferRecipe):
        return {}
    stem, _ = cut_after(name, load_backbone(name), network, cut)
    return {
        "cut_numbers": math.prod(stem.output_shape[1:]),
        "stem_share": count_multiply_adds(stem) / count_multiply_adds(network),
        "tail": measure_tail(family, network, recipe, cut, num_classes, patience),
    }


def measure_tail(
    family: str, network: keras.Model, recipe: TransferRecipe, cut: int, num_classes: int, patience: int = 1
) -> float:
    """Seconds of one image in training of what follows a cut, on activations that are noise. recipe: with that cut."""
    name, size = str(FAMILIES[family].backbone), make_tuning_recipe(recipe).batch_size
    tail = build_tail(name, network, features=recipe.features, cut=cut, **make_head_settings(recipe, num_classes))
    inputs = [tf.random.stateless_uniform((size, *one.shape[1:]), (0, 0)) for one in tail.inputs]
    batch = (tuple(inputs) if len(inputs) > 1 else inputs[0], _make_labels(size, num_classes))
    batches = read_untuned(tf.data.Dataset.from_tensors(batch))
    _, data = compile_tuned(family, tail, network, recipe, FitData(batches.repeat(), _MOST_STEPS, batches, None))
    return _measure_training(tail, iter(data.batches), patience) / size


def _measure_training(model: keras.Model, batches: Iterator[Any], patience: int = 1) -> float:
    """Seconds of one call of what trains a compiled model."""
    keep_freed_memory()  # as `fit` does
    model.make_train_function()
    model.train_function(batches)
    return _repeat(lambda: float(model.train_function(batches)["loss"]), patience)


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
    step = _measure_training(model, batches)
    return Speed(family, begin=first - begin, step=step, parameters=int(model.count_params()))


def _repeat(work: Callable[[], object], patience: int = 1) -> float:
    """Seconds of one call: the median of several, as other programs may run too. patience: times the usual number."""
    seconds: list[float] = []
    most = patience * _MOST_STEPS
    while len(seconds) < _LEAST_STEPS or (sum(seconds) < patience * _PER_FAMILY and len(seconds) < most):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def _make_images(count: int, image_size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, image_size, image_size, 3), np.uint8)


def _make_labels(count: int, num_classes: int) -> tf.Tensor:
    return tf.range(count, dtype=tf.int64) % num_classes


def _make_batches(recipe: Recipe, image_size: int, num_classes: int) -> tf.data.Dataset:
    augmentation = Augmentation(**recipe.augment.model_dump())
    images = tf.constant(_make_images(recipe.batch_size, image_size))
    labels = _make_labels(recipe.batch_size, num_classes)

    def make(epoch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        numbers = draw_numbers(recipe.batch_size, seed=0, epoch=epoch)
        if not augmentation.is_active:
            return images, labels
        return augment_labelled(images, labels, numbers, augmentation, num_classes=num_classes)

    epochs = tf.data.Dataset.range(np.iinfo(np.int64).max)
    batches = read_untuned(epochs.map(make, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE))
    return spread_labels(batches, num_classes, recipe.label_smoothing) if recipe.has_soft_labels else batches
