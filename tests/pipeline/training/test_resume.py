"""A training that was killed and goes on ends in the same bytes as one that was not."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.recipe_sections import NetworkRecipe, TransferRecipe
from pipeline.runtime.errors import PipelineError
from pipeline.training.checkpoints import Checkpoint, Checkpoints, Pace, PhaseCheckpoints
from tests.tfrecords import make_coloured_split, write_records

pytestmark = pytest.mark.usefixtures("small_backbone")

SIZE, NAMES = 32, ["red", "green", "blue"]
EVERY_EPOCH = Pace(first=0.0, share=1e9)
NEVER = {"monitor": "val_loss", "patience": None, "factor": 0.5, "min_lr": 0.0, "min_delta": 0.0}
FINE_TUNE: dict[str, Any] = {
    "epochs": 4,
    "learning_rate": 0.001,
    "optimizer": "rmsprop",
    "unfreeze": "2 layers",
    "start": "head",
    "early_stopping": {"monitor": "val_loss", "patience": None, "restore": "last"},
    "reduce_lr": NEVER,
}
RECIPE: dict[str, Any] = {
    "backbone": {"weights": "none"},
    "input_size": SIZE,
    "epochs": 4,
    "batch_size": 8,
    "optimizer": "adam",
    "learning_rate": 0.02,
    "dropout": 0.3,
    "l2": 0.001,
    "width": 1.0,
    "head_units": 4,
    "augment": {"flip": "none", "rotation": 0.0, "zoom": 0.0, "contrast": 0.0},
    "early_stopping": {"monitor": "val_loss", "patience": None, "restore": "best"},
    "reduce_lr": NEVER,
    "schedule": {"kind": "cosine", "hold_epochs": 0, "decay": 0.0, "warmup_epochs": 1, "step_decay": 0.0},
    "class_weight": "none",
    "fine_tune": FINE_TUNE,
}
FRESH: dict[str, Any] = {
    "schedule": {"kind": "exponential", "hold_epochs": 1, "decay": 0.5, "warmup_epochs": 0, "step_decay": 0.0},
    "fine_tune": FINE_TUNE
    | {"start": "fresh", "optimizer": "sgd", "reduce_lr": NEVER | {"patience": 1, "min_delta": 0.5}},
}
CUT: dict[str, Any] = {
    "fine_tune": FINE_TUNE
    | {"from": "block 2", "unfreeze": "all", "optimizer": "adamw", "batch_size": 6}
    | {"ema": 0.9, "label_smoothing": 0.1, "layer_decay": 0.5},
}


@dataclass(frozen=True)
class Run:
    """What a training leaves: model: the bytes of its file. rows: of dvclive, by file. log: its messages."""

    model: bytes
    rows: dict[str, bytes]
    log: str


@pytest.fixture(scope="module")
def data(small_backbone, tmp_path_factory) -> Path:  # noqa: ARG001 - what it patches is used
    """data/ with images that show their class by their colour, and features."""
    from tests.small_backbone import write_features

    folder = tmp_path_factory.mktemp("resume") / "data"
    splits = {"train": make_coloured_split(24, SIZE), "val": make_coloured_split(9, SIZE, seed=1)}
    write_records(folder / "tfrecords", class_names=NAMES, **splits)
    write_features(folder / "embeddings" / "mobilenet", splits, SIZE)
    return folder


def train(recipe: Any, checkpoints: Checkpoints, watch: Callable[[int, float], None]) -> Any:
    """recipe: of resnet_fast, on pixels, or as a dictionary of mobilenet."""
    import keras

    from pipeline.runtime.tensorflow import seed_everything
    from pipeline.training.head import _compile_head, train_transfer
    from pipeline.training.network import train_network

    # As in a new process: layers are numbered from 1, and no head is there yet.
    keras.backend.clear_session()
    _compile_head.cache_clear()
    seed_everything(1)
    settings: dict[str, Any] = {"seed": 1, "cache_gb": 1.0, "shuffle_buffer": 16, "record": Path("record")}
    settings |= {"watch": watch, "checkpoints": checkpoints}
    if isinstance(recipe, NetworkRecipe):
        return train_network("resnet_fast", recipe, **settings)
    return train_transfer("mobilenet", TransferRecipe.model_validate(recipe), **settings)


@pytest.fixture
def run(data: Path, tmp_path: Path, monkeypatch, caplog) -> Callable[..., Run]:
    """Trains in a new folder. copied: in this epoch, from 1, before its own checkpoint is written, all are copied to where the
    next run finds them, as if this one had been killed."""
    caplog.set_level(logging.INFO, "pipeline.training")

    def run(recipe: Any, name: str, *, copied: int = 0) -> Run:
        from pipeline.models.artifacts import save_model

        def watch(epoch: int, accuracy: float) -> None:  # noqa: ARG001 - Watch's
            if epoch + 1 == copied:
                shutil.copytree(folder / "checkpoints", tmp_path / "resumed" / "checkpoints")

        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "data").symlink_to(data)
        monkeypatch.chdir(folder)
        caplog.clear()
        checkpoints = Checkpoints(folder / "checkpoints", "family", lambda: "a" * 64, EVERY_EPOCH)
        save_model(train(recipe, checkpoints, watch), folder / "model.keras")
        files = [file for file in sorted(Path("record").rglob("*")) if file.is_file()]
        rows = {file.as_posix(): file.read_bytes() for file in files}
        return Run((folder / "model.keras").read_bytes(), rows, caplog.text)

    return run


def assert_same(whole: Run, resumed: Run) -> None:
    assert any(name.endswith("loss.tsv") for name in whole.rows)
    assert resumed.rows == whole.rows
    assert resumed.model == whole.model
    assert "resumes" not in whole.log


@pytest.mark.ci
def test_both_phases_of_transfer_learning(run):
    whole, resumed = run(RECIPE, "whole", copied=7), run(RECIPE, "resumed")
    assert_same(whole, resumed)
    assert "mobilenet: resumes at epoch 4 of 4" in resumed.log
    assert "mobilenet: resumes at epoch 7 of 8" in resumed.log


@pytest.mark.ci
def test_a_backbone_from_a_cut_on_with_averaged_weights(run):
    whole, resumed = run(RECIPE | CUT, "whole", copied=7), run(RECIPE | CUT, "resumed")
    assert_same(whole, resumed)
    assert "mobilenet: resumes at epoch 7 of 8" in resumed.log


@pytest.mark.ci
def test_a_backbone_and_its_head_at_once(run):
    whole, resumed = run(RECIPE | FRESH, "whole", copied=3), run(RECIPE | FRESH, "resumed")
    assert_same(whole, resumed)
    assert "mobilenet: resumes at epoch 3 of 4" in resumed.log


@pytest.mark.ci
def test_a_network_with_averaged_weights_and_mixed_images(run):
    augment = RECIPE["augment"] | {"flip": "alternate", "translate": 0.1, "erase": 0.3, "randaugment": 0.2}
    content = RECIPE | {
        "backbone": None,
        "optimizer": "nesterov",
        "weight_decay": 0.01,
        "ema": 0.9,
        "label_smoothing": 0.1,
    }
    del content["fine_tune"]
    content |= {"width": 0.1, "augment": augment | {"mixup": 0.2, "cutmix": 1.0}}
    recipe = NetworkRecipe.model_validate(content | {"schedule": RECIPE["schedule"] | {"kind": "one_cycle"}})

    whole, resumed = run(recipe, "whole", copied=3), run(recipe, "resumed")
    assert_same(whole, resumed)
    assert "resnet_fast: resumes at epoch 3 of" in resumed.log


@pytest.mark.ci
def test_a_network_that_is_given_up_ends_at_the_same_epoch(run):
    content = RECIPE | {"backbone": None, "epochs": 20, "learning_rate": 1e-7, "width": 0.1}
    del content["fine_tune"]
    content |= {"schedule": RECIPE["schedule"] | {"kind": "constant"}}
    recipe = NetworkRecipe.model_validate(
        content | {"early_stopping": RECIPE["early_stopping"] | {"give_up_below": 0.99}}
    )
    whole, resumed = run(recipe, "whole", copied=5), run(recipe, "resumed")
    assert_same(whole, resumed)
    assert "resnet_fast: resumes at epoch 5 of 20" in resumed.log
    assert "resnet_fast: given up after" in whole.log
    assert b"given_up" in whole.rows["record/metrics.json"]


def test_a_checkpoint_of_another_network_is_not_loaded_into_this_one(tmp_path):
    import keras
    import numpy as np

    from pipeline.training.resume import Resumer

    checkpoints = Checkpoints(tmp_path, "underfit", lambda: "a" * 64, EVERY_EPOCH)
    of_another = Checkpoint({"loss": [1.0]}, {}, [np.zeros(3)], None, [])
    checkpoints.write("network", lambda _: of_another)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    keeper, history = keras.callbacks.EarlyStopping(), keras.callbacks.History()
    resumer = Resumer(PhaseCheckpoints(checkpoints, "network"), keeper, history, others=[], epochs=2)
    resumer.set_model(model)
    with pytest.raises(PipelineError, match="a checkpoint is of another network"):
        resumer.on_train_begin()
