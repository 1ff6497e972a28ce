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
from pipeline.search import trials as module
from pipeline.search.trials import (
    Trial,
    describe_search,
    find_best,
    find_store,
    load_trials,
    make_overrides,
    make_trial_table,
    save_trial,
    shorten_name,
    show_value,
)
from tests.conftest import ROOT, Project
from tests.tfrecords import make_coloured_split, write_records

FAMILY, OTHER = "underfit", "searched_cnn"
SPACE = {
    "train": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "augment": {"zoom": [0.0, 0.1]}},
    "recipes": {FAMILY: {"l2": [0.0, 0.1]}, OTHER: {"blocks": [1, 2]}},
}
VALUES = {"train.learning_rate": 0.001, "train.optimizer": "adam", "recipes.underfit.schedule.kind": "cosine"}


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A project with pictures. Not to be changed."""
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
    return folder


@pytest.fixture
def data(template: Path, project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project of the test's own, into which it has been moved; its cache is in it."""
    monkeypatch.setattr(module, "find_dvc_cache", lambda: project.folder / "cache")
    shutil.copytree(template, project.folder, dirs_exist_ok=True)
    return project


def find(family: str = FAMILY, **changes: Any) -> Path:
    """changes: of parameters, as of Project.set."""
    params = load_params(overrides={name.replace("__", "."): value for name, value in changes.items()})
    return find_store(family, params, list_dimensions(params, family))


class TestStore:
    def test_it_lies_beside_dvcs_cache_and_is_the_same_each_time(self, data):
        store = find()
        assert store.parent == data.folder / "cache" / "search"
        assert len(store.name) == 64
        assert find() == store

    @pytest.mark.usefixtures("data")
    def test_each_family_has_its_own(self):
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
    def test_what_decides_no_trial_leaves_it_as_it_is(self, name, value):
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
    def test_what_decides_them_gives_another(self, name, value):
        assert find(**{name: value}) != find()

    @pytest.mark.usefixtures("data")
    def test_what_another_family_can_vary_does_not_matter(self):
        assert find(search__space__recipes__searched_cnn__blocks=[1, 2, 3]) == find()

    @pytest.mark.usefixtures("data")
    @pytest.mark.parametrize(("key", "value"), [("folds", [8, 9]), ("seed", 7), ("augment", False)])
    def test_folds_matter_where_scores_are_by_them(self, key, value):
        assert find(search__score="crossval", **{f"crossval__{key}": value}) != find(search__score="crossval")

    @pytest.mark.usefixtures("data")
    def test_which_families_are_cross_validated_does_not(self):
        assert find(search__score="crossval", crossval__families=[OTHER]) == find(search__score="crossval")

    @pytest.mark.usefixtures("data")
    @pytest.mark.parametrize("file", ["tfrecords/train-00000-of-00002.tfrecord", "embeddings/underfit/embeddings.json"])
    def test_other_data_gives_another(self, file):
        before = find()
        path = Path("data") / file
        path.write_bytes(path.read_bytes() + b"\n")
        assert find() != before

    @pytest.mark.usefixtures("data")
    def test_so_does_a_picture_more(self):
        before = find()
        shutil.copy("data/tfrecords/val-00000-of-00002.tfrecord", "data/tfrecords/val-00002-of-00003.tfrecord")
        assert find() != before

    @pytest.mark.usefixtures("data")
    @pytest.mark.parametrize("package", ["tensorflow", "keras", "numpy", "scipy", "optuna"])
    def test_so_does_another_version_of_what_trains(self, package, monkeypatch):
        before, version = find(), module.version
        monkeypatch.setattr(module, "version", lambda name: "0.0" if name == package else version(name))
        assert find() != before

    @pytest.fixture
    def code(self, data, monkeypatch):
        """A copy of stages/, from which it reads what the code is."""
        folder = shutil.copytree(ROOT / "stages", data.folder / "stages", ignore=shutil.ignore_patterns("__pycache__"))
        monkeypatch.setattr(module, "__file__", str(folder / "tuning" / "trials.py"))
        return folder

    @pytest.mark.parametrize(
        "file",
        [
            "dataset/batches.py",
            "dataset/folds.py",
            "families/pieces.py",
            "training/fitting.py",
            "tuning/sampling.py",
            "tuning/scoring.py",
            "params.py",
            "space.py",
            "runtime.py",
            # These two say what the accuracy of a trial is.
            "evaluation/metrics.py",
            "evaluation/predictions.py",
        ],
    )
    def test_so_does_other_code(self, code, file):
        before = find()
        (code / file).write_text((code / file).read_text() + "\n")
        assert find() != before

    @pytest.mark.parametrize("file", ["reporting/trials.py", "reporting/charts.py", "sources/scenes.py", "cli.py"])
    def test_code_that_has_no_part_in_a_trial_does_not_matter(self, code, file):
        before = find()
        (code / file).write_text((code / file).read_text() + "\n")
        assert find() == before

    def test_data_that_is_not_there_is_named(self, data):
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

    def test_what_was_saved_comes_back_as_it_was(self, tmp_path):
        assert [file.name for file in self.save(tmp_path / "new")] == [f"00000{n}.json" for n in (1, 2, 3, 4)]
        found = load_trials(tmp_path / "new")
        assert found == ALL
        kinds = [[type(value) for value in trial.values.values()] for trial in found]
        assert kinds == [[type(value) for value in trial.values.values()] for trial in ALL]

    def test_nothing_gives_no_trials(self, tmp_path):
        assert load_trials(tmp_path / "none") == load_trials(tmp_path) == []

    def test_a_file_is_there_only_when_it_is_whole(self, tmp_path):
        (tmp_path / "000001.json.partial").write_text('{"number": 1')
        assert load_trials(tmp_path) == []
        save_trial(tmp_path, FINISHED)
        assert [file.name for file in tmp_path.iterdir()] == ["000001.json"]

    @pytest.mark.parametrize("number", [1, 2, 4])
    def test_one_that_is_missing_hides_those_that_come_after(self, tmp_path, number):
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
    def test_so_does_one_that_is_damaged(self, tmp_path, content):
        self.save(tmp_path)[1].write_bytes(content)
        assert load_trials(tmp_path) == [FINISHED]

    def test_so_does_any_part_of_one(self, tmp_path):
        file = self.save(tmp_path)[1]
        whole = file.read_bytes().rstrip()
        for end in range(len(whole)):
            file.write_bytes(whole[:end])
            assert load_trials(tmp_path) == [FINISHED]

    def test_what_is_saved_again_takes_the_place(self, tmp_path):
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
    def test_there_is_none_where_none_has_finished(self, scores):
        assert find_best(self.make(*scores)) is None


class TestTable:
    def test_a_row_a_trial_with_values_as_yaml_has_them(self):
        table = make_trial_table([FINISHED, PRUNED, Trial(3, "failed", VALUES, reason="no number")])
        assert table.to_csv(index=False, lineterminator="\n") == (
            "trial,state,score,sd,steps,reason,train.learning_rate,train.optimizer,recipes.underfit.schedule.kind\n"
            "1,finished,0.75,,2,,0.001,adam,cosine\n"
            "2,pruned,,,1,,0.001,null,cosine\n"
            "3,failed,,,0,no number,0.001,adam,cosine\n"
        )

    def test_folds_give_a_deviation(self):
        scores = [0.5, 0.75, 0.625]
        row = make_trial_table([Trial(1, "finished", {}, 0.625, [0.5, 0.625, 0.625], scores)]).iloc[0]
        assert row["sd"] == pytest.approx(pd.Series(scores).std())
        assert row["steps"] == 3

    def test_how_many_there_were_of_each_kind(self):
        assert describe_search([FINISHED, PRUNED, FAILED]) == {
            "score": 0.75, "trial": 1, "trials": 3, "finished": 1, "pruned": 1, "failed": 1,
        }  # fmt: skip
        folded = describe_search(ALL[1:])
        assert (folded["score"], folded["sd"], folded["trial"]) == (0.6, pytest.approx(0.141421), 4)
        assert describe_search([PRUNED, FAILED]) == {"trials": 2, "finished": 0, "pruned": 1, "failed": 1}
        assert json.loads(json.dumps(folded)) == folded


def describe_recipes(params: Params) -> dict[str, Any]:
    return {family: recipe.model_dump() for family, recipe in params.recipes.items()}


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
    def test_they_are_short_where_the_family_is_known(self, name, short):
        assert shorten_name(name) == short

    @pytest.mark.parametrize(
        ("value", "text"),
        [(None, "null"), (True, "true"), (0.001, "0.001"), (1e-5, "1e-05"), (3, "3"), ("adam", "adam"), (0.0, "0.0")],
    )
    def test_values_are_shown_as_they_are_typed(self, value, text):
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
