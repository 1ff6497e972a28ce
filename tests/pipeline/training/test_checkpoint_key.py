import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config.reader import load_params
from pipeline.data.embeddings import save_none
from pipeline.training.checkpoint_key import find_cache, find_checkpoints
from pipeline.training.checkpoints import NO_CHECKPOINTS
from tests.code_digests import write_code
from tests.conftest import Project
from tests.tfrecords import make_coloured_split, write_records

pytestmark = pytest.mark.usefixtures("tensorflow")

FAMILY, TRANSFER, WEIGHTS = "underfit", "mobilenet", Path("data/own.weights.h5")


@pytest.fixture(autouse=True)
def _by_dvc(monkeypatch, caplog) -> None:
    monkeypatch.setenv("DVC_STAGE", f"train@{FAMILY}")
    caplog.set_level(logging.INFO, "pipeline.training")


@pytest.fixture
def data(project: Project) -> Project:
    """A DVC project with images and the digests of its code."""
    write_records(class_names=["red", "green", "blue"], train=make_coloured_split(6, 8), val=make_coloured_split(3, 8))
    for family in (FAMILY, TRANSFER):
        save_none(family)
        write_code("train", family)
    WEIGHTS.write_bytes(b"weights")
    project.set(recipes__mobilenet__backbone__weights=str(WEIGHTS))
    Path(".dvc").mkdir()
    return project


def find(family: str = FAMILY, *, workspace: Path = Path(), **changes: Any) -> Path:
    """Where the checkpoints of a training are. changes: of parameters."""
    params = load_params(overrides={name.replace("__", "."): value for name, value in changes.items()})
    return find_checkpoints("train", family, params, workspace=workspace).folder


def test_they_are_beside_dvcs_cache_and_the_same_each_time(data):
    folder = find()
    assert folder.parent == data.folder / ".dvc/cache/checkpoints"
    assert folder.name.startswith(f"{FAMILY}-")
    assert find() == folder


@pytest.mark.parametrize("configured", ["/srv/our-cache", "../../elsewhere"])
def test_the_cache_is_where_dvc_is_told(data, configured):
    Path(".dvc/config").write_text(f"[cache]\n    dir = {configured}\n")
    assert find().parent.parent.resolve() == (data.folder / ".dvc" / configured).resolve()


@pytest.mark.parametrize(
    "changes",
    [
        {"train__seed": 7},
        {"train__learning_rate": 0.5},
        {"train__cache_gb": 0.0},
        {"train__max_epochs": 2},
        {"recipes__underfit__optimizer": "sgd"},
        {"runtime__threads": 1},
        {"runtime__onednn": False},
    ],
    ids=str,
)
@pytest.mark.usefixtures("data")
def test_a_setting_that_training_depends_on_makes_it_another(changes):
    assert find(**changes) != find()


@pytest.mark.parametrize("changes", [{"recipes__overfit__epochs": 3}, {"split__seed": 7}, {"evaluate__label_folds": 2}])
@pytest.mark.usefixtures("data")
def test_other_settings_do_not(changes):
    assert find(**changes) == find()


@pytest.mark.parametrize("file", ["data/tfrecords/train-00000-of-00002.tfrecord", "data/embeddings/underfit/new.npy"])
@pytest.mark.usefixtures("data")
def test_other_data_make_it_another(file):
    before = find()
    with Path(file).open("ab") as stream:
        stream.write(b"x")
    assert find() != before


@pytest.mark.usefixtures("data")
def test_so_does_other_code():
    before = find()
    write_code("train", FAMILY, pipeline__training__fit="3")
    assert find() != before


@pytest.mark.usefixtures("data")
def test_so_do_other_weights_in_the_same_file():
    before = find(TRANSFER)
    WEIGHTS.write_bytes(b"others")
    assert find(TRANSFER) != before


@pytest.mark.usefixtures("data")
def test_so_do_other_weights_and_settings_of_a_teacher():
    taught = {"recipes__underfit__distill__teacher": TRANSFER}
    before = find(**taught)
    assert before != find()
    assert before != find(**taught, recipes__mobilenet__dropout=0.3)
    WEIGHTS.write_bytes(b"others")
    assert find(**taught) != before


@pytest.mark.parametrize("name", ["TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA"])
@pytest.mark.usefixtures("data")
def test_so_does_a_variable_that_decides_sums(name, monkeypatch):
    before = find()
    monkeypatch.setenv(name, "SSE41")
    assert find() != before


@pytest.mark.usefixtures("data")
def test_so_does_another_version_of_keras(monkeypatch):
    before = find()
    monkeypatch.setattr("pipeline.training.checkpoint_key.version", lambda _: "0.0")
    assert find() != before


@pytest.mark.usefixtures("data")
def test_started_by_hand_the_code_itself_counts(monkeypatch):
    """Nobody has seen then that the digests in data/code are those of the code."""
    before = find()
    monkeypatch.delenv("DVC_STAGE")
    assert find() == find() != before


@pytest.mark.usefixtures("data")
def test_a_fold_is_known_by_its_own_images(tmp_path):
    workspace = tmp_path / "fold"
    shutil.copytree("data", workspace / "data")
    assert find(workspace=workspace) == find()
    file = workspace / "data/tfrecords/val-00000-of-00002.tfrecord"
    file.write_bytes(file.read_bytes() * 2)
    assert find(workspace=workspace) != find()


class TestNone:
    def find(self, family: str = FAMILY) -> object:
        return find_checkpoints("train", family, load_params())

    def test_outside_a_dvc_project(self, data):
        (data.folder / ".dvc").rmdir()
        assert find_cache() is None
        assert self.find() is NO_CHECKPOINTS

    def test_where_dvcs_configuration_is_wrong(self, data):
        (data.folder / ".dvc/config").write_text("[core]\n    nonsense = 3\n")
        assert self.find() is NO_CHECKPOINTS

    @pytest.mark.usefixtures("data")
    def test_without_digests_of_the_code(self):
        shutil.rmtree("data/code")
        assert self.find() is NO_CHECKPOINTS

    @pytest.mark.usefixtures("data")
    def test_of_a_linear_machine(self):
        write_code("train", "linear_svm")
        assert self.find("linear_svm") is NO_CHECKPOINTS


@pytest.mark.usefixtures("data")
def test_the_data_are_not_read_before_there_is_anything_to_do(monkeypatch):
    monkeypatch.setattr("pipeline.training.checkpoint_key.compute_key", lambda *_: pytest.fail("they were read"))
    checkpoints = find_checkpoints("train", FAMILY, load_params())
    assert checkpoints.load("network") is None
    checkpoints.remove()


@pytest.mark.usefixtures("data")
def test_after_a_change_training_begins_anew_and_says_so(caplog):
    from pipeline.training.checkpoints import Checkpoint

    killed = find_checkpoints("train", FAMILY, load_params())
    killed._pace = type(killed._pace)(first=0.0)
    killed.write("network", lambda _: Checkpoint({"loss": [1.0]}, {}, [np.zeros(1)], None, []))
    assert find_checkpoints("train", FAMILY, load_params()).load("network") is not None
    assert not caplog.messages
    changed = find_checkpoints("train", FAMILY, load_params(overrides={"train.seed": 7}))
    assert changed.load("network") is None
    assert caplog.messages == [
        f"{FAMILY}: begins anew: its checkpoints in {killed.folder.parent} are of other settings, data or code"
    ]
