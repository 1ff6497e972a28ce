"""A family's probabilities for every image of every split. Imports TensorFlow."""

from pathlib import Path

import keras
import numpy as np

from pipeline.data.embeddings import find_embeddings
from pipeline.models.inference import Apply
from pipeline.models.predictions import check_agreement, predict
from pipeline.runtime.timings import record_seconds


def predict_splits(
    family: str, model: keras.Model, apply: Apply, artifact: Path
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Split to (labels, int64 (n,); probabilities, float32 (n, classes)), for train, val and test.

    apply: the frozen model. artifact: its file, under whose digest the seconds are recorded. A backbone that has not been
    fine-tuned takes its features from the cache, one that was fine-tuned from a cut the activations there, but for test; some
    images also go through the whole model, from pixels. Raises PipelineError where the two disagree.
    """
    embeddings = find_embeddings(family)
    predicted = {}
    for split in ("train", "val", "test"):
        with record_seconds(f"evaluate_{split}_seconds", family, artifact):
            predicted[split] = predict(model, split, embeddings, apply)
    if embeddings is not None:
        for split in ("val", "test"):
            check_agreement(family, apply, split, predicted[split][1])
    return predicted
