"""A model's probabilities for a whole split. Imports TensorFlow."""

import keras
import numpy as np

from stages.dataset.batches import read_batches

_BATCH = 256  # images; only speed and memory depend on it


def predict_split(model: keras.Model, split: str) -> tuple[np.ndarray, np.ndarray]:
    """(labels, int64 (n,); probabilities, float32 (n, classes)) of every image of a split, in the order of its files."""
    labels, probabilities = [], []
    for images, numbers in read_batches(split, batch_size=_BATCH):
        probabilities.append(model.predict_on_batch(images))
        labels.append(numbers.numpy())
    return np.concatenate(labels), np.concatenate(probabilities)
