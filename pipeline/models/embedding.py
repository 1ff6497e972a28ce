"""Features of every image: a backbone, applied once to all splits and to augmented views of the training images. Imports
TensorFlow."""

import logging
import time
from collections.abc import Iterator

import numpy as np

from pipeline.config.sections import Embed
from pipeline.data.augmentation import Augmentation
from pipeline.data.batches import read_views
from pipeline.data.embeddings import EmbeddingFacts, EmbeddingWriter, save_facts
from pipeline.models.inference import Apply
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import folder_continued
from pipeline.runtime.paths import EMBEDDINGS
from pipeline.runtime.progress import progress_bar

logger = logging.getLogger(__name__)

_SPLITS = ("train", "val", "test")


def embed_images(
    family: str,
    extract: Apply,
    settings: Embed,
    augmentation: Augmentation,
    facts: EmbeddingFacts,
    *,
    key: str | None = None,
) -> None:
    """Writes data/embeddings/<family>. extract: images (n, size, size, 3), 0 to 255, to features float32 (n, features).

    key: of all that features depend on; what a run with the same one had finished when it was killed is taken over.
    """
    passes = [(split, 0) for split in _SPLITS] + [("train", view) for view in range(1, facts.views + 1)]
    total, start = sum(facts.num_images[split] for split, _ in passes), time.perf_counter()

    def features(split: str, view: int, there: int) -> Iterator[tuple[np.ndarray | None, np.ndarray]]:
        end = 0
        batches = read_views(split, view, batch_size=settings.batch_size, seed=settings.seed, augmentation=augmentation)
        for images, labels in batches:
            end += len(labels)
            yield None if end <= there else check_finite(extract(images), family, settings), labels.numpy()
            progress.update(len(labels))

    with (
        folder_continued(EMBEDDINGS / family, key) as folder,
        progress_bar(total=total, desc="embed", unit=" images") as progress,
    ):
        writer = EmbeddingWriter(folder, facts.dtype)
        for split, view in passes:
            there = writer.count_rows(split, view)
            if there:
                logger.info("%s goes on: %d rows of %s, view %d, are there already", family, there, split, view)
            if view and there == facts.num_images[split]:
                progress.update(there)
            else:
                writer.write(split, view, features(split, view, there))
        save_facts(facts, folder)
    rate = total / (time.perf_counter() - start)
    logger.info("%s: %d images, %d features each, %.0f images/s", family, total, facts.num_features, rate)


def check_finite(features: np.ndarray, family: str, settings: Embed) -> np.ndarray:
    """The same features. Raises PipelineError for such as training would end in a loss that is no number."""
    with np.errstate(over="ignore"):
        stored = features.astype(settings.dtype, copy=False)
    if np.isfinite(stored).all():
        return features
    if np.isfinite(features).all():
        raise PipelineError(
            f"{family}: features of up to {np.abs(features).max():.3g} do not fit embed.dtype {settings.dtype}: expected at "
            f"most {np.finfo(settings.dtype).max:.3g}; set embed.dtype to float32"
        )
    raise PipelineError(
        f"{family}: its backbone gives features that are no numbers: expected finite ones; check the weights that "
        f"recipes.{family}.backbone.weights names"
    )
