import hashlib
import platform
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from pipeline.config.reader import load_params
from pipeline.config.sections import Budget, Runtime
from pipeline.report.run_facts import (
    compute_key,
    describe_budget,
    describe_commit,
    describe_ignored,
    describe_machine,
    describe_origin,
    describe_overrides,
    describe_run,
    find_changes,
)
from pipeline.runtime.last_digits import compute_digest, describe_last_digits
from pipeline.runtime.tensorflow import TrainingMode
from tests.clone import commit, run
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def _folder(no_repository):
    """Each test's own, with a few parameters."""
    set_params({"train": {"epochs": 3, "augment": {"flip": "none"}}, "families": ["one"]})
    return no_repository


@pytest.fixture
def repository(tmp_path):
    for file in ("stages/train.py", "pipeline/training/fit.py", "dvc.yaml"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("1\n")
    run(["git", "init", "--quiet"], tmp_path)
    commit(tmp_path, "start")
    return tmp_path


def set_params(content: dict) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(content))


class TestChanges:
    @pytest.mark.usefixtures("repository")
    def test_values_that_differ_from_those_of_the_commit_are_named(self):
        set_params({"train": {"epochs": 5, "augment": {"flip": "both"}}, "families": ["one"]})
        assert find_changes() == {"train.epochs": "3 → 5", "train.augment.flip": '"none" → "both"'}

    @pytest.mark.parametrize(
        ("families", "change"),
        [
            (["one", "two"], '["one"] → ["one", "two"]'),
            (None, '["one"] → null'),
            ([], '["one"] → []'),
            (["猫"], '["one"] → ["猫"]'),
        ],
    )
    @pytest.mark.usefixtures("repository")
    def test_values_of_any_kind_are_written_as_json(self, families, change):
        set_params({"train": {"epochs": 3, "augment": {"flip": "none"}}, "families": families})
        assert find_changes() == {"families": change}

    @pytest.mark.usefixtures("repository")
    def test_a_parameter_that_is_new_or_gone_is_null_on_the_other_side(self):
        set_params({"train": {"epochs": 3, "augment": {}, "seed": 1}, "families": ["one"]})
        assert find_changes() == {
            "train.augment": "null → {}",
            "train.augment.flip": '"none" → null',
            "train.seed": "null → 1",
        }

    @pytest.mark.usefixtures("repository")
    def test_what_may_be_secret_in_an_address_is_not_shown(self):
        set_params(
            {"train": {"epochs": 3, "augment": {"flip": "none"}}, "families": "https://me:pw@host/a.zip?code=s3cret"}
        )
        assert find_changes() == {"families": '["one"] → "https://…@host/a.zip?…"'}

    @pytest.mark.usefixtures("repository")
    def test_comments_and_order_do_not_matter(self):
        content = yaml.safe_load(Path("params.yaml").read_text())
        Path("params.yaml").write_text("# why\n" + yaml.safe_dump(dict(reversed(content.items())), sort_keys=False))
        assert find_changes() == {}

    def test_a_project_may_be_in_a_folder_of_a_repository(self, repository, monkeypatch):
        (repository / "inner").mkdir()
        shutil.copy("params.yaml", "inner")
        commit(repository, "inner")
        monkeypatch.chdir(repository / "inner")
        set_params({"train": {"epochs": 4, "augment": {"flip": "none"}}, "families": ["one"]})
        assert find_changes() == {"train.epochs": "3 → 4"}

    def test_outside_a_repository_there_is_nothing_to_differ_from(self):
        assert find_changes() == {}

    def test_without_a_commit_neither(self, tmp_path):
        run(["git", "init", "--quiet"], tmp_path)
        assert find_changes() == {}

    def test_without_git_neither(self, repository, monkeypatch):
        monkeypatch.setenv("PATH", str(repository))
        assert find_changes() == {}


class TestCommit:
    def test_it_is_named_in_full(self, repository):
        head = run(["git", "rev-parse", "HEAD"], repository).strip()
        assert describe_commit() == {"Commit": head}

    @pytest.mark.parametrize("file", ["stages/train.py", "pipeline/training/fit.py", "dvc.yaml"])
    def test_changed_code_is_told(self, repository, file):
        (repository / file).write_text("2\n")
        assert describe_commit()["Commit"].endswith(", with changed code")

    def test_changed_parameters_are_no_changed_code(self, repository):
        set_params({"train": {"epochs": 9}})
        (repository / "notes.txt").write_text("not ours")
        assert "changed" not in describe_commit()["Commit"]

    def test_outside_a_repository_that_is_said(self):
        assert describe_commit() == {"Commit": "not in a git repository"}


def test_the_machine_is_described():
    facts = describe_machine()
    assert list(facts) == ["Processor", "Memory", "System"]
    assert all(facts.values())
    assert "cores" in facts["Processor"]
    assert platform.python_version() in facts["System"]


class TestRun:
    def test_data_seed_and_versions_are_named(self, tmp_path):
        (tmp_path / "data").mkdir()
        (tmp_path / "data/manifest.csv").write_text("name\n")
        facts = describe_run(7)
        assert list(facts.values())[:2] == [hashlib.sha256(b"name\n").hexdigest(), "7"]
        assert f"tensorflow {version('tensorflow')}, " in facts["Versions"]

    def test_the_key_depends_on_every_model_but_not_on_their_order(self):
        key = compute_key({"one": "a" * 64, "other": "b" * 64})
        assert len(key) == 16
        assert compute_key({"other": "b" * 64, "one": "a" * 64}) == key
        assert compute_key({"one": "a" * 64, "other": "c" * 64}) != key
        assert compute_key({"one": "a" * 64}) != key


def test_a_time_budget_is_a_fact_where_there_is_one():
    assert describe_budget(Budget()) == {}
    [(name, text)] = describe_budget(Budget(minutes=15, plan="good-15-01234567")).items()
    assert name == "Time budget"
    assert text == "15 minutes, good; plan good-15-01234567, which chose families and epochs"


def test_families_that_do_not_have_what_train_sets_are_marked_where_others_do():
    def describe(*families: str, **values: object) -> dict[str, list[str]]:
        nothing = {"train.max_epochs": None, "train.width": None}
        params = load_params(ROOT / "params.yaml", nothing | {f"train.{name}": value for name, value in values.items()})
        return describe_ignored(params.model_copy(update={"families": list(families)}))

    assert describe("linear_svm", "optimized", dropout=0.3, l2=0.1) == {"linear_svm": ["train.dropout", "train.l2"]}
    assert describe("linear_svm", "optimized", class_weight="balanced") == {}
    assert describe("linear_svm", dropout=0.3) == {}  # alone, it is compared with none
    assert describe("optimized", "vgg16", dropout=0.3) == {}


class TestOverrides:
    def describe(self, **changes: object) -> dict[str, str]:
        """changes: of parameters of train, by dotted name; all others are null."""
        neutral = dict.fromkeys(["epochs", "max_epochs", "width"])
        values = {f"train.{name}": value for name, value in (neutral | changes).items()}
        return describe_overrides(load_params(ROOT / "params.yaml", values))

    def test_what_is_set_is_named_also_in_a_section(self):
        changes = {"dropout": 0.3, "optimizer": "sgd", "augment.rotation": 0.1}
        assert self.describe(**changes) == {
            "train.optimizer": "sgd",
            "train.dropout": "0.3",
            "train.augment.rotation": "0.1",
        }

    def test_what_no_study_publishes_is_left_out(self):
        assert self.describe(seed=1, cache_gb=1.0, shuffle_buffer=10) == {}


class TestOrigin:
    """Whether metrics came from an environment that decides last digits as this one does."""

    RUNTIME = Runtime(onednn=True, threads=2, portable=True)

    @pytest.fixture
    def origin(self, monkeypatch):
        """recorded: family to the descriptions that its timings have; here is `here`."""

        def call(**recorded: list[str]) -> dict[str, str]:
            monkeypatch.setattr("pipeline.report.run_facts.describe_last_digits", lambda **_: "here")
            monkeypatch.setattr(
                "pipeline.report.run_facts.load_last_digits",
                lambda family, _: {compute_digest(text): text for text in recorded[family]},
            )
            return describe_origin(dict.fromkeys(recorded, "digest"), self.RUNTIME)

        return call

    def test_where_all_is_from_here_only_that_is_said(self, origin):
        assert origin(one=["here"], other=["here"]) == {
            "Families": "one, other",
            "What decides last digits here": "here",
        }

    def test_other_environments_are_named_with_their_families(self, origin):
        facts = origin(one=["here"], other=["a GPU", "here"], third=["a GPU"])
        assert facts["Trained or evaluated where something else decided them"] == "other, third: a GPU"

    def test_evaluation_is_from_here_whatever_training_is_computed_with(self, monkeypatch):
        runtime = self.RUNTIME.model_copy(update={"precision": "mixed_bfloat16", "devices": 2})
        plain = describe_last_digits(**runtime.arithmetic)
        mixed = describe_last_digits(**runtime.arithmetic, mode=TrainingMode("mixed_bfloat16", devices=2))
        said = {"one": [mixed, plain], "other": [f"{plain}; training with XLA", plain]}
        monkeypatch.setattr(
            "pipeline.report.run_facts.load_last_digits",
            lambda family, _: {compute_digest(text): text for text in said[family]},
        )
        facts = describe_origin(dict.fromkeys(said, "digest"), runtime)
        assert facts["What decides last digits here"] == mixed
        assert facts["Trained or evaluated where something else decided them"] == f"other: {plain}; training with XLA"

    def test_what_was_pulled_is_named(self, origin):
        assert origin(one=["here"], other=[])["Neither trained nor evaluated on this machine"] == "other"
