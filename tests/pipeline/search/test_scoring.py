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
NONE = {"flip": "none", "rotation": 0.0, "zoom": 0.0, "contrast": 0.0}
AUGMENT = {"flip": "both", "rotation": 0.1, "zoom": 0.1, "contrast": 0.1}
FOLDS = [7, 3, 11]  # whose numbers are no places


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A project with pictures. Not to be changed."""
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
    """A project of the test's own, into which it has been moved."""
    shutil.copytree(template, project.folder, dirs_exist_ok=True)
    return project


def run(
    places: list[Path],
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
        places=places,
        facts=load_dataset_facts(),
        is_hopeless=is_hopeless or (lambda *_: False),
    )


@pytest.fixture
def pretend(data, monkeypatch) -> Callable[..., list[tuple[Path, str, Params]]]:  # noqa: ARG001 - there is a project
    """Instead of training: accuracies of each epoch for each of the places, or an error to be raised. Returns what was asked
    for."""

    def prepare(*outcomes: list[float] | BaseException) -> list[tuple[Path, str, Params]]:
        asked: list[tuple[Path, str, Params]] = []

        def train(place: Path, family: str, params: Params, watch: Any = None) -> Any:
            outcome = outcomes[len(asked)]
            asked.append((place, family, params))
            if isinstance(outcome, BaseException):
                raise outcome
            for step, accuracy in enumerate(outcome):
                if watch is not None:
                    watch(step, accuracy)
            return SimpleNamespace(figures={"accuracy": max(outcome)})

        monkeypatch.setattr("pipeline.search.scoring.train_and_measure", train)
        return asked

    return prepare


ONE = [Path("place")]
THREE = [Path(name) for name in ("a", "b", "c")]


class TestValidation:
    def test_a_trial_that_finishes_has_the_accuracy_of_its_best_epoch(self, pretend):
        asked = pretend([0.5, 0.7500004, 0.6])
        trial = run(ONE)
        assert trial == Trial(5, "finished", VALUES, 0.75, [0.5, 0.75, 0.6], [0.75], None, trial.seconds)
        ((place, family, params),) = asked
        assert (place, family, params.train.learning_rate) == (ONE[0], FAMILY, 0.02)

    def test_what_watches_hears_of_every_epoch_and_ends_it(self, pretend):
        pretend([0.5, 0.6, 0.7, 0.8])
        heard: list[tuple[int, float]] = []

        def is_hopeless(step: int, accuracy: float) -> bool:
            heard.append((step, accuracy))
            return step == 2

        trial = run(ONE, is_hopeless=is_hopeless)
        assert heard == [(0, 0.5), (1, 0.6), (2, 0.7)]
        assert (trial.state, trial.score, trial.steps, trial.scores) == ("pruned", None, [0.5, 0.6, 0.7], [])
        assert trial.reason is None

    def test_a_family_without_epochs_has_a_score_all_the_same(self, pretend, monkeypatch):
        pretend([0.75])
        monkeypatch.setattr(
            "pipeline.search.scoring.train_and_measure", lambda *_: SimpleNamespace(figures={"accuracy": 0.75})
        )
        trial = run(ONE, is_hopeless=lambda *_: True)
        assert (trial.state, trial.score, trial.steps) == ("finished", 0.75, [])

    def test_augmentation_is_as_asked_for_whatever_crossval_says(self, pretend, data):
        data.set(crossval__augment=False)
        asked = pretend([0.5])
        run(ONE)
        assert asked[0][2].train.augment.model_dump() == AUGMENT

    def test_really_training_is_ended_by_what_watches(self, data):
        from pipeline.search.scoring import open_places

        with open_places(data.folder / "places", FAMILY, load_dataset_facts(), load_params()) as places:
            trial = run(places, is_hopeless=lambda step, _: step == 1)
            finished = run(places)
        assert (trial.state, len(trial.steps)) == ("pruned", 2)
        assert (finished.state, len(finished.steps)) == ("finished", 3)
        assert finished.score == max(finished.steps)
        assert finished.steps[:2] == trial.steps  # one seed for all
        assert not (data.folder / "places/val").exists()


class TestCrossval:
    @pytest.fixture(autouse=True)
    def _by_folds(self, data):
        data.set(search__score="crossval")

    def test_a_trial_that_finishes_has_the_mean_over_folds(self, pretend):
        asked = pretend([0.1, 0.5], [0.75, 0.2], [0.7])
        trial = run(THREE)
        assert [place for place, _, _ in asked] == THREE
        assert (trial.state, trial.score) == ("finished", 0.65)
        assert trial.scores == [0.5, 0.75, 0.7]
        assert trial.steps == [0.5, 0.625, 0.65]  # the mean so far

    @pytest.mark.parametrize("last", [0, 1])
    def test_one_that_is_hopeless_after_a_fold_is_spared_the_others(self, pretend, last):
        asked = pretend([0.5], [0.7], [0.6])
        trial = run(THREE, is_hopeless=lambda step, _: step == last)
        assert len(asked) == len(trial.scores) == len(trial.steps) == last + 1
        assert (trial.state, trial.score) == ("pruned", None)

    def test_after_the_last_fold_nothing_is_left_to_be_spared(self, pretend):
        pretend([0.5], [0.7], [0.6])
        trial = run(THREE, is_hopeless=lambda step, _: step == 2)
        assert (trial.state, trial.score) == ("finished", 0.6)

    def test_a_fold_that_diverges_makes_the_trial_fail(self, pretend):
        pretend([0.5], PipelineError("no number any more"))
        trial = run(THREE)
        assert (trial.state, trial.score, trial.scores) == ("failed", None, [0.5])
        assert trial.reason == "no number any more"

    @pytest.mark.parametrize(("augment", "expected"), [(True, AUGMENT), (False, NONE)])
    def test_augmentation_is_as_the_stage_has_it(self, pretend, data, augment, expected):
        data.set(crossval__augment=augment)
        asked = pretend([0.5], [0.7], [0.6])
        run(THREE)
        assert [params.train.augment.model_dump() for _, _, params in asked] == [expected] * 3


class TestFailures:
    def test_training_that_diverges(self, pretend):
        pretend(PipelineError("no number any more"))
        trial = run(ONE)
        assert (trial.state, trial.score, trial.reason) == ("failed", None, "no number any more")

    def test_memory_that_is_full(self, pretend):
        import tensorflow as tf

        for error in (MemoryError(), tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")):
            pretend(error)
            trial = run(ONE)
            assert (trial.state, trial.reason) == ("failed", "the memory was full: lower search.max_parameters")

    def test_values_that_do_not_go_together(self, pretend):
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

    def test_one_that_no_memory_could_hold_is_not_even_built(self, pretend):
        """36 TB."""
        asked = pretend()
        values = {"recipes.searched_cnn.filters": 10**6, "recipes.searched_cnn.blocks": 2}
        trial = run(ONE, values=values, family="searched_cnn")
        assert trial.state == "failed"
        assert trial.reason is not None
        assert "parameters are more than search.max_parameters, 30,000,000: not trained" in trial.reason
        assert asked == []

    def test_a_mistake_of_ours_is_no_failed_trial(self, pretend):
        pretend(ZeroDivisionError("a bug"))
        with pytest.raises(ZeroDivisionError):
            run(ONE)

    def test_accuracies_that_are_no_numbers_are_not_kept(self, pretend):
        pretend([0.5, math.nan, 0.25])
        assert run(ONE).steps == [0.5, 0.25]


def read_ids(place: Path, split: str) -> list[str]:
    folder = place / "data/tfrecords"
    return [record.image_id for file in list_shards(split, folder) for record in read_records(file, SIZE)]


def list_project(data: Project) -> dict[str, bytes]:
    return {
        path.relative_to(data.folder).as_posix(): path.read_bytes() for path in data.folder.rglob("*") if path.is_file()
    }


def break_off(place: Path) -> None:
    (place / "record").mkdir()
    raise KeyboardInterrupt


class TestPlaces:
    """Folders in which trials train."""

    def test_for_validation_there_is_one_that_shows_the_projects_data(self, data):
        from pipeline.search.scoring import open_places

        before = list_project(data)
        with open_places(Path("places"), FAMILY, load_dataset_facts(), load_params()) as places:
            assert places == [Path("places/val")]
            for split in ("train", "val"):
                assert read_ids(places[0], split) == read_ids(Path(), split)
            assert json.loads((places[0] / f"data/embeddings/{FAMILY}/embeddings.json").read_text())["backbone"] is None
        assert not Path("places/val").exists()
        assert list_project(data) == before

    def test_for_crossval_there_is_one_a_fold_in_their_order_without_test(self, data):
        from pipeline.search.scoring import open_places

        data.set(search__score="crossval")
        before = list_project(data)
        with open_places(Path("places"), FAMILY, load_dataset_facts(), load_params()) as places:
            assert places == [Path("places") / str(fold) for fold in FOLDS]
            held_out = [read_ids(place, "val") for place in places]
            everything = read_ids(Path(), "train") + read_ids(Path(), "val")
            assert sorted(name for names in held_out for name in names) == sorted(everything)
            for place, names in zip(places, held_out, strict=True):
                assert set(read_ids(place, "train")) == set(everything) - set(names)
                assert list_shards("test", place / "data/tfrecords") == []
        assert not any(place.exists() for place in places)
        assert list_project(data) == before

    @pytest.mark.parametrize(("score", "name"), [("validation", "val"), ("crossval", "7")])
    def test_what_a_search_that_was_killed_has_left_goes(self, data, score, name):
        from pipeline.search.scoring import open_places

        data.set(search__score=score)
        left = Path("places", name, "record")
        left.mkdir(parents=True)
        (left / "metrics.json").write_text("half")
        with open_places(Path("places"), FAMILY, load_dataset_facts(), load_params()):
            assert not left.exists()
        assert not left.parent.exists()

    def test_they_go_also_where_a_trial_breaks_off(self, data):
        from pipeline.search.scoring import open_places

        before = list_project(data)
        with (
            pytest.raises(KeyboardInterrupt),
            open_places(Path("places"), FAMILY, load_dataset_facts(), load_params()) as places,
        ):
            break_off(places[0])
        assert not Path("places/val").exists()
        assert list_project(data) == before
