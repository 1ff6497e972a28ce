"""A head on cached features, against the studies' method: the frozen backbone inside `fit`, in every epoch.

Run: python tests/benchmarks/bench_embeddings.py [IMAGES]. CIFAR-10's first IMAGES training images (default 2,000) and 2,000
test images, efficientnet_lite0 at 160 px, the same head, the same epochs. Goal: 30x per run after the first, test accuracy
within half a point. Needs CIFAR-10, which it downloads into the pipeline's cache.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[2]))

import yaml

from pipeline.config.reader import load_params
from pipeline.config.recipes import resolve_recipe
from pipeline.config.sections import Params
from pipeline.runtime.tensorflow import configure_tensorflow, seed_everything
from tests.benchmarks.scenes_project import PROJECT, run_stage

if TYPE_CHECKING:
    import keras

FAMILY, EPOCHS, BATCH = "efficientnet_lite0", 10, 32


def main() -> None:
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as name:
        folder = make_project(Path(name), images)
        os.chdir(folder)
        _compare(folder, run_stage("embed", folder, FAMILY))


def make_project(folder: Path, images: int) -> Path:
    """Writes params.yaml and data up to data/tfrecords into `folder`; without augmentation and early stopping."""
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    params["data"]["source"] = "cifar10"
    params["prune"]["max_images_per_class"] = (images + 2000) // 10
    params["families"] = [FAMILY]
    params["embed"]["views"] = 0
    params["train"] |= {"epochs": EPOCHS, "batch_size": BATCH, "augment": dict.fromkeys(params["train"]["augment"])}
    params["recipes"][FAMILY]["augment"] = {"flip": "none", "rotation": 0.0, "zoom": 0.0, "contrast": 0.0}
    params["recipes"][FAMILY]["early_stopping"] = {"patience": None}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    for stage in ("code", "download", "prune", "split", "preprocess"):
        run_stage(stage, folder)
    return folder


def train_as_studies(params: Params) -> "keras.Model":
    """The frozen backbone inside `fit`, on the data in the working directory."""
    import keras

    from pipeline.config.recipe_sections import TransferRecipe
    from pipeline.data.augmentation import Augmentation
    from pipeline.data.batches import make_training_batches, read_batches
    from pipeline.data.tfrecords import load_dataset_facts
    from pipeline.models.build import build_model

    recipe = resolve_recipe(params.train, params.recipes[FAMILY])
    assert isinstance(recipe, TransferRecipe)
    seed_everything(1)
    settings = {
        "num_classes": 10,
        "head_units": recipe.head_units,
        "dropout": recipe.dropout,
        "weights": "imagenet",
        "width": recipe.width,
    }
    image_size = load_dataset_facts().image_size
    model = build_model(FAMILY, image_size=image_size, input_size=recipe.input_size, **settings)
    optimizer = keras.optimizers.Adam(recipe.learning_rate)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    batches, steps = make_training_batches(
        batch_size=BATCH, seed=1, augmentation=Augmentation(), cache_gb=4, shuffle_buffer=1000
    )
    keeper = keras.callbacks.EarlyStopping(monitor="val_loss", patience=EPOCHS + 1, restore_best_weights=True)
    val = read_batches("val", batch_size=256)
    model.fit(batches, steps_per_epoch=steps, epochs=EPOCHS, validation_data=val, callbacks=[keeper], verbose=0)
    return model


def _compare(folder: Path, embed_seconds: float) -> None:
    configure_tensorflow(onednn=True, threads=2, portable=True)
    from pipeline.data.tfrecords import load_dataset_facts
    from pipeline.models.predictions import predict_split
    from pipeline.training.head import train_transfer

    params, facts = load_params(), load_dataset_facts()
    recipe = resolve_recipe(params.train, params.recipes[FAMILY])

    def cached() -> "keras.Model":
        return train_transfer(FAMILY, recipe, seed=1, cache_gb=4, shuffle_buffer=1000, record=folder / "record")

    seconds, accuracies = {}, {}
    for name, method in (("cached", cached), ("in fit", lambda: train_as_studies(params))):
        start = time.perf_counter()
        model = method()
        seconds[name] = time.perf_counter() - start
        labels, probabilities = predict_split(model, "test")
        accuracies[name] = float((probabilities.argmax(axis=1) == labels).mean())
    n, num_test = facts.num_images["train"], facts.num_images["test"]
    print(
        f"one run of {EPOCHS} epochs on {n:,} images: {seconds['in fit'] / seconds['cached']:.1f}x "
        f"({seconds['cached']:.1f} s on features, {seconds['in fit']:.1f} s with the backbone in fit; "
        f"the first run also embeds, {embed_seconds:.1f} s: {seconds['in fit'] / (seconds['cached'] + embed_seconds):.1f}x; "
        f"test accuracy {accuracies['cached']:.4f} and {accuracies['in fit']:.4f}, n={num_test:,})"
    )


if __name__ == "__main__":
    main()
