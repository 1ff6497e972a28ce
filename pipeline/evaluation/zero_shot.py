"""What a preset makes of the names of classes alone, without training: zero-shot classification, as by CLIP (Radford et al.
2021, arXiv:2103.00020). A baseline: nothing is chosen by it. Imports Keras."""

import logging
import re
from collections.abc import Sequence

import keras
import numpy as np

from pipeline.config.recipes import resolve_family
from pipeline.config.sections import Params
from pipeline.config.types import CLASS_WORD
from pipeline.data.embeddings import Embeddings, find_embeddings
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.evaluation.intervals import compute_accuracy_interval
from pipeline.evaluation.metric_types import ZeroShotMetrics
from pipeline.models.backbones.text_tower import TextTower, load_text_tower, may_know_texts
from pipeline.runtime.errors import PipelineError
from pipeline.training.scores import DIGITS

logger = logging.getLogger(__name__)

_ROWS = 16_384  # images at a time


def measure_zero_shot(family: str, model: keras.Model, params: Params) -> ZeroShotMetrics:
    """Of the preset that a family stands on, by its cached features of val and test; nothing for a family that has none, or
    whose preset has no tower for text or no tokenizer, and where a class's name says nothing to it.

    model: the family's. Raises PipelineError where the features are not of this preset, or it can't be loaded.
    """
    backbone, embeddings = resolve_family(params, family).backbone, find_embeddings(family)
    if not params.evaluate.prompts or backbone is None or backbone.preset is None or embeddings is None:
        return {}
    if backbone.weights != "imagenet" or not may_know_texts(model):
        return {}
    parameter = f"recipes.{family}.backbone.preset"
    tower, names = load_text_tower(backbone.preset, parameter=parameter), load_dataset_facts().class_names
    if tower is None or not _can_read(tower, names, family):
        return {}
    if tower.images_sha256 != embeddings.facts.weights_sha256:
        raise PipelineError(
            f"{parameter}: {backbone.preset} has other weights than when the features in {embeddings.folder} were computed: "
            f"expected the same; run `dvc repro -f embed@{family}`"
        )
    classes = embed_classes(tower, names, params.evaluate.prompts)
    measured = _measure(*(predict_zero_shot(tower, classes, embeddings, split) for split in ("val", "test")))
    name = re.split(r"[/\\]", backbone.preset.rstrip("/\\"))[-1]
    return {"zero_shot_preset": name, "zero_shot_prompts": params.evaluate.prompts, **measured}


def make_words(name: str) -> str:
    """A class's name as people write it: polar_bear is polar bear."""
    return " ".join(name.replace("_", " ").split())


def embed_classes(tower: TextTower, names: Sequence[str], prompts: Sequence[str]) -> np.ndarray:
    """float32 (classes, dimensions), of length 1: the direction of the mean of a class's prompts, each of length 1.

    prompts: texts in which CLASS stands for the name.
    """
    texts = [prompt.replace(CLASS_WORD, make_words(name)) for name in names for prompt in prompts]
    embedded = _normalize(tower.embed_texts(texts)).reshape(len(names), len(prompts), -1)
    return _normalize(embedded.mean(axis=1))


def predict_zero_shot(
    tower: TextTower, classes: np.ndarray, embeddings: Embeddings, split: str
) -> tuple[np.ndarray, np.ndarray]:
    """Labels, int64 (n,), and cosines of each image with each class, float32 (n, classes). classes: of `embed_classes`."""
    rows = embeddings.features(split)
    parts = [
        _normalize(tower.embed_features(rows.take(np.arange(first, min(first + _ROWS, len(rows)))))) @ classes.T
        for first in range(0, len(rows), _ROWS)
    ]
    return embeddings.labels(split), np.concatenate(parts)


def _can_read(tower: TextTower, names: Sequence[str], family: str) -> bool:
    """Whether every class's name has a token that the tower knows; says which one has none."""
    unknown = [name for name in names if not tower.list_words(make_words(name))]
    if unknown:
        logger.warning(
            "%s: no zero-shot row, as its preset knows no word of the class %s: expected names in a language that it was "
            "trained on; prune.merge_classes can give another name, evaluate.prompts [] asks for no such row",
            family,
            unknown[0],
        )
    return not unknown


def _measure(val: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> ZeroShotMetrics:
    on_val, hits = ((cosines.argmax(axis=1) == labels) for labels, cosines in (val, test))
    low, high = compute_accuracy_interval(int(hits.sum()), len(hits))
    return {
        "zero_shot_val_accuracy": round(float(on_val.mean()), DIGITS),
        "zero_shot_test_accuracy": round(float(hits.mean()), DIGITS),
        "zero_shot_test_accuracy_low": low,
        "zero_shot_test_accuracy_high": high,
    }


def _normalize(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
