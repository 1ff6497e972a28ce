import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.export.formats import FORMATS, Format
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import SETTINGS
from stages.check import check, main
from tests.conftest import Project

ROOT = Path(__file__).resolve().parents[2]


def settings(purpose: str, family: str) -> bytes:
    return (SETTINGS / purpose / f"{family}.json").read_bytes()


@pytest.fixture
def checked(project):
    project.set(families=["linear_svm", "optimized", "efficientnet_lite0", "efficientnet_lite0_svm"])
    check()
    return project


def changed(project, **values) -> set[str]:
    """Files below data/settings whose bytes differ once parameters have other values."""
    before = {file: file.read_bytes() for file in SETTINGS.rglob("*") if file.is_file()}
    project.set(**values)
    check()
    return {str(file.relative_to(SETTINGS)) for file, content in before.items() if file.read_bytes() != content}


@pytest.mark.usefixtures("checked")
def test_each_family_has_its_settings():
    recipe = json.loads(settings("train", "optimized"))["recipe"]
    assert recipe["optimizer"] == "adam"
    assert "train/linear_svm.json" in {str(file.relative_to(SETTINGS)) for file in SETTINGS.rglob("*.json")}


def test_a_package_that_export_lacks_is_said_before_anything_is_trained(checked, monkeypatch):
    monkeypatch.setitem(FORMATS, "onnx", Format("model.onnx", ("no_such_package",)))
    checked.set(export__formats=["onnx"])
    with pytest.raises(PipelineError, match="has onnx, but no_such_package can't be imported"):
        check()


def test_checking_twice_gives_the_same_bytes(checked):
    assert changed(checked) == set()


def test_a_parameter_of_no_recipe_changes_nothing(checked):
    assert changed(checked, preprocess__num_shards=7, evaluate__outside_path=None) == set()


def test_a_dropout_for_all_changes_what_has_a_dropout(checked):
    assert changed(checked, train__dropout=0.25) == {"train/optimized.json", "train/efficientnet_lite0.json"}


def test_a_recipe_changes_its_family_only(checked):
    assert changed(checked, recipes__optimized__batch_size=8) == {"train/optimized.json"}


def test_a_backbone_changes_the_machine_on_its_features_too(checked):
    assert changed(checked, recipes__efficientnet_lite0__input_size=96) == {
        f"{purpose}/{family}.json"
        for purpose in ("embed", "train")
        for family in ("efficientnet_lite0", "efficientnet_lite0_svm")
    }


def test_a_seed_of_training_embeds_nothing_anew(checked):
    assert not {name for name in changed(checked, train__seed=7) if name.startswith("embed")}


def test_what_other_stages_wait_for_is_always_the_same(checked):
    before = (SETTINGS / "checked").read_bytes()
    changed(checked, train__dropout=0.25)
    assert (SETTINGS / "checked").read_bytes() == before


def test_class_weights_reach_the_linear_machines_too(checked):
    names = {"linear_svm", "optimized", "efficientnet_lite0", "efficientnet_lite0_svm"}
    assert changed(checked, train__class_weight="balanced") == {f"train/{name}.json" for name in names}


def test_what_a_linear_machine_does_not_have_is_said(checked, caplog):
    checked.set(train__width=None, train__max_epochs=None, train__dropout=0.25)
    with caplog.at_level("INFO", logger="stages.check"):
        check()
    lines = [message for message in caplog.messages if "linear machine" in message]
    assert lines == [
        "linear_svm is a linear machine: train.dropout does not apply to it",
        "efficientnet_lite0_svm is a linear machine: train.dropout does not apply to it",
    ]


def test_what_differs_from_the_last_commit_is_said_and_changes_no_output(no_repository, caplog):
    def git(*words: str) -> None:
        who = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
        subprocess.run(["git", *who, *words], cwd=project.folder, check=True, capture_output=True)

    project = Project(no_repository)
    project.set(train__dropout=None)
    git("init")
    git("add", "params.yaml")
    git("commit", "-m", "start")
    caplog.set_level("INFO", logger="stages.check")
    check()
    assert "differs" not in caplog.text
    before = {file: file.read_bytes() for file in SETTINGS.rglob("*") if file.is_file()}
    project.set(examine__near_duplicate=0.5)
    check()
    assert (
        "params.yaml differs from the last commit in examine.near_duplicate: if a run left that there, `git restore"
        in caplog.text
    )
    assert {file: file.read_bytes() for file in before} == before
    project.set(train__dropout=7)
    with pytest.raises(
        PipelineError, match=r"^train.dropout: .*; params.yaml differs from the last commit in .*`git restore"
    ):
        check()


def test_other_files_are_checked_without_writing(project, monkeypatch, capsys):
    project.set(train__dropout=7)
    (project.folder / "other.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    for files, status in ((["other.yaml"], 0), (["other.yaml", "params.yaml"], 1), (["none.yaml"], 1)):
        monkeypatch.setattr(sys, "argv", ["check", "--params", *files])
        assert main() == status
        assert capsys.readouterr().err.count("error: ") == status
    assert not SETTINGS.exists()


@pytest.mark.parametrize(("name", "value"), [("train__dropout", 1.5), ("split__seed", "x"), ("search__trials", 0)])
def test_one_wrong_value_anywhere_refuses_all_and_leaves_what_was_there(checked, name, value):
    before = settings("train", "optimized")
    checked.set(**{name: value})
    with pytest.raises(PipelineError, match=name.replace("__", ".")):
        check()
    assert settings("train", "optimized") == before


@pytest.mark.parametrize("words", [[], ["--params", "params.yaml"]])
def test_what_a_killed_dvc_left_half_written_is_mended_first(project, monkeypatch, capsys, words):
    monkeypatch.setattr(sys, "argv", ["check", *words])
    monkeypatch.delenv("DVC_STAGE", raising=False)
    lock, rwlock = project.folder / "dvc.lock", project.folder / ".dvc" / "tmp" / "rwlock"
    rwlock.parent.mkdir(parents=True)
    lock.touch()
    rwlock.touch()
    assert main() == 0
    assert not lock.exists()
    assert json.loads(rwlock.read_text()) == {"read": {}, "write": {}}
    assert capsys.readouterr().err.count("mended") == 2


def test_both_sides_of_a_merge_in_dvc_lock_end_it(project, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["check"])
    monkeypatch.delenv("DVC_STAGE", raising=False)
    (project.folder / "dvc.lock").write_text("<<<<<<< HEAD\n=======\n>>>>>>> other\n")
    assert main() == 1
    assert "dvc.lock has both sides of a git merge" in capsys.readouterr().err


def test_python_without_docstrings_is_refused_before_any_work():
    """Altair looks them up, in the last stage."""
    command = [sys.executable, "-OO", "-m", "stages.check", "--params", "params.yaml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: PYTHONOPTIMIZE is 2: expected at most 1")
