"""This project beside its peers in one run, on the same pictures and cores: heads, fine-tuning, training from scratch.

Run: python tests/benchmarks/bench_peers.py [head] [tuning] [scratch] [--images 2000] [--rounds 3] [--busy]
[--torch-python PATH]. PATH: a Python with PyTorch, which is no package of the project; without one, what needs it is skipped,
as is LightGBM where it is not installed. --busy: of tuning and scratch, one thread for each side and rates per second of
processor time, which other programs change little.
- head: cached features of CIFAR-10's pictures; how long each takes to its validation accuracy, and our head to the same.
- tuning: an epoch of efficientnet_lite0_fine_tuned on cached activations, against the same layers in PyTorch, on a frozen stem
  through pixels and on activations, and against Keras' guide to fine-tuning. Noise images of 32 px. Goals: 2x and 3x.
- scratch: an epoch of resnet_fast at width 1, against PyTorch. Noise images of 32 px, mirrored and moved.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from pipeline.config.reader import load_params, load_published_recipe
from pipeline.config.recipe_sections import TransferRecipe
from pipeline.runtime.tensorflow import configure_tensorflow
from tests.benchmarks import bench_embeddings, bench_fine_tune
from tests.benchmarks.pairs import compare, rate
from tests.benchmarks.scenes_project import PROJECT, run_stage
from tests.tfrecords import write_records

TORCH = Path(__file__).with_name("peers_in_torch.py")
CLASSES, SIDE, SIZE = bench_fine_tune.CLASSES, bench_fine_tune.SIDE, 160
Data = tuple[np.ndarray, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="head, tuning, scratch; all if none is named")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--torch-python", default=sys.executable, metavar="PATH")
    asked = parser.parse_args()
    parts = {"head": compare_heads, "tuning": compare_tuning, "scratch": compare_scratch}
    if unknown := set(asked.parts) - parts.keys():
        parser.error(f"expected {', '.join(parts)}, received {', '.join(sorted(unknown))}")
    runtime = load_params(PROJECT / "params.yaml").runtime.model_dump()
    configure_tensorflow(**runtime | ({"threads": 1} if asked.busy else {}))
    for part in asked.parts or parts:
        with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
            parts[part](asked)


def compare_heads(asked: argparse.Namespace) -> None:
    """Prints a line for each peer: its seconds and accuracy, and when our head was as accurate."""
    from pipeline.data.embeddings import load_embeddings

    folder = bench_embeddings.make_project(Path.cwd(), asked.images)
    run_stage("embed", folder, bench_embeddings.FAMILY)
    embeddings = load_embeddings(bench_embeddings.FAMILY)
    train, val = ((embeddings.features(split).load(), embeddings.labels(split)) for split in ("train", "val"))
    curve = train_our_head()
    best = max(accuracy for _, accuracy in curve)
    counts = f"{len(train[0]):,} pictures to train and {len(val[0]):,} to validate on"
    print(f"our head, {counts}: accuracy {best:.4f} at best, {len(curve)} epochs in {curve[-1][0]:.1f} s")
    for name, fit in list_peers().items():
        if fit is None:
            print(f"  against {name}: skipped, as it is not installed")
            continue
        start = time.perf_counter()
        accuracy = fit(train, val)
        seconds = time.perf_counter() - start
        ours = next((when for when, reached in curve if reached >= accuracy), None)
        found = (
            "our head does not reach that" if ours is None else f"our head after {ours:.1f} s: {seconds / ours:.1f}x"
        )
        print(f"  against {name}: {accuracy:.4f} after {seconds:.1f} s, {found}")


def train_our_head() -> list[tuple[float, float]]:
    """After each epoch, seconds since the start, compilation included, and validation accuracy. By the published recipe, at its
    most epochs of the default run, without stopping early."""
    from pipeline.training.head import train_head

    recipe = load_published_recipe(bench_embeddings.FAMILY)
    assert isinstance(recipe, TransferRecipe)
    stopping = recipe.early_stopping.model_copy(update={"patience": None})
    recipe = recipe.model_copy(update={"epochs": 16, "early_stopping": stopping})
    curve: list[tuple[float, float]] = []
    start = time.perf_counter()

    def watch(_: int, accuracy: float) -> None:
        curve.append((time.perf_counter() - start, accuracy))

    train_head(bench_embeddings.FAMILY, recipe, seed=1, cache_gb=4, record=Path("record"), watch=watch)
    return curve


def list_peers() -> dict[str, Callable[[Data, Data], float] | None]:
    """Name to a function from training and validation data to validation accuracy; None: not installed."""
    return {
        "scikit-learn's LogisticRegression, standardized": partial(fit_logistic, 1.0),
        "the same, C 0.001": partial(fit_logistic, 0.001),
        "LightGBM, 100 rounds": fit_trees if find_spec("lightgbm") else None,
    }


def fit_logistic(c: float, train: Data, val: Data) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))
    return float(model.fit(*train).score(*val))


def fit_trees(train: Data, val: Data) -> float:
    from lightgbm import LGBMClassifier

    model = LGBMClassifier(n_estimators=100, n_jobs=os.cpu_count(), verbose=-1)
    return float((model.fit(*train).predict(val[0]) == val[1]).mean())


def compare_tuning(asked: argparse.Namespace) -> None:
    images = asked.images
    bench_fine_tune.write_data(images)
    ours, keras_guide = bench_fine_tune.prepare(images, bench_fine_tune.CUT), prepare_keras_guide(images)
    for epoch in (ours, keras_guide):
        epoch()  # traces
    what = f"an epoch of fine-tuning on activations after {bench_fine_tune.CUT}, {images:,} images"
    mine, guide = (partial(measure, images, epoch, asked) for epoch in (ours, keras_guide))
    compare(f"{what}, against Keras' guide, all layers through pixels", mine, guide, rounds=asked.rounds)
    for mode, words in (("frozen", "a frozen stem through pixels"), ("cached", "the same activations, in memory")):
        compare_torch(f"{what}, against PyTorch, {words}", mode, mine, asked)


def prepare_keras_guide(images: int) -> Callable[[], object]:
    """An epoch as in Keras' guide to transfer learning, its last part: the whole network at a low rate, normalization as it
    was, augmentation and resizing as layers; on the network of ours, with random weights."""
    import keras
    import tensorflow as tf

    from pipeline.models.backbones.loader import build_backbone

    base = build_backbone("efficientnet_lite0", SIZE)
    base.trainable = True
    inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.RandomFlip("horizontal")(inputs)
    x = keras.layers.Rescaling(1 / 128, offset=-127 / 128)(keras.layers.Resizing(SIZE, SIZE)(x))
    x = keras.layers.GlobalAveragePooling2D()(base(x, training=False))
    model = keras.Model(inputs, keras.layers.Dense(CLASSES)(keras.layers.Dropout(0.2)(x)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-5), loss, metrics=["accuracy"])
    dataset = tf.data.Dataset.from_tensor_slices(bench_fine_tune.make_split(images))
    batches = dataset.shuffle(images).batch(64).prefetch(tf.data.AUTOTUNE)
    return partial(model.fit, batches, verbose=0)


def compare_scratch(asked: argparse.Namespace) -> None:
    images = asked.images
    ours = prepare_scratch(images)
    ours()  # traces
    compare_torch(
        f"an epoch of resnet_fast, {images:,} images", "scratch", partial(measure, images, ours, asked), asked
    )


def prepare_scratch(images: int) -> Callable[[], object]:
    """An epoch by the published recipe, with its augmentation, on noise."""
    from pipeline.data.tfrecords import load_dataset_facts
    from pipeline.models.build import build_model
    from pipeline.models.scratch.whitening import set_whitening
    from pipeline.runtime.allocation import keep_freed_memory
    from pipeline.training.fit import compile_model
    from pipeline.training.network import make_fit_data, make_settings, read_sample
    from pipeline.training.soft_labels import soften_labels

    keep_freed_memory()  # as training does
    names = [str(number) for number in range(CLASSES)]
    write_records(class_names=names, train=bench_fine_tune.make_split(images), val=bench_fine_tune.make_split(10))
    facts, recipe = load_dataset_facts(), load_published_recipe("resnet_fast")
    model = build_model("resnet_fast", **make_settings("resnet_fast", recipe, facts))
    set_whitening(model, read_sample(images))
    data = make_fit_data(recipe, facts, seed=1, cache_gb=1.0, shuffle_buffer=images)
    data = soften_labels(data, CLASSES, recipe)
    compile_model(model, recipe, data.steps)
    return partial(model.fit, data.batches, steps_per_epoch=data.steps, shuffle=False, verbose=0)


def compare_torch(what: str, mode: str, ours: Callable[[], float], asked: argparse.Namespace) -> None:
    """Ours against a mode of peers_in_torch.py, which starts anew each time; its start does not count."""
    python = asked.torch_python
    if subprocess.run([python, "-c", "import torch"], capture_output=True, check=False).returncode:
        print(f"{what}: skipped, as {python} has no PyTorch; name a Python that has it with --torch-python")
        return
    compare(what, ours, lambda: measure_torch(python, mode, asked), rounds=asked.rounds)


def measure(images: int, epoch: Callable[[], object], asked: argparse.Namespace) -> float:
    """Images/s, or with --busy per second of processor time, of all threads."""
    if not asked.busy:
        return rate(images, epoch)
    start = time.process_time()
    epoch()
    return images / (time.process_time() - start)


def measure_torch(python: str, mode: str, asked: argparse.Namespace) -> float:
    """The same of peers_in_torch.py."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "1"} if asked.busy else {}
    command = [python, str(TORCH), mode, str(asked.images)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{python} failed:\n{done.stderr[-2000:]}")
    line = next(line for line in done.stdout.splitlines() if line.startswith("RATE"))
    return float(line.split()[2 if asked.busy else 1])


if __name__ == "__main__":
    main()
