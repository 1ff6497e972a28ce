"""Labels as rows of probabilities, where a recipe smooths them or mixes images. Imports TensorFlow."""

from dataclasses import replace
from typing import Any

import tensorflow as tf

from pipeline.config.recipe_sections import Recipe
from pipeline.training.fit import FitData


def soften_labels(data: FitData, num_classes: int, recipe: Recipe, *, taught: bool = False) -> FitData:
    """The data with labels as the loss of `compile_model` takes them: int64 (batch,) as they are or, for a recipe with soft
    labels, float32 (batch, classes). Validation's are never smoothed: its loss stays comparable.

    taught: the batches' labels are rows already, with a teacher's behind them, float32 (batch, 2 × classes), and stay so; what
    classes weigh is beside each row then, as Keras would take the teacher's part for further classes.
    """
    if not recipe.has_soft_labels and not taught:
        return data
    batches = spread_labels(data.batches, num_classes, recipe.label_smoothing)
    softened = replace(data, batches=batches, validation=spread_labels(data.validation, num_classes, 0.0))
    if not taught or data.class_weight is None:
        return softened
    return replace(softened, batches=weigh_rows(batches, data.class_weight), class_weight=None)


def spread_labels(batches: tf.data.Dataset, num_classes: int, share: float) -> tf.data.Dataset:
    """Labels as rows of probabilities, of which `share` is spread over all classes (Szegedy et al. 2016, arXiv:1512.00567).
    Those of mixed images are rows already; what is in them behind the classes stays as it is."""
    on, off = 1.0 - share + share / num_classes, share / num_classes

    def change(*batch: Any) -> tuple[Any, tf.Tensor]:
        x, labels = batch if len(batch) == 2 else batch[0]  # a named tuple comes as one argument
        if labels.dtype.is_floating:
            own, rest = labels[:, :num_classes], labels[:, num_classes:]
            return x, tf.concat([own * (1.0 - share) + off, rest], axis=1)
        return x, tf.one_hot(labels, num_classes, on_value=on, off_value=off)

    return batches.map(change)


def weigh_rows(batches: tf.data.Dataset, class_weight: dict[int, float]) -> tf.data.Dataset:
    """Batches with a third part, the weight of each image, float32 (batch,): of the class with the largest share in its row, as
    Keras has it. class_weight: of all classes, by number."""
    weights = tf.constant([class_weight[number] for number in range(len(class_weight))], tf.float32)

    def add(x: Any, rows: tf.Tensor) -> tuple[Any, tf.Tensor, tf.Tensor]:
        return x, rows, tf.gather(weights, tf.argmax(rows[:, : len(class_weight)], axis=1))

    return batches.map(add)
