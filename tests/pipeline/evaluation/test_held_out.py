import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config.reader import load_params
from pipeline.config.sections import Params
from pipeline.evaluation.metrics import compute_basic_metrics
from pipeline.runtime.errors import PipelineError
from tests.conftest import Project
from tests.tfrecords import make_coloured_split, write_records

pytestmark = pytest.mark.usefixtures("tensorflow")

SIZE, NAMES = 16, ["red", "green", "blue"]
COUNTS = {"train": 30, "val": 12}
LINEAR, NETWORK = "linear_svm", "underfit"
WEIGHTS = "data/own.weights.h5"


def make_workspace(folder: Path) -> Path:
    """In a new project, a workspace with images of which most show their class by their colour."""
    splits = {name: make_coloured_split(n, SIZE, seed=n) for name, n in COUNTS.items()}
    for _, labels in splits.values():
        labels[::5] = (labels[::5] + 1) % 3
    write_records(folder / "workspace/data/tfrecords", class_names=NAMES, **splits)
    project = Project(folder)
    project.set(families=[LINEAR, NETWORK], preprocess__image_size=SIZE, train__epochs=3, train__width=None)
    project.set(train__early_stopping__restore="best")
    return folder / "workspace"


def measure(workspace: Path, family: str, **settings: Any) -> Any:
    from pipeline.evaluation.held_out import train_and_measure

    return train_and_measure(workspace, family, load_params(), **settings)


def list_files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@dataclass(frozen=True)
class Run:
    """measured: in the workspace. heard: (step, accuracy) of each epoch. new: files that were not in the project before."""

    measured: Any
    workspace: Path
    heard: list[tuple[int, float]]
    new: set[str]


def run(folder: Path, family: str) -> Run:
    workspace, heard = make_workspace(folder), list[tuple[int, float]]()
    with contextlib.chdir(folder):
        before = list_files(folder)
        measured = measure(workspace, family, watch=lambda step, accuracy: heard.append((step, accuracy)))
        assert Path.cwd() == folder
    return Run(measured, workspace, heard, list_files(folder) - before)


@pytest.fixture(scope="module")
def network(tensorflow, tmp_path_factory) -> Run:  # noqa: ARG001 - must be configured before stages import it
    return run(tmp_path_factory.mktemp("project"), NETWORK)


@pytest.fixture(scope="module")
def linear(tensorflow, tmp_path_factory) -> Run:  # noqa: ARG001
    return run(tmp_path_factory.mktemp("project"), LINEAR)


@pytest.fixture
def workspace(project: Project) -> Path:
    """In the project that is the working directory."""
    return make_workspace(project.folder)


class TestMeasuring:
    def test_metrics_are_those_of_the_probabilities_on_val(self, network, linear):
        for measured in (network.measured, linear.measured):
            assert measured.labels.tolist() == [(i % 3 + (i % 5 == 0)) % 3 for i in range(12)]
            assert measured.probabilities.shape == (12, 3)
            np.testing.assert_allclose(measured.probabilities.sum(axis=1), 1, atol=1e-5)
            expected = compute_basic_metrics(measured.labels, measured.probabilities)
            assert {key: measured.metrics[key] for key in expected} == expected
            assert (measured.metrics["images"], measured.metrics["training_images"]) == (12, 30)

    def test_a_network_is_measured_in_its_best_epoch(self, network):
        curves, metrics = network.measured.curves, network.measured.metrics
        assert curves[["split", "epoch"]].to_numpy().tolist() == [[s, e] for s in ("train", "val") for e in (1, 2, 3)]
        val = curves[curves["split"] == "val"].set_index("epoch")["accuracy"]
        assert metrics["best_epoch"] == val.idxmax()
        assert metrics["accuracy"] == pytest.approx(val.max(), abs=1e-5)

    def test_a_linear_machine_has_one_point_and_no_best_epoch(self, linear):
        assert len(linear.measured.curves) == 2
        assert linear.measured.metrics["best_epoch"] is None

    def test_watch_is_called_with_the_accuracy_of_every_epoch(self, network, linear):
        curves = network.measured.curves
        val = curves[curves["split"] == "val"]["accuracy"]
        assert [step for step, _ in network.heard] == [0, 1, 2]
        assert [accuracy for _, accuracy in network.heard] == pytest.approx(val.tolist(), abs=1e-5)
        assert linear.heard == []  # it has no epochs

    def test_only_the_record_is_left_in_the_workspace(self, network, linear):
        for found in (network, linear):
            assert found.new
            assert {name.rpartition("record/")[0] for name in found.new} == {"workspace/"}

    @pytest.mark.ci
    def test_it_trains_like_the_stage_and_is_reproducible(self, network, workspace, monkeypatch):
        from pipeline.models.predictions import predict_split
        from pipeline.training.dispatch import train_family

        again = measure(workspace, NETWORK)
        np.testing.assert_array_equal(again.probabilities, network.measured.probabilities)
        assert again.metrics == network.measured.metrics
        params = load_params()
        monkeypatch.chdir(workspace)
        _, expected = predict_split(train_family(NETWORK, params, record=Path("other")), "val")
        np.testing.assert_allclose(again.probabilities, expected, atol=1e-6)

    def test_watch_may_end_training(self, workspace, project):
        class EnoughError(Exception):
            pass

        def watch(step: int, _: float) -> None:
            if step == 1:
                raise EnoughError

        with pytest.raises(EnoughError):
            measure(workspace, NETWORK, watch=watch)
        assert Path.cwd() == project.folder
        losses = (workspace / "record/plots/metrics/train/loss.tsv").read_text().splitlines()
        assert len(losses) == 1 + 2


class TestDivergence:
    def test_it_ends_in_one_line_that_does_not_name_deleted_files(self, workspace, project):
        project.set(train__schedule__kind="cosine", train__schedule__warmup_epochs=1)
        project.set(train__learning_rate=1e30, train__epochs=4, train__batch_size=64)
        with pytest.raises(PipelineError) as caught:
            measure(workspace, NETWORK)
        assert str(caught.value).startswith(f"{NETWORK}: the loss is no longer a number in epoch ")
        assert str(caught.value).endswith("lower train.learning_rate")
        assert "\n" not in str(caught.value)
        assert Path.cwd() == project.folder

    @pytest.mark.usefixtures("project")
    def test_missing_data_leaves_the_working_directory_unchanged(self, tmp_path):
        before = Path.cwd()
        with pytest.raises(FileNotFoundError):
            measure(tmp_path, LINEAR)
        assert Path.cwd() == before


class TestWeights:
    """Training runs in another folder than the one to which a path is relative."""

    @pytest.fixture
    def relative(self, project):
        project.set(recipes__mobilenet__backbone__weights=WEIGHTS, families=["underfit"])
        return load_params()

    def resolve(self, params: Params, family: str) -> Params:
        from pipeline.evaluation.held_out import with_absolute_weights

        return with_absolute_weights(params, family)

    def test_a_relative_path_is_made_absolute(self, project, relative):
        found = self.resolve(relative, "mobilenet").recipes["mobilenet"]
        assert found.backbone is not None
        assert found.backbone.weights == str(project.folder / WEIGHTS)

    def test_in_a_temporary_copy_it_starts_from_the_project(self, relative, tmp_path, monkeypatch):
        copy = tmp_path / "home/.dvc/tmp/exps/tmp1"
        copy.mkdir(parents=True)
        monkeypatch.chdir(copy)
        found = self.resolve(relative, "mobilenet").recipes["mobilenet"]
        assert found.backbone is not None
        assert found.backbone.weights == str(tmp_path / "home" / WEIGHTS)

    def test_nothing_else_changes(self, relative):
        found, before = (params.model_dump() for params in (self.resolve(relative, "mobilenet"), relative))
        found["recipes"]["mobilenet"] = before["recipes"]["mobilenet"]
        assert found == before
        assert relative.recipes["mobilenet"].backbone.weights == WEIGHTS

    @pytest.mark.parametrize("weights", ["imagenet", "none", "/srv/mobilenet.weights.h5"])
    def test_keywords_and_absolute_paths_are_kept(self, project, weights):
        project.set(recipes__mobilenet__backbone__weights=weights, families=["underfit"])
        found = self.resolve(load_params(), "mobilenet").recipes["mobilenet"]
        assert found.backbone is not None
        assert found.backbone.weights == weights

    @pytest.mark.parametrize("family", ["underfit", "linear_svm"])
    def test_a_family_on_pixels_has_none(self, relative, family):
        assert self.resolve(relative, family) == relative
