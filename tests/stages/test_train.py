"""A training that is killed by SIGKILL goes on where it was, and leaves the same files as one that was not."""

import logging
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stages.train import train
from tests.code_digests import write_code
from tests.conftest import ROOT, Project
from tests.tfrecords import make_coloured_split, write_records

FAMILY, EPOCHS = "underfit", 14
CHECKPOINTS = Path(".dvc/cache/checkpoints")
RECIPE = {
    "epochs": EPOCHS,
    "batch_size": 8,
    "optimizer": "rmsprop",
    "learning_rate": 0.003,
    "dropout": 0.3,
    "l2": 0.001,
    "width": 0.5,
    "head_units": 4,
    "augment": {"flip": "both", "rotation": 0.1, "zoom": 0.1, "contrast": 0.1, "brightness": 0.1, "crop": 0.1},
    "early_stopping": {"monitor": "val_accuracy", "patience": 6, "restore": "best"},
    "reduce_lr": {"monitor": "val_loss", "factor": 0.5, "patience": 2, "min_lr": 0.0, "min_delta": 0.3},
    "schedule": {"step_decay": 0.01},
    "oversample": "balanced",
}
# A checkpoint after each epoch, as if an epoch took an hour. While the one of the fourth is written, the process is killed.
KILLED = f"""
import os, signal
from pipeline.training import checkpoints
checkpoints.PACE = checkpoints.Pace(first=0.0, share=1e9)
written, savez = [], checkpoints.np.savez
def kill(stream, **content):
    written.append(stream)
    if len(written) == 4:
        stream.write(b"PK half of it")
        stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    savez(stream, **content)
checkpoints.np.savez = kill
from stages.train import train
train({FAMILY!r})
"""


@pytest.fixture
def small(project: Project, tensorflow, monkeypatch, caplog) -> Project:  # noqa: ARG001 - the verb configures it only once
    """Images that show their class by their colour, of which one class has fewer, in a DVC project."""
    images, labels = make_coloured_split(30, 16)
    splits = {"train": (images[6:], labels[6:]), "val": make_coloured_split(9, 16, seed=1)}
    write_records(class_names=["red", "green", "blue"], **splits)
    write_code("train", FAMILY)
    project.set(families=[FAMILY], train__width=None, train__cache_gb=0.0, **{f"recipes__{FAMILY}": RECIPE})
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text("[core]\n    no_scm = True\n")
    monkeypatch.setattr("stages.train.configure_tensorflow", lambda **_: None)
    caplog.set_level(logging.INFO, "pipeline.training")
    return project


def run() -> dict[str, bytes]:
    """What `train` leaves, by file, but for clock readings."""
    import keras

    keras.backend.clear_session()  # layers are numbered as in a new process
    train(FAMILY)
    files = [file for folder in ("models", "metrics") for file in sorted(Path(folder).rglob("*")) if file.is_file()]
    return {file.as_posix(): file.read_bytes() for file in files if file.name != "timings.json"}


@pytest.mark.usefixtures("small")
@pytest.mark.ci
def test_killed_while_it_writes_a_checkpoint_it_goes_on_from_the_one_before(caplog):
    done = subprocess.run([sys.executable, "-c", KILLED], check=False, env={"PYTHONPATH": str(ROOT), "PATH": ""})
    assert done.returncode == -signal.SIGKILL
    (store,) = CHECKPOINTS.iterdir()
    assert sorted(file.suffix for file in store.iterdir()) == [".npz", ".partial"]
    for folder in ("models", "metrics"):  # as DVC does before it runs a stage
        shutil.rmtree(folder, ignore_errors=True)
    resumed = run()
    assert f"{FAMILY}: resumes at epoch 4 of {EPOCHS}" in caplog.messages
    assert not CHECKPOINTS.exists()
    for folder in ("models", "metrics"):
        shutil.rmtree(folder)
    caplog.clear()
    whole = run()
    assert f"models/{FAMILY}.keras" in whole
    assert resumed == whole
    assert "resumes" not in caplog.text
    assert not CHECKPOINTS.exists()
    rates = whole[f"metrics/{FAMILY}/train/plots/metrics/train/learning_rate.tsv"].decode().split("\n")[1:-1]
    assert len({rate.split("\t")[1] for rate in rates}) > 1, "the plateau rule was not at work"
    assert 5 < len(rates) < EPOCHS, "early stopping was not at work"
