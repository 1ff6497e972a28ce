"""Labels and probabilities of models that are overconfident, and of extremes."""

import numpy as np
from scipy.special import softmax


def make_logits(num_images: int, num_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and logits whose softmax are the probabilities with which the labels were drawn."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (num_images, num_classes))
    below = softmax(logits, axis=1).cumsum(axis=1)[:, :-1] < rng.random((num_images, 1))
    return below.sum(axis=1), logits


def make_predictions(num_images: int, num_classes: int, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels and float32 probabilities of a model that is overconfident where sharpness is above 1."""
    labels, logits = make_logits(num_images, num_classes)
    return labels, softmax(sharpness * logits, axis=1).astype(np.float32)


def make_certain(labels: list[int], predicted: list[int], num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and float32 probabilities of exactly 0 and 1."""
    return np.array(labels), np.eye(num_classes, dtype=np.float32)[predicted]


# All correct, none correct, always the same class, a class without images, one image, one image per class, uninformative.
EXTREMES = {
    "perfect": make_certain([0, 1, 2, 0], [0, 1, 2, 0], 3),
    "always_wrong": make_certain([0, 1, 2, 0], [1, 2, 0, 1], 3),
    "one_class_only": make_certain([0, 1, 2, 0], [0, 0, 0, 0], 3),
    "one_class_without_images": make_certain([0, 0, 1, 1], [0, 1, 1, 1], 4),
    "one_image_correct": make_certain([1], [1], 2),
    "one_image_wrong": make_certain([1], [0], 2),
    "hundred_classes_one_image_each": make_certain(list(range(100)), list(range(50)) * 2, 100),
    "uninformative": (np.array([0, 1, 1]), np.full((3, 2), 0.5, np.float32)),
}
