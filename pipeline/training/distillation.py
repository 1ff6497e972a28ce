"""What a network learns from a better model: its loss between labels and a teacher's probabilities. Imports TensorFlow.

Hinton, Vinyals and Dean 2015 (arXiv:1503.02531). Both models are compared at a temperature: their logits are divided by it, so
that small probabilities count. Where only probabilities are known, their logarithms are logits up to a constant, which cancels.
"""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from scipy.special import softmax

_LEAST = 1e-30  # probability: its logarithm, and the gradient of that, are finite in float32


@dataclass(frozen=True)
class Lesson:
    """targets: what a teacher says of the training images, at the temperature: float32 (n, classes), in the order of the files.
    weight: of the teacher, 0 to 1."""

    targets: np.ndarray
    weight: float
    temperature: float


def make_lesson(probabilities: np.ndarray, *, weight: float, temperature: float) -> Lesson:
    """probabilities: the teacher's for the training images, float32 (n, classes)."""
    return Lesson(soften(probabilities, temperature), weight, temperature)


def soften(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities with their logits divided by a temperature, float32 (n, classes); computed in float64."""
    logits = np.log(np.maximum(probabilities.astype(np.float64), _LEAST))
    return softmax(logits / temperature, axis=1).astype(np.float32)


class DistillationLoss(keras.losses.Loss):
    """weight × temperature² × the Kullback-Leibler divergence of the network from its teacher, both at the temperature, and
    (1 - weight) × the cross-entropy of labels. The square keeps the shares in the gradient the same at any temperature. The
    divergence is the paper's cross-entropy less the teacher's own entropy, which training can't change: its least is 0, and the
    gradient is the same.

    Expects rows of labels, float32 (batch, classes), and behind them the teacher's, so that both are (batch, 2 × classes).
    Without these, as in validation, it is the cross-entropy of labels: comparable with that of all other networks.
    """

    def __init__(self, lesson: Lesson) -> None:
        super().__init__(name="distillation")
        self._weight, self._temperature = lesson.weight, lesson.temperature

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """float32 (batch,)."""
        num_classes = y_pred.shape[-1]
        labels, targets = y_true[:, :num_classes], y_true[:, num_classes:]
        of_labels = keras.losses.categorical_crossentropy(labels, y_pred)
        if y_true.shape[-1] == num_classes:
            return of_labels
        crossed = tf.nn.softmax_cross_entropy_with_logits(targets, find_logits(y_pred) / self._temperature)
        divergence = crossed + tf.reduce_sum(tf.math.xlogy(targets, targets), axis=1)
        return self._weight * self._temperature**2 * divergence + (1.0 - self._weight) * of_labels


def find_logits(probabilities: tf.Tensor) -> tf.Tensor:
    """What a softmax was taken of, where that is known, as Keras' own cross-entropies find it, or else the logarithms. Through
    the probabilities of a network that is certain and wrong, which round to 0, no gradient would come."""
    if hasattr(probabilities, "_keras_logits"):  # not public: a test notices where it goes
        return probabilities._keras_logits
    if tf.is_symbolic_tensor(probabilities) and probabilities.op.type == "Softmax":
        return probabilities.op.inputs[0]
    return tf.math.log(tf.maximum(probabilities, _LEAST))


class LabelAccuracy(keras.metrics.MeanMetricWrapper):
    """The accuracy against the labels alone, of rows as `DistillationLoss` takes them: what training says of other networks."""

    def __init__(self) -> None:
        super().__init__(_compare, name="accuracy")


def _compare(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    return keras.metrics.categorical_accuracy(y_true[:, : y_pred.shape[-1]], y_pred)
