"""Images that are in no split: a model's predictions, and the distance from its training images. Imports TensorFlow."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors

from pipeline.config.sections import Params
from pipeline.data.batches import read_batches
from pipeline.data.image_files import Decoding, Picture, decode_as_trained, label_by_folder, load_pictures
from pipeline.data.manifest import invert_merges
from pipeline.data.picture_paths import list_pictures
from pipeline.evaluation.temperature import apply_temperature
from pipeline.models.contract import Contract
from pipeline.models.inference import freeze
from pipeline.models.joint import find_features, put_in_front
from pipeline.models.layers import POOLED_LAST, unwrap
from pipeline.models.mirrors import get_one_view
from pipeline.runtime.files import readable_name
from pipeline.runtime.paths import OUTSIDE
from pipeline.runtime.processes import in_chunks

NEIGHBOURS = 10
QUANTILE = 0.95  # of the validation images count as near
_REFERENCES = 8192  # training images to which distances are measured: the first, as the TFRecords are in random order
_BATCH = 32
COLUMNS = ["name", "label", "predicted", "confidence", "distance", "is_far", "reason"]


@dataclass(frozen=True)
class Neighbourhood:
    """Distance of images from the training images: 95 % of the validation images have a distance of 1 or less.

    The distance to the 10th nearest training image between the last layer's inputs, scaled to length 1, divided by the
    threshold; after Sun et al. 2022, arXiv:2204.06507.
    """

    extract: Callable[[np.ndarray], np.ndarray]
    neighbours: NearestNeighbors
    threshold: float

    def measure(self, images: np.ndarray) -> np.ndarray:
        """float64 (n,), 0 or more; above 1: unlike the training images. images: (n, size, size, 3), 0 to 255."""
        return measure_distances(self.neighbours, self.extract(images)) / self.threshold


def fit_neighbourhood(model: keras.Model) -> Neighbourhood:
    """Takes features of up to 8,192 training images, and the threshold from as many validation images."""
    extract = freeze(make_feature_model(model))
    train, val = (np.concatenate(list(_extract_split(extract, split))) for split in ("train", "val"))
    neighbours = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(train)), algorithm="brute").fit(_scale(train))
    threshold = float(np.quantile(measure_distances(neighbours, val), QUANTILE))
    return Neighbourhood(extract, neighbours, max(threshold, 1e-9))


def make_feature_model(model: keras.Model) -> keras.Model:
    """Pixels to the inputs of the last dense layer, (batch, features). Where these are a backbone's features themselves, from
    several depths, only the last ones: earlier blocks see textures, and their sizes would decide the angles. Of the image
    alone, where a model averages mirror images."""
    model = get_one_view(model)
    _, inner = unwrap(model)
    dense = [layer for layer in inner.layers if isinstance(layer, keras.layers.Dense)]
    pooled = [layer for layer in inner.layers if layer.name == POOLED_LAST]
    features = pooled[0].output if pooled and len(dense) == 1 else find_features(inner)
    return put_in_front(model, keras.Model(inner.input, features))


def _extract_split(extract: Callable[[np.ndarray], np.ndarray], split: str) -> Iterator[np.ndarray]:
    for images, _ in read_batches(split, batch_size=_BATCH).take(_REFERENCES // _BATCH):
        yield extract(images)


def measure_distances(neighbours: NearestNeighbors, features: np.ndarray) -> np.ndarray:
    """float64 (n,): to the furthest of the nearest neighbours. features: float32 (n, features)."""
    return neighbours.kneighbors(_scale(features))[0][:, -1]


def _scale(features: np.ndarray) -> np.ndarray:
    # sklearn.preprocessing.normalize sums in another order: one distance in a thousand would differ in its fourth digit.
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def make_empty_table(class_names: list[str]) -> pd.DataFrame:
    """What `judge_pictures` returns, without rows."""
    return pd.DataFrame(columns=[*COLUMNS, *(f"p:{name}" for name in class_names)])


def judge_outside(model: keras.Model, contract: Contract, params: Params) -> pd.DataFrame:
    """`judge_pictures` of data/outside, where evaluate.outside_path asks for it."""
    return judge_pictures(
        model,
        OUTSIDE if params.evaluate.outside_path else None,
        decoding=decode_as_trained(contract, params.prune),
        class_names=contract.class_names,
        temperature=contract.temperature,
        renamed=invert_merges(_find_merges(params)),
    )


def _find_merges(params: Params) -> dict[str, list[str]]:
    merges = params.prune.merge_classes
    return params.source_settings.merge_classes if merges is None else merges


def judge_pictures(
    model: keras.Model,
    folder: Path | None,
    *,
    decoding: Decoding,
    class_names: list[str],
    temperature: float,
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> pd.DataFrame:
    """COLUMNS, and `p:<class>` for each class: one row per image below `folder`, names relative to it; None: no rows.

    label, renamed: see `label_by_folder`. confidence: calibrated. distance: see Neighbourhood; is_far: above 1. reason: why a
    file can't be used; its other columns are empty then.
    """
    if folder is None:
        return make_empty_table(class_names)
    apply, neighbourhood = freeze(model), fit_neighbourhood(model)
    rows = []
    for chunk in in_chunks(load_pictures(list_pictures(folder), decoding), _BATCH):
        rows += _judge(chunk, folder, apply, neighbourhood, class_names, temperature, renamed)
    return pd.DataFrame(rows, columns=make_empty_table(class_names).columns)


def _judge(
    chunk: Iterable[Picture],
    folder: Path,
    apply: Callable[[np.ndarray], np.ndarray],
    neighbourhood: Neighbourhood,
    class_names: list[str],
    temperature: float,
    renamed: Mapping[str, str],
) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {
        picture.path: {
            "name": (name := readable_name(Path(picture.path).relative_to(folder).as_posix())),
            "label": label_by_folder(name, class_names, renamed),
            "reason": picture.reason,
        }
        for picture in chunk
    }
    good = {picture.path: picture.pixels for picture in chunk if picture.pixels is not None}
    if good:
        images = np.stack(list(good.values()))
        probabilities = apply_temperature(apply(images), temperature)
        distances = neighbourhood.measure(images)
        for path, row, distance in zip(good, probabilities, distances, strict=True):
            rows[path] |= {
                "predicted": class_names[int(row.argmax())],
                "confidence": round(float(row.max()), 6),
                "distance": round(float(distance), 4),
                "is_far": bool(distance > 1),
                **{f"p:{name}": round(float(p), 6) for name, p in zip(class_names, row, strict=True)},
            }
    return list(rows.values())
