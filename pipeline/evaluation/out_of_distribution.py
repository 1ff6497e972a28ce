"""Pictures that were in no split: what a model makes of them, and how far they are from what it knows. Imports TensorFlow."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors

from pipeline.data.batches import read_batches
from pipeline.data.image_files import Decoding, Picture, label_by_folder, list_pictures, load_pictures
from pipeline.evaluation.calibration import apply_temperature
from pipeline.models.inference import freeze
from pipeline.models.layers import unwrap
from pipeline.runtime.files import readable_name
from pipeline.runtime.processes import in_chunks

NEIGHBOURS = 10
QUANTILE = 0.95  # of validation images that count as near
_REFERENCES = 8192  # training images that distances are taken to; the first ones, as records lie in random order
_BATCH = 32
COLUMNS = ["name", "label", "predicted", "confidence", "distance", "is_far", "reason"]


@dataclass(frozen=True)
class Familiarity:
    """How far pictures are from the training images: 1 is the distance that 95 % of the validation images keep within.

    Distance to the 10th nearest training image between features (what the last layer sees, scaled to length 1), as Sun et
    al. 2022, arXiv:2204.06507; divided by the threshold.
    """

    extract: Callable[[np.ndarray], np.ndarray]
    neighbours: NearestNeighbors
    threshold: float

    def measure(self, images: np.ndarray) -> np.ndarray:
        """float64 (n,), 0 or more; above 1: unlike the training images. images: (n, size, size, 3), 0 to 255."""
        return measure_distances(self.neighbours, self.extract(images)) / self.threshold


def fit_familiarity(model: keras.Model) -> Familiarity:
    """Learns what is near from up to 8,192 training images, and the threshold from as many validation images."""
    extract = freeze(make_feature_model(model))
    train, val = (np.concatenate(list(_extract_split(extract, split))) for split in ("train", "val"))
    neighbours = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(train)), algorithm="brute").fit(_scale(train))
    threshold = float(np.quantile(measure_distances(neighbours, val), QUANTILE))
    return Familiarity(extract, neighbours, max(threshold, 1e-9))


def make_feature_model(model: keras.Model) -> keras.Model:
    """Pixels to what the last dense layer sees, (batch, features)."""
    front, inner = unwrap(model)
    last = [layer for layer in inner.layers if isinstance(layer, keras.layers.Dense)][-1]
    x = model.inputs[0]
    for layer in front:
        x = layer(x)
    return keras.Model(model.inputs, keras.Model(inner.inputs, last.input)(x))


def _extract_split(extract: Callable[[np.ndarray], np.ndarray], split: str) -> Iterator[np.ndarray]:
    for images, _ in read_batches(split, batch_size=_BATCH).take(_REFERENCES // _BATCH):
        yield extract(images)


def measure_distances(neighbours: NearestNeighbors, features: np.ndarray) -> np.ndarray:
    """float64 (n,): to the furthest of the nearest neighbours."""
    return neighbours.kneighbors(_scale(features))[0][:, -1]


def _scale(features: np.ndarray) -> np.ndarray:
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def make_empty_table(class_names: list[str]) -> pd.DataFrame:
    """What `judge_pictures` returns, without a row."""
    return pd.DataFrame(columns=[*COLUMNS, *(f"p:{name}" for name in class_names)])


def judge_pictures(
    model: keras.Model, folder: Path, *, decoding: Decoding, class_names: list[str], temperature: float
) -> pd.DataFrame:
    """COLUMNS, and `p:<class>` for each class: a row a picture below `folder`, names relative to it.

    label: the class that a folder above it is named after, or empty. confidence: calibrated. distance: see Familiarity;
    is_far: above 1. reason: why a file could not be used; its other columns are empty then.
    """
    apply, familiarity = freeze(model), fit_familiarity(model)
    rows = []
    for chunk in in_chunks(load_pictures(list_pictures(folder), decoding), _BATCH):
        rows += _judge(chunk, folder, apply, familiarity, class_names, temperature)
    return pd.DataFrame(rows, columns=make_empty_table(class_names).columns)


def _judge(
    chunk: Iterable[Picture],
    folder: Path,
    apply: Callable[[np.ndarray], np.ndarray],
    familiarity: Familiarity,
    class_names: list[str],
    temperature: float,
) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {
        picture.path: {
            "name": (name := readable_name(Path(picture.path).relative_to(folder).as_posix())),
            "label": label_by_folder(name, class_names),
            "reason": picture.reason,
        }
        for picture in chunk
    }
    good = {picture.path: picture.pixels for picture in chunk if picture.pixels is not None}
    if good:
        images = np.stack(list(good.values()))
        probabilities = apply_temperature(apply(images), temperature)
        distances = familiarity.measure(images)
        for path, row, distance in zip(good, probabilities, distances, strict=True):
            rows[path] |= {
                "predicted": class_names[int(row.argmax())],
                "confidence": round(float(row.max()), 6),
                "distance": round(float(distance), 4),
                "is_far": bool(distance > 1),
                **{f"p:{name}": round(float(p), 6) for name, p in zip(class_names, row, strict=True)},
            }
    return list(rows.values())
