"""How features of all images are made: in this process, or by the workers of a cluster. Each of these builds the same
extractor, once, and applies it to the same batches, with the same number of threads. Imports TensorFlow."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np

from pipeline.config.sections import Embed
from pipeline.data.augmentation import Augmentation
from pipeline.data.batches import Part
from pipeline.data.embeddings import EmbeddingFacts
from pipeline.models.backbones.backbone import compute_weights_digest
from pipeline.models.backbones.loader import build_backbone
from pipeline.models.embedding import Extract, extract_here
from pipeline.models.inference import Apply, freeze
from pipeline.models.tail import make_extractor
from pipeline.runtime.cluster import Cluster
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.tensorflow import configure_tensorflow

_TASK_IMAGES = 512  # at most, of one task: some seconds
_TASK_BYTES = 64 << 20  # of what comes out of one task, unless one batch has more
_built: dict[str, Apply] = {}  # of this worker: the key of the features to what makes them


@dataclass(frozen=True)
class Extraction:
    """What a worker builds the extractor from. runtime: arguments of configure_tensorflow. augment: of Augmentation. weights,
    preset: of build_backbone. sizes: image_size and input_size of make_extractor."""

    family: str
    facts: EmbeddingFacts
    settings: Embed
    augment: dict[str, Any]
    runtime: dict[str, Any]
    weights: str
    preset: str | None
    sizes: dict[str, int]


Answer = tuple[np.ndarray | None, np.ndarray]  # as `extract_here` gives


class _Task(NamedTuple):
    split: str
    view: int
    there: int
    part: Part


def make_extract(model: keras.Model, extraction: Extraction, cluster: Cluster | None) -> Extract:
    """What `embed_images` takes. model: of `make_extractor`; workers of a cluster build it anew. cluster: None: this process is
    the one that applies it."""
    if cluster is None:
        return partial(extract_here, freeze(model), extraction.settings, Augmentation(**extraction.augment))
    configure = partial(configure_tensorflow, **extraction.runtime)
    needing = cluster.with_needs(threads=extraction.runtime["threads"], on_gpu=True, first=configure)
    return partial(_extract_on, needing, extraction)


def _extract_on(cluster: Cluster, extraction: Extraction, split: str, view: int, there: int) -> Iterator[Answer]:
    tasks = (_Task(split, view, there, part) for part in _cut(extraction, split))
    work = partial(_extract_part, extraction=extraction)
    for answers in cluster.map_in_order(work, tasks, None, _list_names):
        yield from answers


def _cut(extraction: Extraction, split: str) -> Iterator[Part]:
    """The images of each task: whole batches."""
    facts, batch = extraction.facts, extraction.settings.batch_size
    total, width = facts.num_images[split], facts.num_features + (math.prod(facts.cut_shape) if facts.cut_shape else 0)
    size = max(1, min(_TASK_IMAGES, _TASK_BYTES // (4 * width)) // batch) * batch
    return (Part(first, min(size, total - first)) for first in range(0, total, size))


def _list_names(task: _Task) -> list[tuple[str, _Task]]:
    first, size = task.part
    return [(f"images {first} to {first + size - 1} of {task.split}", task)]


def _extract_part(task: _Task, *, extraction: Extraction) -> list[Answer]:
    apply = _build(extraction)
    return list(extract_here(apply, extraction.settings, Augmentation(**extraction.augment), *task))


def _build(extraction: Extraction) -> Apply:
    facts, size = extraction.facts, extraction.sizes["input_size"]
    if facts.key not in _built:
        network = build_backbone(
            facts.backbone, size, extraction.weights, preset=extraction.preset, family=extraction.family
        )
        if compute_weights_digest(network) != facts.weights_sha256:
            raise PipelineError(
                f"{extraction.family}: a node of the Ray cluster has other weights of {facts.backbone}: expected those of this "
                "machine; put them on shared storage, or delete the node's copy"
            )
        _built[facts.key] = freeze(make_extractor(network, facts, **extraction.sizes)[0])
    return _built[facts.key]
