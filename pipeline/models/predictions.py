"""A model's probabilities for a whole split. Imports TensorFlow."""

import keras
import numpy as np

from pipeline.data.batches import read_batches, read_images
from pipeline.data.embeddings import MIRROR, Embeddings, Rows
from pipeline.models.backbones.backbone import compute_weights_digest
from pipeline.models.from_cut import predict_from_cut
from pipeline.models.inference import Apply, freeze
from pipeline.models.mirrors import get_one_view, is_averaged
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.processes import map_ahead

_BATCH = 32  # images; only speed and memory depend on it
_ROWS = 4096  # features, likewise
_NUMBERS = 1 << 18  # rows times classes at a time
_CHECKED, _TOLERANCE = 32, 1e-2  # images, and probability: features in float16 change it by less


def predict(
    model: keras.Model, split: str, embeddings: Embeddings | None, apply: Apply | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """`predict_embedded` if there are features that the model's backbone has computed, of all images that it looks at,
    `predict_from_cut` if a part of it has computed what was kept at a cut, else `predict_split`."""
    averaged = is_averaged(model)
    if embeddings is not None and embeddings.facts.has_mirrors(split) >= averaged:
        if was_made_by(model, embeddings):
            return predict_embedded(model, embeddings, split)
        if embeddings.facts.cut is not None and split != "test":
            return predict_from_cut(model, embeddings, split)
    return predict_split(model, split, apply)


def predict_split(model: keras.Model, split: str, apply: Apply | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(labels, int64 (n,); probabilities, float32 (n, classes)) of every image of a split, in the order of its files.

    apply: the result of `freeze` for the model; None: it is computed.
    """
    frozen = apply or freeze(model)
    batches = read_batches(split, batch_size=_BATCH)
    found = list(map_ahead(lambda batch: (batch[1].numpy(), frozen(batch[0])), batches))
    return np.concatenate([labels for labels, _ in found]), np.concatenate([outputs for _, outputs in found])


def predict_embedded(model: keras.Model, embeddings: Embeddings, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The same from cached features, by the layers after them: equal within 1e-4, and in a moment."""
    one = get_one_view(model)
    head = keras.Model(one.get_layer("features").output, one.output)
    return predict_features(head, embeddings, split, mirrored=is_averaged(model))


def predict_features(
    head: keras.Model, embeddings: Embeddings, split: str, *, mirrored: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The same by a head alone, float32 (batch, features) to probabilities. mirrored: their mean over an image and its mirror
    image."""
    probabilities = _apply_head(head, embeddings.features(split))
    if mirrored:
        probabilities = (probabilities + _apply_head(head, embeddings.features(split, MIRROR))) / 2
    return embeddings.labels(split), probabilities


def _apply_head(head: keras.Model, rows: Rows) -> np.ndarray:
    # The distances of "none of these" are 64 numbers for each row and class, of which Keras keeps two copies.
    most = min(_ROWS, max(1, _NUMBERS // head.output_shape[-1]))
    parts = np.array_split(np.arange(len(rows)), max(1, -(-len(rows) // most)))
    # Called eagerly: two dense layers are done before Keras' own `predict` has traced them.
    return np.concatenate([head(rows.take(part), training=False).numpy() for part in parts])


def was_made_by(model: keras.Model, embeddings: Embeddings) -> bool:
    """Whether a model's backbone has computed the features: false after fine-tuning."""
    backbones = [layer for layer in get_one_view(model).layers if isinstance(layer, keras.Model)]
    return any(compute_weights_digest(backbone) == embeddings.facts.weights_sha256 for backbone in backbones)


def check_agreement(family: str, apply: Apply, split: str, probabilities: np.ndarray) -> None:
    """Raises PipelineError if a whole model, from pixels, does not agree on the first images of a split with `probabilities`,
    float32 (n, classes), which were computed from cached features. apply: the result of `freeze` for it; what it gives behind
    the probabilities is not compared."""
    images = read_images(split, list(range(min(_CHECKED, len(probabilities)))))
    from_pixels = apply(images)[:, : probabilities.shape[1]]
    difference = float(np.abs(from_pixels - probabilities[: len(images)]).max(initial=0.0))
    if difference > _TOLERANCE:
        raise PipelineError(
            f"{family}: its probabilities from pixels and from cached features differ by {difference:.4f}: expected "
            f"{_TOLERANCE} at most; run `dvc repro -f embed@{family}`"
        )
