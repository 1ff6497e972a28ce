"""Training images as a family sees them: the images and augmented versions of them. Imports TensorFlow."""

from collections.abc import Iterable

import numpy as np

from pipeline.config.recipes import resolve_family, trains_on_features
from pipeline.config.sections import Params
from pipeline.data.augmentation import Augmentation, augment_batch, draw_numbers
from pipeline.data.batches import read_images
from pipeline.data.tfrecords import DatasetFacts

_SAMPLES, _VERSIONS = 5, 4  # images, and augmented versions of each


def draw_samples(family: str, params: Params, facts: DatasetFacts) -> np.ndarray:
    """The first training images, each unchanged and then augmented, uint8 (images, 1 + versions, size, size, 3).

    The versions are those of a network's first epochs, or a frozen backbone's first views, before they are mixed with others.
    No images for a family that does not augment.
    """
    recipe = resolve_family(params, family)
    augmentation = Augmentation(**recipe.augment.model_dump()) if recipe.augment else Augmentation()
    if not augmentation.is_active:
        return np.zeros((0, 1, facts.image_size, facts.image_size, 3), np.uint8)
    if trains_on_features(recipe):
        seed, epochs = params.embed.seed, range(1, min(params.embed.views, _VERSIONS) + 1)
    else:
        seed, epochs = params.train.seed, range(_VERSIONS)
    return _augment_first(augmentation, facts.num_images["train"], seed=seed, epochs=epochs)


def _augment_first(augmentation: Augmentation, num_images: int, *, seed: int, epochs: Iterable[int]) -> np.ndarray:
    rows = list(range(min(_SAMPLES, num_images)))
    images = read_images("train", rows)
    versions = [images.astype(np.float32)]
    for epoch in epochs:
        numbers = draw_numbers(num_images, seed=seed, epoch=epoch)[: len(rows)]
        versions.append(augment_batch(images, numbers, augmentation).numpy())
    return np.stack(versions, axis=1).round().clip(0, 255).astype(np.uint8)
