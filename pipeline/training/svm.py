"""Training of a linear support-vector machine on all images at once, by one of two solvers: svc is in
pipeline.training.one_against_one, fast in pipeline.training.one_against_rest. Imports TensorFlow.
"""

import logging
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from pipeline.config.recipe_sections import LinearRecipe
from pipeline.data.batches import read_batches
from pipeline.data.embeddings import Embeddings, Rows, load_embeddings
from pipeline.data.feature_statistics import compute_statistics
from pipeline.data.tfrecords import DatasetFacts, load_dataset_facts
from pipeline.models.build import build_model
from pipeline.training.features import load_embedding_backbone
from pipeline.training.fit import compute_class_weight, open_record
from pipeline.training.one_against_one import PairPlanes, fit_pairs, warn_of_duration
from pipeline.training.one_against_rest import Hyperplanes, fit_hyperplanes
from pipeline.training.scores import compute_accuracy_and_loss

logger = logging.getLogger(__name__)

_BYTES = {"fast": 4, "svc": 8}  # of a value

Split: TypeAlias = tuple[np.ndarray, np.ndarray]  # features, float32 (n, d), and labels, int64 (n,)


Planes: TypeAlias = Hyperplanes | PairPlanes


def train_linear(
    family: str, recipe: LinearRecipe, *, record: Path, embeddings: Embeddings | None = None
) -> keras.Model:
    """Fits the machine to data/tfrecords, or to data/embeddings/<family> where the family has a backbone; returns an
    uncompiled model, pixels in, probabilities out. embeddings: instead of these.

    A softmax, whose temperature is fitted on the validation split, turns scores into probabilities.
    """
    facts = load_dataset_facts()
    if recipe.backbone is None:
        model, train, val = build_on_pixels(family, recipe, facts)
    else:
        model, train, val = build_on_features(family, recipe, facts, embeddings or load_embeddings(family))
    planes = (
        fit_standardized(family, recipe, facts, train)
        if recipe.standardize
        else fit_planes(family, recipe, facts, train)
    )
    if not planes.converged:
        logger.warning(
            "%s: not converged after %d %s; see recipes.%s.max_iterations",
            family,
            planes.iterations,
            planes.unit,
            family,
        )
    scale = fit_scale(planes.score(val[0]), val[1])
    planes.put_into(model, scale)
    record_result(record, planes, scale, train=train, val=val)
    return model


def fit_planes(family: str, recipe: LinearRecipe, facts: DatasetFacts, train: Split) -> Planes:
    """The hyperplanes by the recipe's solver."""
    settings: dict[str, Any] = {"num_classes": facts.num_classes, "max_iterations": recipe.max_iterations}
    if recipe.solver == "fast":
        return fit_hyperplanes(*train, **settings, penalties=make_penalties(recipe, facts, train[1]))
    warn_of_duration(family, *train[0].shape)
    weights = compute_class_weight(facts.counts["train"], recipe.class_weight)
    return fit_pairs(*train, **settings, penalty=recipe.C, class_weight=weights)


def fit_standardized(family: str, recipe: LinearRecipe, facts: DatasetFacts, train: Split) -> Planes:
    """The same with all features brought to one scale first; the scales are put into the hyperplanes then, which are those of
    the features as they are. (Their mean is of no effect: the intercept is not regularized.)"""
    deviation = compute_statistics(Rows([train[0]])).deviation
    planes = fit_planes(family, recipe, facts, ((train[0] / deviation).astype(np.float32), train[1]))
    return replace(planes, kernel=(planes.kernel / deviation[:, None]).astype(planes.kernel.dtype))


def build_on_pixels(family: str, recipe: LinearRecipe, facts: DatasetFacts) -> tuple[keras.Model, Split, Split]:
    """The untrained model, and train and val as pixels."""
    pool = choose_pool(facts.num_images["train"], facts.image_size, recipe.max_gb, _BYTES[recipe.solver])
    sizes: dict[str, Any] = {"image_size": facts.image_size, "num_classes": facts.num_classes}
    model = build_model(family, **sizes, pool=pool, solver=recipe.solver)
    largest = 255.0 if recipe.solver == "svc" else 1.0
    return model, load_features("train", pool, largest), load_features("val", pool, largest)


def build_on_features(
    family: str, recipe: LinearRecipe, facts: DatasetFacts, embeddings: Embeddings
) -> tuple[keras.Model, Split, Split]:
    """The untrained model, and train, with its augmented views, and val as a backbone's features."""
    model = build_model(
        family,
        image_size=facts.image_size,
        num_classes=facts.num_classes,
        input_size=recipe.input_size,
        features=recipe.features,
        network=load_embedding_backbone(family, recipe, facts.image_size, embeddings),
        solver=recipe.solver,
    )
    return model, load_views(embeddings, recipe.max_gb, _BYTES[recipe.solver]), load_embedded(embeddings, "val")


def make_penalties(recipe: LinearRecipe, facts: DatasetFacts, labels: np.ndarray) -> np.ndarray:
    """float64 (n,): C times the weight of each image's class."""
    weights = compute_class_weight(facts.counts["train"], recipe.class_weight)
    return recipe.C * np.array([weights[label] if weights else 1.0 for label in labels])


def record_result(record: Path, planes: Planes, scale: float, *, train: Split, val: Split) -> None:
    """Writes the dvclive record: one point instead of a curve, so that the charts of all families can show it."""
    with open_record(record) as live:
        for name, (features, labels) in (("train", train), ("eval", val)):
            probabilities = softmax(scale * planes.score(features), axis=1)
            for metric, value in compute_accuracy_and_loss(labels, probabilities).items():
                live.log_metric(f"{name}/{metric}", value)
        live.summary["best"] = {"iterations": planes.iterations, "scale": scale}


def load_embedded(embeddings: Embeddings, split: str, view: int = 0) -> Split:
    """A split's features and labels. view: 0: the images themselves."""
    labels = embeddings.labels(split)
    return embeddings.features(split, view).take(np.arange(len(labels))), labels


def load_views(embeddings: Embeddings, max_gb: float, num_bytes: int = 4) -> Split:
    """The training images, followed by as many of their augmented views as fit into `max_gb` GB. num_bytes: of a value."""
    size = 1e-9 * num_bytes * embeddings.facts.num_features * embeddings.facts.num_images["train"]
    most = max(1, int(max_gb / size)) if size else 1
    parts = [load_embedded(embeddings, "train", view) for view in range(min(most, embeddings.facts.views + 1))]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def choose_pool(num_images: int, image_size: int, max_gb: float, num_bytes: int = 4) -> int:
    """The smallest pool, pixels each side to average into one, with which all images take at most `max_gb` GB. num_bytes: of a
    value."""
    return next(
        pool
        for pool in range(1, image_size + 1)
        if num_images * (image_size // pool) ** 2 * 3 * num_bytes <= max_gb * 1e9 or pool == image_size
    )


def load_features(split: str, pool: int, largest: float = 1.0) -> Split:
    """A split's pixels, 0 to `largest`, averaged over pool × pool, and labels."""
    facts = load_dataset_facts()
    n, side = facts.num_images[split], facts.image_size // pool
    features, labels, position = np.empty((n, side * side * 3), np.float32), np.empty(n, np.int64), 0
    for images, numbers in read_batches(split, batch_size=256).as_numpy_iterator():
        rows = slice(position, position := position + len(images))
        features[rows] = average_blocks(images, pool).reshape(len(images), -1) / (255 / largest)
        labels[rows] = numbers
    return features, labels


def average_blocks(images: np.ndarray, pool: int) -> np.ndarray:
    """Means of pool × pool pixels, without a last block that is not whole, float32 (n, side // pool, side // pool, channels).

    images: uint8 (n, side, side, channels). Whole numbers are added, so that the order is of no effect: `mean` over two axes
    takes eight times as long.
    """
    if pool == 1:
        return images.astype(np.float32)
    side = images.shape[1] // pool
    total = np.zeros((len(images), side, side, images.shape[3]), np.uint32)
    for y, x in product(range(pool), repeat=2):
        total += images[:, y : side * pool : pool, x : side * pool : pool]
    return total.astype(np.float32) / np.float32(pool**2)


def fit_scale(scores: np.ndarray, labels: np.ndarray) -> float:
    """The factor at which softmax(factor × scores) makes the labels most likely: Platt scaling (1999) with one parameter, and
    his targets. Of n images, one in n + 2 counts for the class that comes next: else images that are all right would make the
    factor as high as it can be, and the machine certain of everything."""
    rows = np.arange(len(labels))
    others = scores.astype(np.float64)
    others[rows, labels] = -np.inf
    second, doubt = others.argmax(axis=1), 1 / (len(labels) + 2)

    def loss(log_scale: float) -> float:
        chosen = log_softmax(np.exp(log_scale) * scores.astype(np.float64), axis=1)
        return -float(((1 - doubt) * chosen[rows, labels] + doubt * chosen[rows, second]).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-7.0, 7.0), method="bounded").x))
