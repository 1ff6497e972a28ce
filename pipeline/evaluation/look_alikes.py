"""Test images in groups of those that look alike to a network, in which a family may be weak. Imports TensorFlow."""

from collections.abc import Iterator

import keras
import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from pipeline.data.batches import read_batches
from pipeline.data.embeddings import find_embeddings
from pipeline.evaluation.familiarity import MOST_FEATURES
from pipeline.evaluation.slices import ALIKE
from pipeline.models.inference import freeze
from pipeline.models.joint import make_extractor
from pipeline.runtime.processes import in_chunks

_MOST, _IMAGES_EACH = 20, 30  # groups, and images in one on average, at least
_FITTED = 16_384  # images, from which groups are made: the first, as they are in random order; and so many in memory at a time
_BATCH = 32


def group_look_alikes(family: str, model: keras.Model, names: list[str], seed: int) -> pd.DataFrame:
    """name, and `ALIKE`: the name of the image in the middle of its group. One row per test image, or none where there are too
    few images for two groups, or only pixels to compare.

    Groups are of k-means, on what the family's backbone gave before any fine-tuning, or else on what its last layer gets, all
    of length 1. model: the family's. names: of test, in their order. seed: of the first centres.
    """
    count = min(_MOST, len(names) // _IMAGES_EACH)
    blocks = _read_features(family, model) if count > 1 else None
    if blocks is None:
        return pd.DataFrame(columns=["name", ALIKE])
    groups, parts = KMeans(count, n_init=1, random_state=seed), list[np.ndarray]()
    for block in blocks:
        rows = normalize(block.astype(np.float64), copy=False)
        with threadpool_limits(1):  # sums are identical on any number of cores
            if not parts:
                groups.fit(rows)
            parts.append(groups.transform(rows))
    distances = np.concatenate(parts)
    middles = distances.argmin(axis=0)
    return pd.DataFrame({"name": names, ALIKE: np.array(names, object)[middles[distances.argmin(axis=1)]]})


def _read_features(family: str, model: keras.Model) -> Iterator[np.ndarray] | None:
    """float32 (up to `_FITTED`, features), of the test images in their order; None where there are only pixels."""
    if (embeddings := find_embeddings(family)) is not None:
        rows = embeddings.features("test")
        numbers = np.arange(len(rows))
        return (rows.take(numbers[start : start + _FITTED]) for start in range(0, len(rows), _FITTED))
    extractor = make_extractor(model)
    if extractor.output_shape[1] > MOST_FEATURES:
        return None
    extract, batches = freeze(extractor), read_batches("test", batch_size=_BATCH)
    return (
        np.concatenate([extract(images) for images, _ in several]) for several in in_chunks(batches, _FITTED // _BATCH)
    )
