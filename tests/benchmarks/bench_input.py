"""An epoch of training, against the same steps on one batch that is there already: the share of reading, decoding, shuffling
and augmenting that training has to wait for.

Run: python tests/benchmarks/bench_input.py [FAMILY] [PIXELS] [IMAGES]; by default optimized, 64 and 2,000 noisy JPEGs, by its
recipe. From memory (train.cache_gb), and from TFRecords that are read in each epoch, by preprocess.encoding. Goal: 0.95x.
"""

import itertools
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[2]))

import yaml

from pipeline.config.reader import load_params
from pipeline.config.recipes import resolve_family
from pipeline.runtime.tensorflow import configure_tensorflow
from tests.benchmarks.pairs import compare, rate
from tests.benchmarks.scenes_project import PROJECT, photos_project, run_stage

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

ENCODINGS, ROUNDS = ("raw", "jpeg", "webp"), 5


def main() -> None:
    family, side, images = (sys.argv[1:] + ["optimized", "64", "2000"][len(sys.argv) - 1 :])[:3]
    with photos_project(int(images), int(side), "download", "prune", "split") as project:
        for encoding in ENCODINGS:
            preprocess(project, encoding)
        configure_tensorflow(**load_params(PROJECT / "params.yaml").runtime.model_dump())
        for name, folder, cache_gb in list_ways():
            model, batches, steps = prepare(family, folder, cache_gb)
            first = next(iter(batches))
            same = iter(repeat(first))
            stream, count = iter(batches), steps * len(first[1])
            train(model, stream, 2)  # traces
            compare(
                f"{family}, {side} px, {name}: an epoch against one without input",
                lambda: rate(count, lambda: train(model, stream, steps)),  # noqa: B023 - called at once
                lambda: rate(count, lambda: train(model, same, steps)),  # noqa: B023
                rounds=ROUNDS,
            )


def preprocess(project: Path, encoding: str) -> None:
    """Leaves the TFRecords in a folder named after their encoding."""
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["preprocess"]["encoding"] = encoding
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    run_stage("preprocess", project)
    shutil.move("data/tfrecords", encoding)


def list_ways() -> Iterator[tuple[str, Path, float]]:
    """Name, folder of TFRecords, and train.cache_gb."""
    yield "from memory", Path("raw"), 4.0
    for encoding in ENCODINGS:
        yield f"from files, {encoding}", Path(encoding), 0.0


def prepare(family: str, folder: Path, cache_gb: float) -> "tuple[keras.Model, tf.data.Dataset, int]":
    """The compiled network, endless batches, and how many there are in an epoch."""
    from pipeline.data.augmentation import Augmentation
    from pipeline.data.batches import make_training_batches
    from pipeline.data.tfrecords import load_dataset_facts
    from pipeline.models.build import build_model
    from pipeline.training.fit import compile_model
    from pipeline.training.network import adapt_normalization, make_settings

    facts, recipe = load_dataset_facts(folder), resolve_family(load_params(PROJECT / "params.yaml"), family)
    model = build_model(family, **make_settings(family, recipe, facts))
    adapt_normalization(model, facts.channel_mean, facts.channel_std)
    batches, steps = make_training_batches(
        batch_size=recipe.batch_size,
        seed=1,
        augmentation=Augmentation(**recipe.augment.model_dump()),
        cache_gb=cache_gb,
        shuffle_buffer=1000,
        folder=folder,
    )
    compile_model(model, recipe, steps)
    return model, batches, steps


def repeat(batch: "tuple[tf.Tensor, tf.Tensor]") -> "tf.data.Dataset":
    import tensorflow as tf

    return tf.data.Dataset.from_tensors(batch).repeat()


def train(model: "keras.Model", stream: "Iterator[tuple[tf.Tensor, tf.Tensor]]", steps: int) -> None:
    """So many steps of `model.fit`, whose own start would count as much as a short epoch."""
    model.make_train_function()
    for _ in itertools.repeat(None, steps):
        model.train_function(stream)


if __name__ == "__main__":
    main()
