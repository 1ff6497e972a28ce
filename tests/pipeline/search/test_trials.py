import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from dvc.utils.hydra import apply_overrides

from pipeline.config.reader import load_params
from pipeline.config.search_rules import list_dimensions
from pipeline.config.sections import Params
from pipeline.data.embeddings import save_none
from pipeline.runtime.errors import PipelineError
from pipeline.search import trials as module
from pipeline.search.trials import (
    Trial,
    describe_search,
    describe_trial,
    find_best,
    find_store,
    load_trials,
    make_overrides,
    make_trial_table,
    save_trial,
    shorten_name,
    show_value,
)
from tests.code_digests import write_code
from tests.conftest import Project
from tests.tfrecords import make_coloured_split, write_records

FAMILY, OTHER = "underfit", "searched_cnn"
SPACE = {
    "train": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "augment": {"zoom": [0.0, 0.1]}},
    "recipes": {FAMILY: {"l2": [0.0, 0.1]}, OTHER: {"blocks": [1, 2]}},
}
VALUES = {"train.learning_rate": 0.001, "train.optimizer": "adam", "recipes.underfit.schedule.kind": "cosine"}


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A project with images. Not to be changed."""
    folder = tmp_path_factory.mktemp("template")
    project = Project(folder)
    project.set(
        families=[FAMILY, OTHER],
        preprocess__image_size=16,
        search__families=[FAMILY],
        search__space=SPACE,
        train__width=None,
    )
    splits = {"train": make_coloured_split(6, 8), "val": make_coloured_split(3, 8)}
    write_records(folder / "data/tfrecords", class_names=["red", "green", "blue"], **splits)
    for family in (FAMILY, OTHER):
        save_none(family, folder / "data/embeddings")
        write_code("search", family, folder=folder)
    return folder


@pytest.fixture
def data(template: Path, project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy for one test, which is the working directory; DVC's cache is in it."""
    monkeypatch.setattr(module, "find_dvc_cache", lambda: project.folder / "cache")
    shutil.copytree(template, project.folder, dirs_exist_ok=True)
    return project


def find(family: str = FAMILY, **changes: Any) -> Path:
    """changes: of parameters; see Project.set."""
    params = load_params(overrides={name.replace("__", "."): value for name, value in changes.items()})
    return find_store(family, params, list_dimensions(params, family))


class TestStore:
    def test_it_is_beside_dvcs_cache_and_the_same_each_time(self, data):
        store = find()
        assert store.parent == data.folder / "cache" / "search"
        assert len(store.name) == 64
        assert find() == store

    @pytest.mark.usefixtures("data")
    def test_each_family_has_another(self):
        assert find(FAMILY) != find(OTHER)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("train__learning_rate", 0.5),  # searched
            ("train__augment__zoom", 0.3),
            ("recipes__underfit__l2", 0.25),
            ("search__trials", 999),
            ("search__minutes", 1.5),
            ("search__families", [FAMILY, OTHER]),
            ("families", [FAMILY, OTHER, "linear_svm"]),
            ("recipes__searched_cnn__epochs", 3),  # another family's
            ("crossval__seed", 7),  # scores are not by cross-validation
            ("crossval__folds", [8, 9]),
            ("embed__views", 5),
        ],
    )
    @pytest.mark.usefixtures("data")
    def test_parameters_without_influence_on_trials_do_not_change_it(self, name, value):
        assert find(**{name: value}) == find()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("train__seed", 7),
            ("train__epochs", 7),
            ("train__max_epochs", 7),
            ("train__augment__flip", "both"),
            ("recipes__underfit__batch_size", 7),
            ("recipes__underfit__augment__flip", "both"),
            ("search__sampler", "random"),
            ("search__score", "crossval"),
            ("search__seed", 7),
            ("search__max_parameters", 7),
            ("search__pruning__min_trials", None),
            ("search__pruning__min_epochs", 7),
            ("search__space__train__learning_rate__high", 0.1),
            ("search__space", {"train": {"dropout": [0.1, 0.2]}}),
            ("search__space__recipes__underfit__l2", [0.0, 0.2]),
            ("runtime__onednn", False),
        ],
    )
    @pytest.mark.usefixtures("data")
    def test_parameters_with_influence_on_trials_change_it(self, name, value):
        assert find(**{name: value}) != find()

    @pytest.mark.usefixtures("data")
    def test_mirror_images_that_are_averaged_change_it(self):
        mirrored = {"train__augment__flip": "horizontal"}
        assert find(**mirrored) != find(**mirrored, evaluate__tta="flip")

    @pytest.mark.usefixtures("data")
    def test_a_teacher_and_its_recipe_change_it(self):
        taught = {f"recipes__{FAMILY}__distill__teacher": "mobilenet", "recipes__mobilenet__input_size": 32}
        assert len({find(), find(**taught), find(**taught, recipes__mobilenet__dropout=0.3)}) == 3

    @pytest.mark.usefixtures("data")
    def test_parameters_of_another_family_in_the_space_do_not_change_it(self):
        assert find(search__space__recipes__searched_cnn__blocks=[1, 2, 3]) == find()

    @pytest.mark.usefixtures("data")
    @pytest.mark.parametrize(("key", "value"), [("folds", [8, 9]), ("seed", 7), ("augment", False)])
    def test_folds_change_it_if_scores_are_by_cross_validation(self, key, value):
        assert find(search__score="crossval", **{f"crossval__{key}": value}) != find(search__score="crossval")

    @pytest.mark.usefixtures("data")
    def test_the_families_to_cross_validate_do_not_change_it(self):
        assert find(search__score="crossval", crossval__families=[OTHER]) == find(search__score="crossval")

    @pytest.mark.usefixtures("data")
    @pytest.mark.parametrize("file", ["tfrecords/train-00000-of-00002.tfrecord", "embeddings/underfit/embeddings.json"])
    def test_other_data_changes_it(self, file):
        before = find()
        path = Path("data") / file
        path.write_bytes(path.read_bytes() + b"\n")
        assert find() != before

    @pytest.mark.usefixtures("data")
    def test_another_shard_changes_it(self):
        before = find()
        shutil.copy("data/tfrecords/val-00000-of-00002.tfrecord", "data/tfrecords/val-00002-of-00003.tfrecord")
        assert find() != before

    @pytest.mark.usefixtures("data")
    @pytest.mark.parametrize("package", ["tensorflow", "keras", "numpy", "scipy", "optuna"])
    def test_another_version_of_a_package_changes_it(self, package, monkeypatch):
        before, version = find(), module.version
        monkeypatch.setattr(module, "version", lambda name: "0.0" if name == package else version(name))
        assert find() != before

    @pytest.mark.usefixtures("data")
    @pytest.mark.parametrize(
        "module", ["pipeline__data__batches", "pipeline__training__fit", "pipeline__evaluation__new"]
    )
    def test_other_code_changes_it(self, module):
        before = find()
        write_code("search", FAMILY, **{module: "another digest"})
        assert find() != before

    @pytest.mark.usefixtures("data")
    @pytest.mark.parametrize(
        "module", ["pipeline__report", "pipeline__report__charts__theme", "pipeline__report__page"]
    )
    def test_the_code_of_pages_does_not_change_it(self, module):
        before = find()
        write_code("search", FAMILY, **{module: "another digest"})
        assert find() == before

    @pytest.mark.usefixtures("data")
    def test_missing_digests_of_the_code_are_refused(self):
        Path(f"data/code/search/{FAMILY}.json").unlink()
        with pytest.raises(PipelineError, match=f"run `dvc repro search@{FAMILY}`$"):
            find()

    def test_missing_data_is_named(self, data):
        shutil.rmtree(data.folder / "data/tfrecords")
        with pytest.raises(FileNotFoundError) as caught:
            find()
        assert caught.value.filename == "data/tfrecords"


FINISHED = Trial(1, "finished", VALUES, 0.75, [0.5, 0.75], [0.75], None, 1.25)
PRUNED = Trial(2, "pruned", VALUES | {"train.optimizer": None}, None, [0.25], [], None, 0.5)
FAILED = Trial(3, "failed", {"train.learning_rate": 1e30, "train.optimizer": True}, reason="no number; 1 < 2, 'Käfer'")
FOLDED = Trial(4, "finished", {"train.epochs": 3}, 0.6, [0.5, 0.6], [0.5, 0.7], None, 9.0)
ALL = [FINISHED, PRUNED, FAILED, FOLDED]


class TestFiles:
    def save(self, folder: Path) -> list[Path]:
        for trial in ALL:
            save_trial(folder, trial)
        return sorted(folder.iterdir())

    def test_saved_trials_are_loaded_unchanged(self, tmp_path):
        assert [file.name for file in self.save(tmp_path / "new")] == [f"00000{n}.json" for n in (1, 2, 3, 4)]
        found = load_trials(tmp_path / "new")
        assert found == ALL
        kinds = [[type(value) for value in trial.values.values()] for trial in found]
        assert kinds == [[type(value) for value in trial.values.values()] for trial in ALL]

    def test_an_empty_or_missing_folder_has_no_trials(self, tmp_path):
        assert load_trials(tmp_path / "none") == load_trials(tmp_path) == []

    def test_half_written_files_are_ignored(self, tmp_path):
        (tmp_path / "000001.json.partial").write_text('{"number": 1')
        assert load_trials(tmp_path) == []
        save_trial(tmp_path, FINISHED)
        assert [file.name for file in tmp_path.iterdir()] == ["000001.json"]

    @pytest.mark.parametrize("number", [1, 2, 4])
    def test_only_trials_before_a_missing_one_count(self, tmp_path, number):
        self.save(tmp_path)[number - 1].unlink()
        assert load_trials(tmp_path) == ALL[: number - 1]

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"null",
            b"[]",
            b"5",
            b'{"number": 2}',
            b'{"number": 2, "state": "finished", "values": {}, "colour": 3}',
            b"\xff\xfe",
            b"\0" * 100,
            b'{"number": 2, "state": "finished", "values": {}}',
        ],
    )
    def test_only_trials_before_a_damaged_one_count(self, tmp_path, content):
        self.save(tmp_path)[1].write_bytes(content)
        assert load_trials(tmp_path) == [FINISHED]

    def test_a_truncated_file_is_damaged(self, tmp_path):
        file = self.save(tmp_path)[1]
        whole = file.read_bytes().rstrip()
        for end in range(len(whole)):
            file.write_bytes(whole[:end])
            assert load_trials(tmp_path) == [FINISHED]

    def test_saving_again_replaces_a_trial(self, tmp_path):
        self.save(tmp_path)[1].write_bytes(b"damaged")
        save_trial(tmp_path, PRUNED)
        assert load_trials(tmp_path) == ALL


class TestBest:
    def make(self, *scores: float | None) -> list[Trial]:
        return [
            Trial(n, "finished" if score is not None else "pruned", {}, score, [0.99])
            for n, score in enumerate(scores, start=1)
        ]

    @pytest.mark.parametrize(
        ("scores", "expected"),
        [
            ((0.5,), 1),
            ((0.5, 0.7, 0.6), 2),
            ((0.5, 0.7, 0.7), 2),
            ((None, 0.0, None), 2),
            ((0.5, None), 1),
        ],
    )
    def test_it_is_the_first_of_those_with_the_highest_score(self, scores, expected):
        best = find_best(self.make(*scores))
        assert best is not None
        assert best.number == expected

    @pytest.mark.parametrize("scores", [(), (None,), (None, None)])
    def test_there_is_none_without_finished_trials(self, scores):
        assert find_best(self.make(*scores)) is None


class TestTable:
    def test_it_has_one_row_per_trial_with_values_as_in_yaml(self):
        table = make_trial_table([FINISHED, PRUNED, Trial(3, "failed", VALUES, reason="no number")])
        assert table.to_csv(index=False, lineterminator="\n") == (
            "trial,state,score,sd,steps,reason,train.learning_rate,train.optimizer,recipes.underfit.schedule.kind\n"
            "1,finished,0.75,,2,,0.001,adam,cosine\n"
            "2,pruned,,,1,,0.001,null,cosine\n"
            "3,failed,,,0,no number,0.001,adam,cosine\n"
        )

    def test_folds_have_a_standard_deviation(self):
        scores = [0.5, 0.75, 0.625]
        row = make_trial_table([Trial(1, "finished", {}, 0.625, [0.5, 0.625, 0.625], scores)]).iloc[0]
        assert row["sd"] == pytest.approx(pd.Series(scores).std())
        assert row["steps"] == 3

    def test_the_summary_counts_trials_by_state(self):
        assert describe_search([FINISHED, PRUNED, FAILED]) == {
            "score": 0.75, "trial": 1, "trials": 3, "finished": 1, "pruned": 1, "failed": 1,
        }  # fmt: skip
        folded = describe_search(ALL[1:])
        assert (folded["score"], folded["sd"], folded["trial"]) == (0.6, pytest.approx(0.141421), 4)
        assert describe_search([PRUNED, FAILED]) == {"trials": 2, "finished": 0, "pruned": 1, "failed": 1}
        assert json.loads(json.dumps(folded)) == folded


def describe_recipes(params: Params) -> dict[str, Any]:
    """But for X_fine_tuned, which follows X in the file; a trial of X leaves it as it is."""
    return {name: recipe.model_dump() for name, recipe in params.recipes.items() if not name.endswith("_fine_tuned")}


class TestNames:
    @pytest.mark.parametrize(
        ("name", "short"),
        [
            ("train.dropout", "dropout"),
            ("train.augment.zoom", "augment.zoom"),
            ("recipes.searched_cnn.blocks", "blocks"),
            ("recipes.underfit.augment.zoom", "augment.zoom"),
        ],
    )
    def test_they_are_short_without_section_and_family(self, name, short):
        assert shorten_name(name) == short

    @pytest.mark.parametrize(
        ("value", "text"),
        [(None, "null"), (True, "true"), (0.001, "0.001"), (1e-5, "1e-05"), (3, "3"), ("adam", "adam"), (0.0, "0.0")],
    )
    def test_values_are_shown_as_in_yaml(self, value, text):
        assert show_value(value) == text

    @pytest.mark.parametrize(
        "values",
        [
            {"train.learning_rate": 1e-5, "train.l2": 0.0, "train.dropout": 0.25},
            {"train.batch_size": 7, "train.optimizer": "rmsprop"},
            {"train.early_stopping.patience": None, "train.reduce_lr.patience": 3},
            {"recipes.mobilenet.fine_tune.unfreeze": "2 blocks", "recipes.mobilenet.head_units": 0},
            {"recipes.searched_cnn.blocks": 5, "recipes.searched_cnn.augment.flip": "none"},
            {"recipes.linear_svm.C": 12345.0},
        ],
    )
    @pytest.mark.usefixtures("project")
    def test_dvc_understands_them(self, values):
        words = make_overrides(values)
        assert words[::2] == ["-S"] * len(values)
        expected = load_params(overrides=values)
        apply_overrides("params.yaml", words[1::2])
        found = load_params()
        assert found.train == expected.train
        assert describe_recipes(found) == describe_recipes(expected)


class TestLine:
    """What is logged after each trial."""

    def test_it_has_the_values_the_outcome_and_the_best_trial(self):
        assert describe_trial(FOLDED, [FINISHED, FOLDED]) == (
            "trial 4: 0.6, with epochs 3; best so far: 0.75 in trial 1"
        )

    def test_a_failed_trial_has_its_reason(self):
        assert describe_trial(FAILED, [FAILED]) == (
            "trial 3: failed: no number; 1 < 2, 'Käfer', with learning_rate 1e+30, optimizer true; best so far: none"
        )

    def test_a_pruned_trial_says_so(self):
        assert describe_trial(PRUNED, [PRUNED]).startswith(
            "trial 2: pruned, with learning_rate 0.001, optimizer null, "
        )
