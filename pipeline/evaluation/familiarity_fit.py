"""Fits "none of these" to a trained model, and applies it. Imports TensorFlow."""

import logging
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.data.batches import read_batches
from pipeline.data.embeddings import Embeddings
from pipeline.evaluation.familiarity import (
    MOST_FEATURES,
    REFERENCES,
    Directions,
    compute_separation,
    decode_directions,
    fit_directions,
    fit_familiarity,
    score_confidence,
)
from pipeline.evaluation.temperature import apply_temperature
from pipeline.evaluation.unfamiliar import MADE, MAKERS
from pipeline.models.contract import Contract, Familiarity, describe_remedy
from pipeline.models.from_cut import extract_from_cut
from pipeline.models.inference import Apply, freeze
from pipeline.models.joint import make_extractor, make_joint
from pipeline.models.mirrors import get_one_view
from pipeline.models.predictions import predict, was_made_by
from pipeline.runtime.errors import PipelineError

logger = logging.getLogger(__name__)

_BATCH = 32


@dataclass(frozen=True)
class Outputs:
    """What a model says of n images. probabilities: float32 (n, classes), not calibrated. distances: float64 (n,), or None
    where there is no such score."""

    probabilities: np.ndarray
    distances: np.ndarray | None

    def score(self, temperature: float, *, by_distance: bool) -> np.ndarray:
        """float64 (n,): larger for less familiar images; see `pipeline.evaluation.familiarity`."""
        if by_distance and self.distances is not None:
            return self.distances
        return score_confidence(apply_temperature(self.probabilities, temperature))


def split_outputs(both: np.ndarray, num_classes: int) -> Outputs:
    """both: float (n, classes), or with the distance behind them."""
    distances = both[:, num_classes].astype(np.float64) if both.shape[1] > num_classes else None
    return Outputs(both[:, :num_classes], distances)


@dataclass(frozen=True)
class Validation:
    """What a trained model says of the n validation images. labels: int64 (n,). joint: the model, with the distance by
    `directions` behind its probabilities, if there are any."""

    labels: np.ndarray
    outputs: Outputs
    directions: Directions | None
    joint: keras.Model


def validate(model: keras.Model, embeddings: Embeddings | None) -> Validation:
    """Fits the directions to training images, and looks at each validation image once."""
    num_classes = model.output_shape[1]
    with threadpool_limits(1):  # sums are identical on any number of cores
        directions = fit_directions(*_read_features(model, embeddings), num_classes)
    joint = model if directions is None else make_joint(model, **vars(directions))
    labels, both = predict(joint, "val", embeddings)
    return Validation(labels, split_outputs(both, num_classes), directions, joint)


def fit_to_model(validation: Validation, temperature: float, seed: int) -> Familiarity:
    """The score that tells noise and scrambled training images from validation images better, by the mean area under the ROC
    curve; confidence where both are equal. No picture of another kind decides it, as there is none.

    seed: of the noise and the scrambling.
    """
    familiar, directions = validation.outputs, validation.directions
    if directions is None:
        return fit_familiarity(familiar.score(temperature, by_distance=False), None, by_distance=False)
    num_classes = familiar.probabilities.shape[1]
    images = read_first("train")
    apply = freeze(validation.joint)
    others = [split_outputs(run(apply, make(images, seed)), num_classes) for make in MAKERS.values()]
    by_distance, by_confidence = (
        float(
            np.mean(
                [
                    compute_separation(*(given.score(temperature, by_distance=chosen) for given in (familiar, made)))
                    for made in others
                ]
            )
        )
        for chosen in (True, False)
    )
    logger.info(
        "none of these: noise and scrambled images are told from validation images by distance in %.3f of pairs, by "
        "confidence in %.3f",
        by_distance,
        by_confidence,
    )
    is_better = by_distance > by_confidence
    return fit_familiarity(familiar.score(temperature, by_distance=is_better), directions, by_distance=is_better)


def _read_features(model: keras.Model, embeddings: Embeddings | None) -> tuple[np.ndarray, np.ndarray]:
    """(float32 (n, features), labels) of the first training images, as they are in random order; from the cache, if it is the
    model's own or has what came before all that was trained. Without any image where there are too many features."""
    extractor = make_extractor(model)
    if extractor.output_shape[1] > MOST_FEATURES:
        return np.zeros((0, extractor.output_shape[1]), np.float32), np.zeros(0, np.int64)
    if embeddings is not None and embeddings.facts.cut is not None and not was_made_by(model, embeddings):
        labels = embeddings.labels("train")[:REFERENCES]
        return extract_from_cut(model, extractor.output, embeddings, "train", len(labels)), labels
    if embeddings is not None and was_made_by(model, embeddings):
        labels, pooled = embeddings.labels("train")[:REFERENCES], get_one_view(model).get_layer("features").output
        rows = embeddings.features("train").take(np.arange(len(labels)))
        if extractor.output is pooled:  # no layer between, of which Keras would make a model
            return rows, labels
        return keras.Model(pooled, extractor.output)(rows, training=False).numpy(), labels
    extract, parts, numbers = freeze(extractor), [], []
    for images, batch in read_batches("train", batch_size=_BATCH).take(REFERENCES // _BATCH):
        parts.append(extract(images))
        numbers.append(batch.numpy())
    return np.concatenate(parts), np.concatenate(numbers)


def read_first(split: str) -> np.ndarray:
    """uint8 (up to 128, size, size, 3): the first images of a split."""
    return np.concatenate([images.numpy() for images, _ in read_batches(split, batch_size=_BATCH).take(MADE // _BATCH)])


def run(apply: Apply, images: np.ndarray) -> np.ndarray:
    """A frozen model's output for any number of images."""
    return np.concatenate([apply(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)])


def make_answering(model: keras.Model, contract: Contract, file: Path, *, always: bool = False) -> keras.Model:
    """The model in `file`, with the distance behind the probabilities where its contract refuses by it, or, with `always`,
    where the contract has what it takes; else as it is. Raises PipelineError where the two do not fit."""
    familiarity = contract.familiarity
    if familiarity is None or not familiarity.directions or not (always or familiarity.score == "distance"):
        return model
    try:
        return make_joint(model, **vars(decode_directions(familiarity, len(contract.class_names))))
    except ValueError as error:
        raise PipelineError(
            f"{file} does not fit its contract ({str(error).splitlines()[0]}): {describe_remedy(file)}"
        ) from error
