"""Trains a family and measures it on val, as cross-validation and search do. Imports TensorFlow."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config.families import FAMILIES
from pipeline.config.recipes import resolve_recipe
from pipeline.config.sections import Params, TransferRecipe
from pipeline.data.embeddings import load_embeddings
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.evaluation.metrics import compute_figures
from pipeline.evaluation.results import load_curves
from pipeline.models.predictions import predict
from pipeline.runtime.errors import PipelineError
from pipeline.training.dispatch import train_family
from pipeline.training.fit import Watch
from pipeline.training.head import train_head

_RECORD = Path("record")


@dataclass(frozen=True)
class Measured:
    """figures: as compute_figures, and images, training_images, best_epoch. curves: split, epoch, accuracy, loss. labels, int
    (n,), and probabilities, float32 (n, classes), of val."""

    figures: dict[str, Any]
    curves: pd.DataFrame
    labels: np.ndarray
    probabilities: np.ndarray


def train_and_measure(place: Path, family: str, params: Params, watch: Watch | None = None) -> Measured:
    """Trains on `place`, a folder in which data/tfrecords and data/embeddings lie as in the project's, and leaves a dvclive
    record in it. watch: see `fit`. Raises PipelineError where training diverges."""
    params = with_absolute_weights(params, family)
    # What trains and measures reads relative to where it runs.
    with contextlib.chdir(place):
        try:
            labels, probabilities = train_and_predict(family, params, watch)
        except PipelineError as error:
            # What is kept of a training that diverges goes with its folder.
            raise PipelineError(str(error).split("; the last good weights")[0]) from error
        best = json.loads((_RECORD / "metrics.json").read_text())["best"]
        figures = compute_figures(labels, probabilities) | {
            "images": len(labels),
            "training_images": load_dataset_facts().num_images["train"],
            "best_epoch": best.get("epoch"),
        }
        return Measured(figures, load_curves(_RECORD), labels, probabilities)


def train_and_predict(family: str, params: Params, watch: Watch | None) -> tuple[np.ndarray, np.ndarray]:
    """(labels, probabilities) of val. Where a backbone stays as it is, it is not even built."""
    own = params.recipes[family]
    if isinstance(own, TransferRecipe):
        recipe = resolve_recipe(params.train, own)
        if not recipe.fine_tune.epochs:
            settings: dict[str, Any] = {"seed": params.train.seed, "cache_gb": params.train.cache_gb}
            return train_head(family, recipe, **settings, record=_RECORD, watch=watch)
    model = train_family(family, params, record=_RECORD, watch=watch)
    return predict(model, "val", load_embeddings(family) if FAMILIES[family].backbone else None)


def with_absolute_weights(params: Params, family: str) -> Params:
    """The same parameters where a file of weights is named from the root: the training runs in another folder."""
    own = params.recipes[family]
    if own.backbone is None or own.backbone.weights in ("imagenet", "none"):
        return params
    weights = own.backbone.model_copy(update={"weights": str(Path(own.backbone.weights).absolute())})
    return params.model_copy(
        update={"recipes": params.recipes | {family: own.model_copy(update={"backbone": weights})}}
    )
