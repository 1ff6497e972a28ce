"""Whether a picture looks like none of the classes: "none of these". Pure.

Two scores, larger where an image is less familiar:
- distance: of what the last layer sees from the nearest class of training images, in units of their spread in the 64
  directions in which they vary most (Mahalanobis distance with one covariance for all classes: Lee et al. 2018,
  arXiv:1807.03888), and what is left outside these directions, in units of its mean (as Wang et al. 2022, arXiv:2203.10807);
- confidence: 1 − the highest calibrated probability (Hendrycks and Gimpel 2017, arXiv:1610.02136).

An image is refused if its score is above a limit from validation images, above which as many of these are as the false alarms
that are asked for, or fewer. For images of the same kind that holds on average (conformal prediction: the validation images
must be exchangeable with those to come). How many others are found is not promised by anything, and so it is measured.
"""

import base64
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.evaluation.ranks import list_ranks
from pipeline.models.contract import Contract, Familiarity, describe_remedy
from pipeline.runtime.errors import PipelineError
from pipeline.training.scores import DIGITS

DIRECTIONS = 64  # at most
MOST_FEATURES = 2048  # of the last layer; beyond it, as with pixels, there is only the confidence
REFERENCES = 2048  # training images, at most


@dataclass(frozen=True)
class Directions:
    """float32. mean: (features,). axes: (features, directions), orthonormal. whitening: (directions, directions): coordinates
    on the axes @ whitening have a spread of 1 within the classes. centres: (classes, directions), of the training images, so
    whitened. rest: one over the mean square of what is left outside the axes; 0 where nothing is."""

    mean: np.ndarray
    axes: np.ndarray
    whitening: np.ndarray
    centres: np.ndarray
    rest: float


def fit_directions(features: np.ndarray, labels: np.ndarray, num_classes: int) -> Directions | None:
    """features: float (n, features) of training images, n ≥ 1. labels: int (n,). None where there are too many features, or
    where the images of each class look all the same. A class without images has its centre in the mean of all."""
    if features.shape[1] > MOST_FEATURES:
        return None
    mean = features.mean(axis=0, dtype=np.float64)
    centred = features.astype(np.float64) - mean
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    # A direction in which nothing varies but by rounding would make any difference huge.
    kept = np.flatnonzero(values > max(1e-6 * values[-1], 1e-20))[::-1][:DIRECTIONS]
    if not len(kept):
        return None
    axes = vectors[:, kept]
    coordinates = centred @ axes
    centres = np.stack([_mean(coordinates[labels == number]) for number in range(num_classes)])
    within = coordinates - centres[labels]
    covariance = within.T @ within / len(within)
    spread, turn = np.linalg.eigh(covariance + np.eye(len(kept)) * (1e-3 * np.trace(covariance) / len(kept)))
    if spread[0] <= 0:
        return None
    whitening, left = turn / np.sqrt(spread), float(np.trace(centred.T @ centred) / len(centred) - values[kept].sum())
    rest = 1 / left if left > 1e-6 * values[-1] else 0.0
    arrays = {"mean": mean, "axes": axes, "whitening": whitening, "centres": centres @ whitening}
    return Directions(**{name: array.astype(np.float32) for name, array in arrays.items()}, rest=rest)


def _mean(rows: np.ndarray) -> np.ndarray:
    return rows.mean(axis=0) if len(rows) else np.zeros(rows.shape[1])


def measure_distances(features: np.ndarray, directions: Directions) -> np.ndarray:
    """float64 (n,), 0 or more, about 1.4 for training images; as the models of `pipeline.models.joint` compute it.
    features: float (n, features)."""
    centred = features.astype(np.float64) - directions.mean
    coordinates = centred @ directions.axes
    differences = (coordinates @ directions.whitening)[:, None] - directions.centres
    nearest = np.square(differences).mean(axis=2).min(axis=1)
    left = np.maximum(np.square(centred).sum(axis=1) - np.square(coordinates).sum(axis=1), 0.0)
    return np.sqrt(nearest + directions.rest * left)


def encode_directions(directions: Directions) -> str:
    """As a contract keeps them; see `decode_directions`."""
    parts = (directions.axes, directions.whitening, directions.centres, directions.mean, np.array(directions.rest))
    return base64.b64encode(np.concatenate([part.ravel() for part in parts]).astype("<f4").tobytes()).decode()


def decode_directions(familiarity: Familiarity, num_classes: int) -> Directions:
    """Raises ValueError where there are not as many numbers as features, directions and classes need, or one is not finite."""
    numbers = np.frombuffer(base64.b64decode(familiarity.numbers), "<f4")
    features, count = familiarity.features, familiarity.directions
    shapes = ((features, count), (count, count), (num_classes, count), (features,), (1,))
    sizes = [math.prod(shape) for shape in shapes]
    if len(numbers) != sum(sizes) or not np.isfinite(numbers).all():
        raise ValueError(f"familiarity: {len(numbers)} numbers instead of {sum(sizes)} finite ones")
    parts = np.split(numbers, np.cumsum(sizes)[:-1])
    axes, whitening, centres, mean, rest = (part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))
    return Directions(mean, axes, whitening, centres, float(rest[0]))


def score_confidence(probabilities: np.ndarray) -> np.ndarray:
    """float64 (n,), 0 to 1: larger for less familiar images. probabilities: calibrated, (n, classes)."""
    return 1 - probabilities.max(axis=1).astype(np.float64)


def fit_familiarity(scores: np.ndarray, directions: Directions | None, *, by_distance: bool) -> Familiarity:
    """scores: float (n,), of validation images, n ≥ 1. Of more than 1,000, only as many are kept, evenly spaced; limits then
    err on the side of fewer false alarms. by_distance: whether they are distances, or of `score_confidence`."""
    kept = np.sort(scores)[list_ranks(len(scores)) - 1].astype(np.float64)
    rounded = np.ceil(kept * 10**DIGITS) / 10**DIGITS  # up: a validation image never exceeds its own score
    return Familiarity(
        score="distance" if by_distance else "confidence",
        images=len(scores),
        scores=np.maximum(rounded, 0.0).tolist(),
        features=0 if directions is None else directions.axes.shape[0],
        directions=0 if directions is None else directions.axes.shape[1],
        numbers="" if directions is None else encode_directions(directions),
    )


def find_limit(familiarity: Familiarity, false_alarms: float) -> float:
    """The score above which an image is refused; infinite where there are too few validation images for so few false alarms:
    fewer than 1 / false_alarms − 1. false_alarms: share, above 0 and below 1."""
    rank = math.ceil(round((familiarity.images + 1) * (1 - false_alarms), 9))
    if rank > familiarity.images:
        return math.inf
    return familiarity.scores[int(np.searchsorted(list_ranks(familiarity.images), rank))]


def load_limit(contract: Contract, false_alarms: float, file: Path) -> float:
    """`find_limit` for the model in `file`. Raises PipelineError where it has no scores."""
    if contract.familiarity is None:
        raise PipelineError(
            f"{file} can't tell what is none of its classes, as an older version wrote it: {describe_remedy(file)}"
        )
    return find_limit(contract.familiarity, false_alarms)


def compute_separation(familiar: np.ndarray, others: np.ndarray) -> float:
    """0 to 1: the share of pairs in which the other image has the higher score, half of equal ones: the area under the ROC
    curve. Both float (n,), n ≥ 1."""
    ordered = np.sort(familiar)
    below = np.searchsorted(ordered, others, "left") + np.searchsorted(ordered, others, "right")
    return float(below.mean() / (2 * len(ordered)))
