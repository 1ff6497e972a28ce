import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config.reader import load_params
from pipeline.config.sections import Params
from pipeline.evaluation.metrics import compute_figures
from pipeline.runtime.errors import PipelineError
from tests.conftest import Project
from tests.tfrecords import make_coloured_split, write_records

pytestmark = pytest.mark.usefixtures("tensorflow")

SIZE, NAMES = 16, ["red", "green", "blue"]
COUNTS = {"train": 30, "val": 12}
LINEAR, NETWORK = "linear_svm", "underfit"
WEIGHTS = "data/own.weights.h5"


def make_place(folder: Path) -> Path:
    """In a new project, a folder beside its data with pictures whose colour tells the class of most of them."""
    splits = {name: make_coloured_split(n, SIZE, seed=n) for name, n in COUNTS.items()}
    for _, labels in splits.values():
        labels[::5] = (labels[::5] + 1) % 3
    write_records(folder / "place/data/tfrecords", class_names=NAMES, **splits)
    project = Project(folder)
    project.set(families=[LINEAR, NETWORK], preprocess__image_size=SIZE, train__epochs=3, train__width=None)
    return folder / "place"


def measure(place: Path, family: str, **settings: Any) -> Any:
    from pipeline.evaluation.held_out import train_and_measure

    return train_and_measure(place, family, load_params(), **settings)


def list_files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@dataclass(frozen=True)
class Run:
    """measured, in `place`; heard: (step, accuracy) of each epoch; new: files that have appeared in the project."""

    measured: Any
    place: Path
    heard: list[tuple[int, float]]
    new: set[str]


def run(folder: Path, family: str) -> Run:
    place, heard = make_place(folder), list[tuple[int, float]]()
    with contextlib.chdir(folder):
        before = list_files(folder)
        measured = measure(place, family, watch=lambda step, accuracy: heard.append((step, accuracy)))
        assert Path.cwd() == folder
    return Run(measured, place, heard, list_files(folder) - before)


@pytest.fixture(scope="module")
def network(tensorflow, tmp_path_factory) -> Run:  # noqa: ARG001 - must be configured before stages import it
    return run(tmp_path_factory.mktemp("project"), NETWORK)


@pytest.fixture(scope="module")
def linear(tensorflow, tmp_path_factory) -> Run:  # noqa: ARG001
    return run(tmp_path_factory.mktemp("project"), LINEAR)


@pytest.fixture
def place(project: Project) -> Path:
    """The test has been moved into the project around it."""
    return make_place(project.folder)


class TestMeasuring:
    def test_figures_are_those_of_the_probabilities_on_val(self, network, linear):
        for measured in (network.measured, linear.measured):
            assert measured.labels.tolist() == [(i % 3 + (i % 5 == 0)) % 3 for i in range(12)]
            assert measured.probabilities.shape == (12, 3)
            np.testing.assert_allclose(measured.probabilities.sum(axis=1), 1, atol=1e-5)
            expected = compute_figures(measured.labels, measured.probabilities)
            assert {key: measured.figures[key] for key in expected} == expected
            assert (measured.figures["images"], measured.figures["training_images"]) == (12, 30)

    def test_a_network_is_measured_in_its_best_epoch(self, network):
        curves, figures = network.measured.curves, network.measured.figures
        assert curves[["split", "epoch"]].to_numpy().tolist() == [[s, e] for s in ("train", "val") for e in (1, 2, 3)]
        val = curves[curves["split"] == "val"].set_index("epoch")["accuracy"]
        assert figures["best_epoch"] == val.idxmax()
        assert figures["accuracy"] == pytest.approx(val.max(), abs=1e-5)

    def test_a_linear_machine_has_one_point_and_no_best_epoch(self, linear):
        assert len(linear.measured.curves) == 2
        assert linear.measured.figures["best_epoch"] is None

    def test_whoever_watches_hears_of_every_epochs_accuracy(self, network, linear):
        curves = network.measured.curves
        val = curves[curves["split"] == "val"]["accuracy"]
        assert [step for step, _ in network.heard] == [0, 1, 2]
        assert [accuracy for _, accuracy in network.heard] == pytest.approx(val.tolist(), abs=1e-5)
        assert linear.heard == []  # it has no epochs

    def test_nothing_is_left_but_the_record_in_the_folder(self, network, linear):
        for found in (network, linear):
            assert found.new
            assert {name.rpartition("record/")[0] for name in found.new} == {"place/"}

    def test_it_trains_as_the_stage_does_and_each_time_the_same(self, network, place, monkeypatch):
        from pipeline.models.predictions import predict_split
        from pipeline.training.dispatch import train_family

        again = measure(place, NETWORK)
        np.testing.assert_array_equal(again.probabilities, network.measured.probabilities)
        assert again.figures == network.measured.figures
        params = load_params()
        monkeypatch.chdir(place)
        _, expected = predict_split(train_family(NETWORK, params, record=Path("other")), "val")
        np.testing.assert_allclose(again.probabilities, expected, atol=1e-6)

    def test_what_watches_may_end_it(self, place, project):
        class EnoughError(Exception):
            pass

        def watch(step: int, _: float) -> None:
            if step == 1:
                raise EnoughError

        with pytest.raises(EnoughError):
            measure(place, NETWORK, watch=watch)
        assert Path.cwd() == project.folder
        losses = (place / "record/plots/metrics/train/loss.tsv").read_text().splitlines()
        assert len(losses) == 1 + 2


class TestDivergence:
    def test_it_ends_in_one_line_that_names_nothing_which_goes_with_the_folder(self, place, project):
        schedule = {"kind": "cosine", "hold_epochs": None, "decay": None, "warmup_epochs": 1}
        project.set(train__learning_rate=1e30, train__schedule=schedule, train__epochs=4, train__batch_size=64)
        with pytest.raises(PipelineError) as caught:
            measure(place, NETWORK)
        assert str(caught.value).startswith(f"{NETWORK}: the loss is no longer a number in epoch ")
        assert str(caught.value).endswith("lower train.learning_rate")
        assert "\n" not in str(caught.value)
        assert Path.cwd() == project.folder

    @pytest.mark.usefixtures("project")
    def test_data_that_is_not_there_leaves_everything_as_it_was(self, tmp_path):
        before = Path.cwd()
        with pytest.raises(FileNotFoundError):
            measure(tmp_path, LINEAR)
        assert Path.cwd() == before


class TestWeights:
    """Training runs in another folder than the one from which a file is named."""

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

    def test_nothing_else_changes(self, relative):
        found, before = (params.model_dump() for params in (self.resolve(relative, "mobilenet"), relative))
        found["recipes"]["mobilenet"] = before["recipes"]["mobilenet"]
        assert found == before
        assert relative.recipes["mobilenet"].backbone.weights == WEIGHTS

    @pytest.mark.parametrize("weights", ["imagenet", "none", "/srv/mobilenet.weights.h5"])
    def test_words_and_whole_paths_stay(self, project, weights):
        project.set(recipes__mobilenet__backbone__weights=weights, families=["underfit"])
        found = self.resolve(load_params(), "mobilenet").recipes["mobilenet"]
        assert found.backbone is not None
        assert found.backbone.weights == weights

    @pytest.mark.parametrize("family", ["underfit", "linear_svm"])
    def test_a_family_that_trains_on_pixels_has_none(self, relative, family):
        assert self.resolve(relative, family) == relative
