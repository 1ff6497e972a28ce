"""Computes a backbone's features of every image, once, into data/embeddings/<family>: the frozen part of training.

A family that trains on pixels gets an empty folder, and costs nothing.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.config.families import FAMILIES, check_family
from pipeline.config.reader import load_params
from pipeline.config.recipes import resolve_augment
from pipeline.config.sections import Embed
from pipeline.data.embeddings import EmbeddingFacts, EmbeddingWriter, compute_key, copy_twin, save_facts, save_none
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.runtime.cli import run_family_verb
from pipeline.runtime.files import folder_aside
from pipeline.runtime.paths import EMBEDDINGS, TFRECORDS
from pipeline.runtime.progress import progress_bar
from pipeline.runtime.tensorflow import configure_tensorflow

if TYPE_CHECKING:
    from pipeline.data.augmentation import Augmentation

_SPLITS = ("train", "val", "test")


def embed(family: str) -> None:
    params = load_params()
    check_family(family)
    backbone, own = FAMILIES[family].backbone, params.recipes[family]
    if backbone is None or own.backbone is None or own.augment is None:
        save_none(family)
        print(f"{family} trains on pixels: nothing to embed")
        return
    configure_tensorflow(onednn=params.runtime.onednn)
    from pipeline.data.augmentation import Augmentation
    from pipeline.models.backbones import build_backbone, compute_weights_digest
    from pipeline.models.inference import freeze
    from pipeline.models.transfer import make_feature_model

    facts = load_dataset_facts()
    size = own.input_size or facts.image_size
    network = build_backbone(backbone, size, own.backbone.weights, family=family)
    augment = resolve_augment(params.train, own.augment).model_dump()
    weights = compute_weights_digest(network)
    made_of = {"backbone": backbone, "input_size": size, "weights": weights, "augment": augment}
    key = compute_key(made_of | params.embed.model_dump() | params.runtime.model_dump(), files=list_files())
    twin = copy_twin(family, key)
    if twin is not None:
        print(f"{family}: the same features as {twin}'s, taken over")
        return
    model = make_feature_model(backbone, network, image_size=facts.image_size, input_size=size)
    embed_images(
        family,
        freeze(model),
        params.embed,
        Augmentation(**augment),
        EmbeddingFacts(
            backbone=backbone,
            key=key,
            weights_sha256=weights,
            num_features=model.output_shape[-1],
            dtype=params.embed.dtype,
            views=params.embed.views if Augmentation(**augment).is_active else 0,
            num_images=facts.num_images,
        ),
    )


def list_files() -> list[Path]:
    """The records, and the code that makes features of them: an older version's features are no twin."""
    code = Path(__file__).parent
    dataset = [code / "dataset" / f"{name}.py" for name in ("augmentation", "batches", "embeddings", "records")]
    modules = [Path(__file__), *(code / "families").glob("*.py"), *dataset]
    return [*sorted(TFRECORDS.iterdir()), *sorted(modules)]


def embed_images(
    family: str,
    extract: Callable[[np.ndarray], np.ndarray],
    settings: Embed,
    augmentation: "Augmentation",
    facts: EmbeddingFacts,
) -> None:
    """Writes the folder of one family. extract: images (n, size, size, 3), 0 to 255, to features float32 (n, features)."""
    from pipeline.data.batches import read_views

    passes = [(split, 0) for split in _SPLITS] + [("train", view) for view in range(1, facts.views + 1)]
    total, start = sum(facts.num_images[split] for split, _ in passes), time.perf_counter()

    def features(split: str, view: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        batches = read_views(split, view, batch_size=settings.batch_size, seed=settings.seed, augmentation=augmentation)
        for images, labels in batches:
            yield extract(images), labels.numpy()
            progress.update(len(labels))

    with (
        folder_aside(EMBEDDINGS / family) as folder,
        progress_bar(total=total, desc="embed", unit=" images") as progress,
    ):
        writer = EmbeddingWriter(folder, facts.dtype)
        for split, view in passes:
            writer.write(split, view, features(split, view))
        save_facts(facts, folder)
    rate = total / (time.perf_counter() - start)
    print(f"{family}: {total:,} pictures, {facts.num_features:,} features each, {rate:,.0f} images/s")


if __name__ == "__main__":
    run_family_verb(embed, __doc__)
