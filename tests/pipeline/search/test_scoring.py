import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.config.reader import load_params
from pipeline.config.sections import Params
from pipeline.data.embeddings import save_none
from pipeline.data.tfrecords import list_shards, load_dataset_facts, read_records
from pipeline.runtime.errors import PipelineError
from pipeline.search.trials import Trial
from tests.conftest import Project
from tests.tfrecords import make_coloured_split, write_records

pytestmark = pytest.mark.usefixtures("tensorflow")

SIZE, NAMES, FAMILY = 16, ["red", "green", "blue"], "underfit"
COUNTS = {"train": 24, "val": 9, "test": 6}
VALUES = {"train.learning_rate": 0.02}
YOUNGER = dict.fromkeys(("brightness", "shift", "crop", "translate", "erase", "randaugment", "mixup", "cutmix"), 0.0)
NONE = {"flip": "none", "rotation": 0.0, "zoom": 0.0, "contrast": 0.0} | YOUNGER
AUGMENT = {"flip": "both", "rotation": 0.1, "zoom": 0.1, "contrast": 0.1} | YOUNGER
FOLDS = [7, 3, 11]  # arbitrary numbers


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A project with images. Not to be changed."""
    folder = tmp_path_factory.mktemp("template")
    project = Project(folder)
    project.set(
        families=[FAMILY, "searched_cnn"],
        preprocess__image_size=SIZE,
        train__width=None,
        train__epochs=3,
        train__augment=AUGMENT,
        crossval__folds=FOLDS,
    )
    splits = {name: make_coloured_split(n, SIZE, seed=n) for name, n in COUNTS.items()}
    write_records(folder / "data/tfrecords", class_names=NAMES, **splits)
    save_none(FAMILY, folder / "data/embeddings")
    return folder


@pytest.fixture
def data(template: Path, project: Project) -> Project:
    """A copy for one test, which is the working directory."""
    shutil.copytree(template, project.folder, dirs_exist_ok=True)
    return project


def run(
    workspaces: list[Path],
    *,
    values: dict[str, Any] = VALUES,
    family: str = FAMILY,
    is_hopeless: Any = None,
    load: Any = None,
) -> Trial:
    from pipeline.search.scoring import run_trial

    return run_trial(
        5,
        values,
        family,
        load or (lambda changed: load_params(overrides=changed)),
        workspaces=workspaces,
        facts=load_dataset_facts(),
        is_hopeless=is_hopeless or (lambda *_: False),
    )


@pytest.fixture
def pretend(data, monkeypatch) -> Callable[..., list[tuple[Path, str, Params]]]:  # noqa: ARG001 - there is a project
    """Replaces training: outcomes are the accuracies of each epoch, or an error, one per workspace. Returns the calls."""

    def prepare(*outcomes: list[float] | BaseException) -> list[tuple[Path, str, Params]]:
        asked: list[tuple[Path, str, Params]] = []

        def train(workspace: Path, family: str, params: Params, watch: Any = None) -> Any:
            outcome = outcomes[len(asked)]
            asked.append((workspace, family, params))
            if isinstance(outcome, BaseException):
                raise outcome
            for step, accuracy in enumerate(outcome):
                if watch is not None:
                    watch(step, accuracy)
            return SimpleNamespace(metrics={"accuracy": max(outcome)})

        monkeypatch.setattr("pipeline.search.scoring.train_and_measure", train)
        monkeypatch.setattr("keras.backend.clear_session", lambda: None)  # it collects the garbage of all earlier tests
        return asked

    return prepare


ONE = [Path("workspace")]
THREE = [Path(name) for name in ("a", "b", "c")]


class TestValidation:
    def test_a_finished_trial_has_the_accuracy_of_its_best_epoch(self, pretend):
        asked = pretend([0.5, 0.7500004, 0.6])
        trial = run(ONE)
        assert trial == Trial(5, "finished", VALUES, 0.75, [0.5, 0.75, 0.6], [0.75], None, trial.seconds)
        ((workspace, family, params),) = asked
        assert (workspace, family, params.train.learning_rate) == (ONE[0], FAMILY, 0.02)

    def test_is_hopeless_is_called_after_every_epoch_and_ends_training(self, pretend):
        pretend([0.5, 0.6, 0.7, 0.8])
        heard: list[tuple[int, float]] = []

        def is_hopeless(step: int, accuracy: float) -> bool:
            heard.append((step, accuracy))
            return step == 2

        trial = run(ONE, is_hopeless=is_hopeless)
        assert heard == [(0, 0.5), (1, 0.6), (2, 0.7)]
        assert (trial.state, trial.score, trial.steps, trial.scores) == ("pruned", None, [0.5, 0.6, 0.7], [])
        assert trial.reason is None

    def test_a_family_without_epochs_has_a_score_too(self, pretend, monkeypatch):
        pretend([0.75])
        monkeypatch.setattr(
            "pipeline.search.scoring.train_and_measure", lambda *_: SimpleNamespace(metrics={"accuracy": 0.75})
        )
        trial = run(ONE, is_hopeless=lambda *_: True)
        assert (trial.state, trial.score, trial.steps) == ("finished", 0.75, [])

    def test_augmentation_does_not_depend_on_crossval(self, pretend, data):
        data.set(crossval__augment=False)
        asked = pretend([0.5])
        run(ONE)
        assert asked[0][2].train.augment.model_dump() == AUGMENT

    @pytest.mark.ci
    def test_is_hopeless_ends_real_training(self, data):
        from pipeline.search.scoring import open_workspaces

        with open_workspaces(data.folder / "workspaces", FAMILY, load_dataset_facts(), load_params()) as workspaces:
            trial = run(workspaces, is_hopeless=lambda step, _: step == 1)
            finished = run(workspaces)
        assert (trial.state, len(trial.steps)) == ("pruned", 2)
        assert (finished.state, len(finished.steps)) == ("finished", 3)
        assert finished.score == max(finished.steps)
        assert finished.steps[:2] == trial.steps  # one seed for all
        assert not (data.folder / "workspaces/val").exists()


class TestCrossval:
    @pytest.fixture(autouse=True)
    def _by_folds(self, data):
        data.set(search__score="crossval")

    def test_a_finished_trial_has_the_mean_over_folds(self, pretend):
        asked = pretend([0.1, 0.5], [0.75, 0.2], [0.7])
        trial = run(THREE)
        assert [workspace for workspace, _, _ in asked] == THREE
        assert (trial.state, trial.score) == ("finished", 0.65)
        assert trial.scores == [0.5, 0.75, 0.7]
        assert trial.steps == [0.5, 0.625, 0.65]  # the mean so far

    @pytest.mark.parametrize("last", [0, 1])
    def test_a_trial_that_is_hopeless_after_a_fold_skips_the_others(self, pretend, last):
        asked = pretend([0.5], [0.7], [0.6])
        trial = run(THREE, is_hopeless=lambda step, _: step == last)
        assert len(asked) == len(trial.scores) == len(trial.steps) == last + 1
        assert (trial.state, trial.score) == ("pruned", None)

    def test_a_trial_that_is_hopeless_after_the_last_fold_is_finished(self, pretend):
        pretend([0.5], [0.7], [0.6])
        trial = run(THREE, is_hopeless=lambda step, _: step == 2)
        assert (trial.state, trial.score) == ("finished", 0.6)

    def test_a_trial_with_a_fold_that_diverges_is_failed(self, pretend):
        pretend([0.5], PipelineError("diverged"))
        trial = run(THREE)
        assert (trial.state, trial.score, trial.scores) == ("failed", None, [0.5])
        assert trial.reason == "diverged"

    @pytest.mark.parametrize(("augment", "expected"), [(True, AUGMENT), (False, NONE)])
    def test_augmentation_is_that_of_the_stage_crossval(self, pretend, data, augment, expected):
        data.set(crossval__augment=augment)
        asked = pretend([0.5], [0.7], [0.6])
        run(THREE)
        assert [params.train.augment.model_dump() for _, _, params in asked] == [expected] * 3


class TestFailures:
    def test_training_that_diverges(self, pretend):
        pretend(PipelineError("diverged"))
        trial = run(ONE)
        assert (trial.state, trial.score, trial.reason) == ("failed", None, "diverged")

    def test_no_memory_left(self, pretend):
        import tensorflow as tf

        for error in (MemoryError(), tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")):
            pretend(error)
            trial = run(ONE)
            assert (trial.state, trial.reason) == ("failed", "out of memory: lower search.max_parameters")

    def test_values_that_exclude_each_other(self, pretend):
        asked = pretend()
        trial = run(ONE, values={"train.schedule.kind": "cosine", "train.reduce_lr.patience": 2})
        assert trial.state == "failed"
        assert trial.reason is not None
        assert trial.reason.startswith("underfit: schedule.kind cosine sets the learning rate of every step")
        assert asked == []

    @pytest.mark.parametrize("most", [518, 519])
    def test_a_network_that_is_too_large(self, pretend, data, most):
        """Two convolutions of 168 and 330 weights, and 21 before the softmax."""
        data.set(search__max_parameters=most)
        asked = pretend([0.5])
        trial = run(ONE, values={"train.width": 1.0})
        if most == 519:
            assert (trial.state, len(asked)) == ("finished", 1)
        else:
            assert (trial.state, asked) == ("failed", [])
            assert trial.reason == "519 parameters are more than search.max_parameters, 518: not trained"

    def test_a_network_beyond_any_memory_is_not_even_built(self, pretend):
        """36 TB."""
        asked = pretend()
        values = {"recipes.searched_cnn.filters": 10**6, "recipes.searched_cnn.blocks": 2}
        trial = run(ONE, values=values, family="searched_cnn")
        assert trial.state == "failed"
        assert trial.reason is not None
        assert "parameters are more than search.max_parameters, 30,000,000: not trained" in trial.reason
        assert asked == []

    def test_a_bug_is_not_a_failed_trial(self, pretend):
        pretend(ZeroDivisionError("a bug"))
        with pytest.raises(ZeroDivisionError):
            run(ONE)

    def test_accuracies_that_are_not_finite_are_dropped(self, pretend):
        pretend([0.5, math.nan, 0.25])
        assert run(ONE).steps == [0.5, 0.25]


def read_ids(workspace: Path, split: str) -> list[str]:
    folder = workspace / "data/tfrecords"
    return [record.image_id for file in list_shards(split, folder) for record in read_records(file, SIZE)]


def list_project(data: Project) -> dict[str, bytes]:
    return {
        path.relative_to(data.folder).as_posix(): path.read_bytes() for path in data.folder.rglob("*") if path.is_file()
    }


def interrupt(workspace: Path) -> None:
    (workspace / "record").mkdir()
    raise KeyboardInterrupt


class TestWorkspaces:
    """The folders in which trials train."""

    def test_for_validation_there_is_one_with_links_to_the_projects_data(self, data):
        from pipeline.search.scoring import open_workspaces

        before = list_project(data)
        with open_workspaces(Path("workspaces"), FAMILY, load_dataset_facts(), load_params()) as workspaces:
            assert workspaces == [Path("workspaces/val")]
            for split in ("train", "val"):
                assert read_ids(workspaces[0], split) == read_ids(Path(), split)
            assert (
                json.loads((workspaces[0] / f"data/embeddings/{FAMILY}/embeddings.json").read_text())["backbone"]
                is None
            )
        assert not Path("workspaces/val").exists()
        assert list_project(data) == before

    def test_for_crossval_there_is_one_per_fold_in_order_without_test(self, data):
        from pipeline.search.scoring import open_workspaces

        data.set(search__score="crossval")
        before = list_project(data)
        with open_workspaces(Path("workspaces"), FAMILY, load_dataset_facts(), load_params()) as workspaces:
            assert workspaces == [Path("workspaces") / str(fold) for fold in FOLDS]
            held_out = [read_ids(workspace, "val") for workspace in workspaces]
            everything = read_ids(Path(), "train") + read_ids(Path(), "val")
            assert sorted(name for names in held_out for name in names) == sorted(everything)
            for workspace, names in zip(workspaces, held_out, strict=True):
                assert set(read_ids(workspace, "train")) == set(everything) - set(names)
                assert list_shards("test", workspace / "data/tfrecords") == []
        assert not any(workspace.exists() for workspace in workspaces)
        assert list_project(data) == before

    @pytest.mark.parametrize(("score", "name"), [("validation", "val"), ("crossval", "7")])
    def test_leftovers_of_a_killed_search_are_deleted(self, data, score, name):
        from pipeline.search.scoring import open_workspaces

        data.set(search__score=score)
        left = Path("workspaces", name, "record")
        left.mkdir(parents=True)
        (left / "metrics.json").write_text("half")
        with open_workspaces(Path("workspaces"), FAMILY, load_dataset_facts(), load_params()):
            assert not left.exists()
        assert not left.parent.exists()

    def test_they_are_deleted_after_an_interruption_too(self, data):
        from pipeline.search.scoring import open_workspaces

        before = list_project(data)
        with (
            pytest.raises(KeyboardInterrupt),
            open_workspaces(Path("workspaces"), FAMILY, load_dataset_facts(), load_params()) as workspaces,
        ):
            interrupt(workspaces[0])
        assert not Path("workspaces/val").exists()
        assert list_project(data) == before
