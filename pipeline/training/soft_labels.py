"""Labels as rows of probabilities, where a recipe smooths them or mixes images. Imports TensorFlow."""

from dataclasses import replace
from typing import Any

import tensorflow as tf

from pipeline.config.recipe_sections import Recipe
from pipeline.training.fit import FitData


def soften_labels(data: FitData, num_classes: int, recipe: Recipe) -> FitData:
    """The data with labels as the loss of `compile_model` takes them: int64 (batch,) as they are or, for a recipe with soft
    labels, float32 (batch, classes). Validation's are never smoothed: its loss stays comparable."""
    if not recipe.has_soft_labels:
        return data
    return replace(
        data,
        batches=spread_labels(data.batches, num_classes, recipe.label_smoothing),
        validation=spread_labels(data.validation, num_classes, 0.0),
    )


def spread_labels(batches: tf.data.Dataset, num_classes: int, share: float) -> tf.data.Dataset:
    """Labels as rows of probabilities, of which `share` is spread over all classes (Szegedy et al. 2016, arXiv:1512.00567).
    Those of mixed images are rows already."""
    on, off = 1.0 - share + share / num_classes, share / num_classes

    def change(*batch: Any) -> tuple[Any, tf.Tensor]:
        x, labels = batch if len(batch) == 2 else batch[0]  # a named tuple comes as one argument
        if labels.dtype.is_floating:
            return x, labels * (1.0 - share) + off
        return x, tf.one_hot(labels, num_classes, on_value=on, off_value=off)

    return batches.map(change)
