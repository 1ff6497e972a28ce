"""Accuracy and loss, as training logs them and as evaluation reports them. Pure: arrays in, numbers out."""

from typing import TypedDict

import numpy as np

DIGITS = 6  # of metrics in files: further ones differ between machines
SMALLEST = 1e-7  # about the precision of float32 probabilities; log(0) would let one image decide the loss


class Scores(TypedDict):
    """accuracy: 0 to 1. loss: mean cross-entropy, nats."""

    accuracy: float
    loss: float


def compute_accuracy_and_loss(labels: np.ndarray, probabilities: np.ndarray) -> Scores:
    """accuracy, 0 to 1, and loss, the mean cross-entropy in nats.

    labels: int (n,), n ≥ 1. probabilities: float (n, classes), rows sum to 1.
    """
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    accuracy = np.mean(probabilities.argmax(axis=1) == labels)
    loss = np.mean(-np.log(np.clip(chosen, SMALLEST, 1.0))) + 0.0  # no negative zero
    return {"accuracy": round(float(accuracy), DIGITS), "loss": round(float(loss), DIGITS)}
