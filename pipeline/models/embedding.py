"""Features of every image: a backbone, applied once to all splits, to augmented views of the training images and, if
models average them, to mirror images. Imports TensorFlow."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np

from pipeline.config.sections import Embed
from pipeline.data.augmentation import Augmentation
from pipeline.data.batches import Part, read_views
from pipeline.data.embeddings import CUT_DTYPE, MIRROR, EmbeddingFacts, EmbeddingWriter, ShardWriter, save_facts
from pipeline.models.inference import Apply
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import folder_continued
from pipeline.runtime.paths import EMBEDDINGS
from pipeline.runtime.processes import map_ahead
from pipeline.runtime.progress import progress_bar

logger = logging.getLogger(__name__)

_SPLITS = ("train", "val", "test")

Rows: TypeAlias = Iterable[tuple[np.ndarray | None, np.ndarray]]
Extract: TypeAlias = Callable[[str, int, int], Rows]  # split, view, rows that are there already


def embed_images(
    family: str,
    extract: Extract,
    facts: EmbeddingFacts,
    *,
    key: str | None = None,
    source: str | None = None,
) -> None:
    """Writes data/embeddings/<family>. extract: `extract_here`, or what makes the same elsewhere.

    key: of all that features depend on; what a run with the same one had finished when it was killed is taken over. source:
    the family whose recipe they follow, which is named in errors; None: the family itself.
    """
    passes = [(split, 0) for split in _SPLITS] + [("train", view) for view in range(1, facts.views + 1)]
    passes += [(split, MIRROR) for split in _SPLITS if facts.has_mirrors(split)]
    total, start = sum(facts.num_images[split] for split, _ in passes), time.perf_counter()
    with (
        folder_continued(EMBEDDINGS / family, key) as folder,
        progress_bar(total=total, desc="embed", unit=" images") as progress,
    ):
        writer = EmbeddingWriter(folder, facts.dtype)
        for split, view in passes:
            cut = writer.open_cut(split, view, math.prod(facts.cut_shape)) if _keeps_cut(facts, split) else None
            there = writer.count_rows(split, view)
            there = there if cut is None else min(there, cut.there)
            if there:
                logger.info("%s goes on: %d rows of %s, view %d, are there already", family, there, split, view)
            if view and there == facts.num_images[split]:
                progress.update(there)
                continue
            rows = _divide_rows(extract(split, view, there), cut, source or family, facts)
            writer.write(split, view, _count(rows, progress.update))
            if cut is not None:
                cut.close()
        save_facts(facts, folder)
    rate = total / (time.perf_counter() - start)
    logger.info("%s: %d images, %d features each, %.0f images/s", family, total, facts.num_features, rate)


def _keeps_cut(facts: EmbeddingFacts, split: str) -> bool:
    """Not of test, on which nothing is trained or chosen."""
    return facts.cut is not None and split != "test"


def extract_here(
    apply: Apply,
    settings: Embed,
    augmentation: Augmentation,
    split: str,
    view: int,
    there: int,
    part: Part | None = None,
) -> Rows:
    """For each batch of a split and view, or of a part of it, what comes out, float32 (n, features + height × width ×
    channels), and the labels, int64 (n,).

    apply: images (n, size, size, 3), 0 to 255, to features and, behind them, activations at the cut, if there is one. there: as
    many rows are there already: of batches that end with them, None comes out.
    """
    images = read_views(
        split, view, batch_size=settings.batch_size, seed=settings.seed, augmentation=augmentation, part=part
    )

    def list_batches() -> Iterator[tuple[Any, np.ndarray, bool]]:
        end = part.first if part else 0
        for batch, labels in images:
            end += len(labels)
            yield batch, labels.numpy(), end <= there

    def work(task: tuple[Any, np.ndarray, bool]) -> tuple[np.ndarray | None, np.ndarray]:
        batch, labels, is_there = task
        return None if is_there else apply(batch), labels

    return map_ahead(work, list_batches())


def _divide_rows(
    rows: Rows, cut: ShardWriter | None, family: str, facts: EmbeddingFacts
) -> Iterator[tuple[np.ndarray | None, np.ndarray]]:
    """For each batch the features, None for those that are there already, and the labels; activations are added to `cut`."""
    for values, labels in rows:
        if cut is not None:
            rest = None if values is None else values[:, facts.num_features :]
            cut.add(None if rest is None else check_finite(rest, family, CUT_DTYPE, at_cut=True), len(labels))
        features = None if values is None else check_finite(values[:, : facts.num_features], family, facts.dtype)
        yield features, labels


def _count(
    rows: Iterable[tuple[np.ndarray | None, np.ndarray]], update: Callable[[int], object]
) -> Iterator[tuple[np.ndarray | None, np.ndarray]]:
    for features, labels in rows:
        yield features, labels
        update(len(labels))


def check_finite(features: np.ndarray, family: str, dtype: str, *, at_cut: bool = False) -> np.ndarray:
    """The same features. Raises PipelineError for such as training would end in a loss that is no number. at_cut: they are the
    activations there, which have no dtype to choose."""
    what, parameter, remedy = ("features", "embed.dtype", "set embed.dtype to float32")
    if at_cut:
        what, parameter, remedy = ("activations", "the cut's", f"name another block in recipes.{family}.fine_tune.from")
    with np.errstate(over="ignore"):
        stored = features.astype(dtype, copy=False)
    if np.isfinite(stored).all():
        return features
    if np.isfinite(features).all():
        raise PipelineError(
            f"{family}: {what} of up to {np.abs(features).max():.3g} do not fit {parameter} {dtype}: expected at "
            f"most {np.finfo(dtype).max:.3g}; {remedy}"
        )
    raise PipelineError(
        f"{family}: its backbone gives features that are no numbers: expected finite ones; check the weights that "
        f"recipes.{family}.backbone.weights names"
    )
