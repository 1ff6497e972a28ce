"""A model's probabilities for a whole split. Imports TensorFlow."""

import keras
import numpy as np

from stages.dataset.batches import read_batches
from stages.dataset.embeddings import Embeddings
from stages.families.backbones import compute_weights_digest
from stages.families.extraction import freeze

_BATCH = 32  # images; only speed and memory depend on it
_ROWS = 4096  # features, likewise


def predict(model: keras.Model, split: str, embeddings: Embeddings | None) -> tuple[np.ndarray, np.ndarray]:
    """`predict_embedded` where there are features and the model's backbone has made them, else `predict_split`."""
    if embeddings is not None and was_made_by(model, embeddings):
        return predict_embedded(model, embeddings, split)
    return predict_split(model, split)


def predict_split(model: keras.Model, split: str) -> tuple[np.ndarray, np.ndarray]:
    """(labels, int64 (n,); probabilities, float32 (n, classes)) of every image of a split, in the order of its files."""
    apply = freeze(model)
    labels, probabilities = [], []
    for images, numbers in read_batches(split, batch_size=_BATCH):
        probabilities.append(apply(images))
        labels.append(numbers.numpy())
    return np.concatenate(labels), np.concatenate(probabilities)


def predict_embedded(model: keras.Model, embeddings: Embeddings, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The same from cached features, by what comes after them in the model: equal within 1e-4, and in a moment."""
    head = keras.Model(model.get_layer("features").output, model.output)
    labels, rows = embeddings.labels(split), embeddings.features(split)
    parts = np.array_split(np.arange(len(labels)), max(1, -(-len(labels) // _ROWS)))
    return labels, np.concatenate([head.predict_on_batch(rows.take(part)) for part in parts])


def was_made_by(model: keras.Model, embeddings: Embeddings) -> bool:
    """Whether a model's backbone is the one that has made the features: not so after fine-tuning."""
    backbones = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    return any(compute_weights_digest(backbone) == embeddings.facts.weights_sha256 for backbone in backbones)
