"""Trains a family and measures it on val, as cross-validation and search do. Imports TensorFlow."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config.recipe_sections import TransferRecipe
from pipeline.config.recipes import averages_mirrors, resolve_recipe
from pipeline.config.sections import Params
from pipeline.config.teachers import find_embedded
from pipeline.data.embeddings import find_embeddings
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.evaluation.metric_types import HeldOutMetrics
from pipeline.evaluation.metrics import compute_basic_metrics
from pipeline.evaluation.results import load_curves
from pipeline.models.backbones.presets import means_folder
from pipeline.models.mirrors import average_mirrors
from pipeline.models.predictions import predict
from pipeline.runtime.errors import PipelineError
from pipeline.sources.local_paths import resolve_path
from pipeline.training.checkpoints import NO_CHECKPOINTS, Checkpoints
from pipeline.training.dispatch import train_family
from pipeline.training.fit import Watch
from pipeline.training.head import train_head

_RECORD = Path("record")


@dataclass(frozen=True)
class HeldOut:
    """curves: split, epoch, accuracy, loss. labels, int (n,), and probabilities, float32 (n, classes), of val."""

    metrics: HeldOutMetrics
    curves: pd.DataFrame
    labels: np.ndarray
    probabilities: np.ndarray


def train_and_measure(
    workspace: Path,
    family: str,
    params: Params,
    watch: Watch | None = None,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
) -> HeldOut:
    """Trains in a workspace, a folder with data/tfrecords and data/embeddings like the project's, and leaves a dvclive record
    in it. watch: see `fit`. checkpoints: see `train_family`. Raises PipelineError where training diverges."""
    params = with_absolute_weights(params, find_embedded(params, family))
    # Training and measuring use paths relative to the working directory.
    with contextlib.chdir(workspace):
        try:
            labels, probabilities = train_and_predict(family, params, watch, checkpoints)
        except PipelineError as error:
            # The weights that divergence keeps are deleted with the workspace.
            raise PipelineError(str(error).split("; the last good weights")[0]) from error
        best = json.loads((_RECORD / "metrics.json").read_text())["best"]
        metrics: HeldOutMetrics = {
            **compute_basic_metrics(labels, probabilities),
            "images": len(labels),
            "training_images": load_dataset_facts().num_images["train"],
            "best_epoch": best.get("epoch"),
        }
        return HeldOut(metrics, load_curves(_RECORD), labels, probabilities)


def train_and_predict(
    family: str, params: Params, watch: Watch | None, checkpoints: Checkpoints
) -> tuple[np.ndarray, np.ndarray]:
    """(labels, probabilities) of val. A backbone that is not fine-tuned is not even built."""
    published = params.recipes[family]
    if isinstance(published, TransferRecipe):
        recipe = resolve_recipe(params.train, published)
        if not recipe.fine_tune.epochs:
            settings: dict[str, Any] = {"seed": params.train.seed, "cache_gb": params.train.cache_gb}
            settings |= {"mirrored": averages_mirrors(params, family)}
            return train_head(family, recipe, **settings, record=_RECORD, watch=watch, checkpoints=checkpoints)
    model = train_family(family, params, record=_RECORD, watch=watch, checkpoints=checkpoints)
    model = average_mirrors(model) if averages_mirrors(params, family) else model
    return predict(model, "val", find_embeddings(family))


def with_absolute_weights(params: Params, family: str) -> Params:
    """The same parameters, with the paths of a weights file and of a preset's folder made absolute: training runs in another
    folder."""
    recipe = params.recipes[family]
    if recipe.backbone is None:
        return params
    changes = {}
    if recipe.backbone.weights not in ("imagenet", "none"):
        changes["weights"] = str(resolve_path(recipe.backbone.weights))
    if recipe.backbone.preset is not None and means_folder(recipe.backbone.preset):
        changes["preset"] = str(resolve_path(recipe.backbone.preset))
    if not changes:
        return params
    backbone = recipe.backbone.model_copy(update=changes)
    recipes = params.recipes | {family: recipe.model_copy(update={"backbone": backbone})}
    return params.model_copy(update={"recipes": recipes})
