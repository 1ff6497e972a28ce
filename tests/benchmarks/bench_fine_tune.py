"""An epoch of fine-tuning on activations at a cut, against the same epoch through pixels: the same layers train.

Run: python tests/benchmarks/bench_fine_tune.py [IMAGES [BLOCK…]]. IMAGES (default 640) noise images of 32 px and one view of
each, efficientnet_lite0 at 160 px with random weights, batches of 64, from each BLOCK (default 13, which its recipe names).
Goal: 3x.
"""

import contextlib
import math
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from pipeline.config.reader import load_params, load_published_recipe
from pipeline.config.recipe_sections import TransferRecipe
from pipeline.runtime.tensorflow import configure_tensorflow
from tests.benchmarks.pairs import compare, rate
from tests.benchmarks.scenes_project import PROJECT
from tests.tfrecords import Split, make_noise, write_records

if TYPE_CHECKING:
    from pipeline.data.embeddings import EmbeddingFacts

FAMILY, CUT, BLOCKS, SIDE, CLASSES = "efficientnet_lite0_fine_tuned", 13, 16, 32, 10


def main() -> None:
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 640
    configure_tensorflow(**load_params(PROJECT / "params.yaml").runtime.model_dump())
    for cut in map(int, sys.argv[2:] or [CUT]):
        with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
            write_data(images)
            cached, through_pixels = (prepare(images, cut, from_cut=from_cut) for from_cut in (True, False))
            for epoch in (cached, through_pixels):
                epoch()  # traces
            compare(
                f"an epoch of fine-tuning from block {cut} on cached activations, {images} images, against one through pixels",
                partial(rate, images, cached),
                partial(rate, images, through_pixels),
                rounds=3,
            )


def make_recipe(cut: int, *, from_cut: bool) -> TransferRecipe:
    """The published one, from its cut or through pixels; both train what comes after it."""
    content = load_published_recipe(FAMILY).model_dump()
    content["fine_tune"] |= {
        "from": f"block {cut}" if from_cut else None,
        "batch_size": 64,
        "optimizer": "adamw",
        "label_smoothing": 0.1,
    }
    content["fine_tune"] |= {"epochs": 1, "unfreeze": f"{BLOCKS - cut} blocks"}
    return TransferRecipe.model_validate(content)


def make_split(count: int) -> Split:
    return make_noise(count, SIDE), np.arange(count) % CLASSES


def write_data(images: int) -> None:
    names = [str(number) for number in range(CLASSES)]
    write_records(Path("data/tfrecords"), class_names=names, train=make_split(images), val=make_split(10))


def write_embeddings(folder: Path, facts: "EmbeddingFacts") -> None:
    """Noise, of the right shapes."""
    from pipeline.data.embeddings import EmbeddingWriter

    folder.mkdir(parents=True)
    writer, width, rng = EmbeddingWriter(folder, facts.dtype), math.prod(facts.cut_shape), np.random.default_rng(0)
    for split, view in (("train", 0), ("train", 1), ("val", 0)):
        labels = make_split(facts.num_images[split])[1]
        writer.write(split, view, [(rng.random((len(labels), facts.num_features)), labels)])
        activations = writer.open_cut(split, view, width)
        activations.add(rng.random((len(labels), width)), len(labels))
        activations.close()


def prepare(images: int, cut: int, *, from_cut: bool) -> partial[object]:
    """One epoch of training, on data in the working directory."""
    from pipeline.data.embeddings import EmbeddingFacts, Embeddings
    from pipeline.data.tfrecords import load_dataset_facts
    from pipeline.models.backbones.loader import build_backbone
    from pipeline.models.tail import make_extractor
    from pipeline.runtime.allocation import keep_freed_memory
    from pipeline.training.fine_tune import compile_tuned
    from pipeline.training.head import build_whole, prepare_tuning

    keep_freed_memory()  # as training does
    recipe = make_recipe(cut, from_cut=from_cut)
    network = build_backbone("efficientnet_lite0", int(recipe.input_size or SIDE))
    counts = {"train": images, "val": 10}
    facts = EmbeddingFacts("efficientnet_lite0", "", "", 0, "float32", 1, counts, recipe.features, cut)
    _, facts = make_extractor(network, facts, image_size=SIDE, input_size=int(recipe.input_size or SIDE))
    folder = Path("data/embeddings")
    if not folder.exists():
        write_embeddings(folder, facts)
    whole = build_whole(FAMILY, recipe, load_dataset_facts(), network)
    settings = {"seed": 1, "cache_gb": 1.0, "shuffle_buffer": images, "first_epoch": 0}
    model, data = prepare_tuning(whole, recipe, load_dataset_facts(), Embeddings(facts, folder), network, **settings)
    _, data = compile_tuned(FAMILY, model, network, recipe, data)
    return partial(model.fit, data.batches, steps_per_epoch=data.steps, shuffle=False, verbose=0)


if __name__ == "__main__":
    main()
