"""Trainings on several devices of this machine, in a process of their own, as TensorFlow divides a processor only once.

python tests/devices.py DEVICES TRAINING… makes a folder of each in the working directory, with the model's file, its weights,
and dvclive's record.
"""

# ruff: noqa: E402 - TensorFlow is configured first
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.runtime.tensorflow import configure_tensorflow, seed_everything

configure_tensorflow(onednn=True, threads=2, portable=True, devices=int(sys.argv[1]))

import keras
import numpy as np
import pytest

from pipeline.config.recipe_sections import NetworkRecipe, TransferRecipe
from pipeline.models.artifacts import save_model
from pipeline.training.checkpoints import NO_CHECKPOINTS, Checkpoints, Pace
from pipeline.training.distillation import make_lesson
from pipeline.training.head import train_transfer
from pipeline.training.network import train_network
from tests.pipeline.training.test_resume import CUT, FRESH, NAMES, RECIPE, SIZE
from tests.small_backbone import shrink_mobilenet, write_features
from tests.tfrecords import make_coloured_split, write_records

IMAGES = 41  # of which 5 batches of 10 have 1 left: fewer than there are devices
NETWORK: dict[str, Any] = {key: value for key, value in RECIPE.items() if key != "fine_tune"} | {
    "backbone": None,
    "epochs": 3,
    "batch_size": 10,
    "width": 0.1,
    "optimizer": "nesterov",
}
PIXELS: dict[str, dict[str, Any]] = {
    # Batch normalization and dropout; the rest is one setting each.
    "cifar_elu": {"class_weight": "balanced", "weight_decay": 0.01, "oversample": "balanced"},
    "resnet_fast": {
        "ema": 0.9,
        "label_smoothing": 0.1,
        "augment": RECIPE["augment"] | {"flip": "alternate", "mixup": 0.2, "cutmix": 1.0},
    },
    "vgg_blocks": {"optimizer": "adam", "learning_rate": 0.001},  # a layer with constants that it was adapted to
}


def train(name: str, folder: Path, checkpoints: Checkpoints = NO_CHECKPOINTS, watch: Any = None) -> keras.Model:
    settings: dict[str, Any] = {"seed": 1, "cache_gb": 1.0, "shuffle_buffer": 16, "record": folder / "record"}
    settings |= {"checkpoints": checkpoints, "watch": watch}
    keras.backend.clear_session()  # as in a new process: layers are numbered from 1
    seed_everything(1)
    if name in ("from_cut", "fresh"):
        changes = (CUT if name == "from_cut" else FRESH) | {"batch_size": 10}
        return train_transfer("mobilenet", TransferRecipe.model_validate(RECIPE | changes), **settings)
    if name == "taught":
        probabilities = np.random.default_rng(3).dirichlet(np.ones(3), IMAGES).astype(np.float32)
        settings["lesson"] = make_lesson(probabilities, weight=0.7, temperature=2.0)
    family = name if name in PIXELS else "resnet_fast"
    changes = PIXELS[family] | ({"label_smoothing": 0.1} if name == "taught" else {})
    return train_network(family, NetworkRecipe.model_validate(NETWORK | changes), **settings)


def resume(folder: Path) -> keras.Model:
    """As if it had been killed after its second epoch."""

    def make(name: str) -> Checkpoints:
        return Checkpoints(folder / name, "family", lambda: "a" * 64, Pace(first=0.0, share=1e9))

    def kill(epoch: int, accuracy: float) -> None:  # noqa: ARG001 - Watch's
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train("resnet_fast", folder / "killed", make("checkpoints"), kill)
    checkpoints = make("checkpoints")
    assert list(checkpoints.folder.glob("*.npz"))
    return train("resnet_fast", folder, checkpoints)


if __name__ == "__main__":
    splits = {"train": make_coloured_split(IMAGES, SIZE, strength=8), "val": make_coloured_split(9, SIZE, seed=1)}
    if not Path("data").exists():
        write_records(class_names=NAMES, **splits)
    with pytest.MonkeyPatch.context() as patch:
        shrink_mobilenet(patch)
        if not Path("data/embeddings").exists():
            write_features(Path("data/embeddings/mobilenet"), splits, SIZE)
        for name in sys.argv[2:]:
            kept = Path(f"{name}-{sys.argv[1]}")
            model = resume(kept) if name == "resumed" else train(name, kept)
            save_model(model, kept / "model.keras")
            np.savez(kept / "weights.npz", *model.get_weights())
