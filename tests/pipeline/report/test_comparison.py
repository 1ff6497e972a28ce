import hashlib
from pathlib import Path

import pytest

from pipeline.report.comparison import describe_sets, load_experiments
from pipeline.report.experiments import open_experiments
from pipeline.runtime.errors import PipelineError
from tests.clone import run
from tests.experiments import (
    add_experiment,
    make_experiment,
    make_lock,
    make_params,
    make_repository,
    make_splits,
    make_summary,
    save_model,
    write_results,
)

ANIMALS = {f"{label}{i}": label for label in ("cat", "dog") for i in range(4)}
OTHERS = {f"new{i}": "dog" if i % 2 else "cat" for i in range(6)}
WITH_BIRDS = ANIMALS | {f"bird{i}": "bird" for i in range(4)}


@pytest.fixture(autouse=True)
def _folder(no_repository):
    """Each test's own."""
    return no_repository


@pytest.fixture
def repository(tmp_path) -> Path:
    return make_repository(tmp_path)


def load(*names: str, everywhere: bool = False) -> list[str]:
    with open_experiments() as store:
        return [experiment.name for experiment in load_experiments(store, list(names), everywhere=everywhere)]


def refusal(*names: str) -> str:
    with pytest.raises(PipelineError) as caught:
        load(*names)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def keep(repository: Path, content: bytes) -> str:
    """Writes a file into DVC's cache; returns its digest."""
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    file = repository / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return digest


def add(repository: Path, name: str, held_out: dict[str, str], train: dict[str, str] | None = None) -> str:
    """An experiment whose model and data/splits.csv are in the cache; returns the digest of the model."""
    train = dict.fromkeys(("t1", "t2"), "cat") if train is None else train
    model = save_model(
        repository / ".dvc/tmp/optimized.keras", *sorted({*held_out.values(), *train.values()}), data=name
    )
    digest = keep(repository, model.read_bytes())
    lock = make_lock({"optimized": digest}, keep(repository, make_splits(held_out, train).encode()))
    files = {"dvc.lock": lock}
    add_experiment(repository, name, make_params(train__dropout=0.1), make_summary(optimized=0.5), files=files)
    return digest


class TestNamed:
    def test_experiments_on_other_classes_are_refused_with_what_to_do(self, repository):
        add(repository, "old", ANIMALS)
        add(repository, "new", WITH_BIRDS)
        said = refusal("old", "new")
        assert said.startswith("old and new don't compare: new was tested on other classes (with bird)")
        assert "name none" in said

    def test_experiments_on_other_test_images_are_refused(self, repository):
        add(repository, "old", ANIMALS)
        add(repository, "new", OTHERS)
        assert "new was tested on other images (of val and test, 3 against 4 in test)" in refusal("old", "new")

    def test_of_three_those_that_compare_are_named(self, repository):
        for name, held_out in (("a", ANIMALS), ("b", OTHERS), ("c", ANIMALS)):
            add(repository, name, held_out)
        said = refusal("a", "b", "c")
        assert said.startswith("a and b don't compare")
        assert "name those that do (a, c)" in said

    def test_more_images_to_train_on_change_nothing(self, repository):
        add(repository, "few", ANIMALS)
        add(repository, "many", ANIMALS, train=dict.fromkeys(("t1", "t2", "t3"), "dog"))
        assert load("few", "many") == ["few", "many"]

    def test_one_alone_is_never_refused(self, repository):
        add(repository, "a", ANIMALS)
        add(repository, "b", OTHERS)
        assert load("b") == ["b"]

    def test_without_names_all_are_listed(self, repository):
        add(repository, "a", ANIMALS)
        add(repository, "b", WITH_BIRDS)
        assert load() == ["a", "b"]

    def test_a_workspace_whose_models_do_not_belong_together_is_refused(self, repository):
        add(repository, "a", ANIMALS)
        write_results(repository, make_params(), make_summary(optimized=0.5, underfit=0.4))
        save_model(repository / "models/optimized.keras", "cat", "dog")
        save_model(repository / "models/underfit.keras", "cat", "dog", "wolf")
        said = "its models underfit and optimized have other classes than one another (with wolf): run `dvc repro`"
        assert refusal("a", "workspace") == f"workspace: {said}"
        assert load() == ["a"]

    def test_the_models_of_the_workspace_say_its_classes(self, repository):
        add(repository, "a", ANIMALS)
        write_results(repository, make_params(), make_summary(optimized=0.5))
        save_model(repository / "models/optimized.keras", "cat", "dog", "wolf")
        assert "workspace was tested on other classes (with wolf)" in refusal("a", "workspace")


class TestLost:
    def remove(self, repository: Path, digest: str) -> None:
        (repository / ".dvc/cache/files/md5" / digest[:2] / digest[2:]).unlink()

    def test_a_model_that_the_cache_lacks_is_said_and_the_images_still_tell(self, repository, caplog):
        self.remove(repository, add(repository, "a", ANIMALS))
        add(repository, "b", WITH_BIRDS)
        assert load() == ["a", "b"]
        assert any("not in DVC's cache: models/optimized.keras of a, so" in r.getMessage() for r in caplog.records)
        assert "other classes (with bird)" in refusal("a", "b")

    def test_where_nothing_is_known_nothing_is_refused(self, repository):
        add(repository, "a", ANIMALS)
        add_experiment(repository, "b", make_params(), make_summary(optimized=0.5))
        assert load("a", "b") == ["a", "b"]

    def test_without_the_list_of_images_any_other_list_counts_as_other_images(self, repository):
        for name, digest in (("a", "1" * 32), ("b", "2" * 32), ("c", "1" * 32)):
            files = {"dvc.lock": make_lock({}, digest)}
            add_experiment(repository, name, make_params(), make_summary(optimized=0.5), files=files)
        assert load("a", "c") == ["a", "c"]
        assert "b was tested on another data/splits.csv" in refusal("a", "b")


class TestFailed:
    def fail(self, repository: Path, name: str) -> None:
        """What DVC's queue notes of an experiment that failed."""
        head = run(["git", "rev-parse", "HEAD"], repository).strip()
        message = f"commit: dvc-exp:{head}:{head}:{name}"
        ref = "refs/exps/celery/failed"
        run(["git", "update-ref", "--create-reflog", "-m", message, ref, head], repository)

    def test_those_of_the_queue_are_said(self, repository, caplog):
        add(repository, "good", ANIMALS)
        self.fail(repository, "bad-one")
        assert load() == ["good"]
        assert "bad-one: left out, it failed in the queue: `dvc queue logs NAME` says why" in caplog.messages

    def test_one_that_is_named_has_no_results(self, repository):
        add(repository, "good", ANIMALS)
        self.fail(repository, "bad-one")
        assert refusal("good", "bad-one") == (
            "bad-one failed in the queue, and has no results: `dvc queue logs bad-one` says why"
        )

    def test_one_that_was_run_again_has_not_failed(self, repository, caplog):
        self.fail(repository, "good")
        add(repository, "good", ANIMALS)
        assert load() == ["good"]
        assert not [said for said in caplog.messages if "failed" in said]


class TestSets:
    def test_where_all_compare_nothing_is_said(self):
        assert describe_sets([make_experiment("a", images="1"), make_experiment("b", images="1")]) is None

    def test_of_many_sets_some_are_described(self):
        experiments = [make_experiment(str(number), images=str(number)) for number in range(6)]
        said = describe_sets(experiments)
        assert said is not None
        assert said.startswith(
            "these runs have 6 different sets of images (column images), which are not ranked against each"
        )
        assert said.endswith("set 4 has another data/splits.csv (not in DVC's cache) than set 1, and 2 more")


class TestAll:
    def test_those_without_results_are_left_out_which_is_said(self, repository, caplog):
        add_experiment(repository, "failed", make_params(), None)
        add_experiment(repository, "good", make_params(), make_summary(optimized=0.5))
        assert load() == ["good"]
        assert [record.getMessage() for record in caplog.records if record.name.startswith("pipeline")] == [
            f"{name}: left out, it has no metrics/summary.csv" for name in ("failed", "workspace")
        ]

    def test_where_none_is_left_that_is_an_error(self, repository):
        add_experiment(repository, "failed", make_params(), None)
        with pytest.raises(
            PipelineError, match=r"^there is nothing to compare: expected experiments with metrics/summ"
        ):
            load("failed")
