import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages.doctor import main
from tests.clone import make_clone, run
from tests.conftest import ROOT


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A fresh clone, into which the test has been moved."""
    folder = make_clone(tmp_path / "clone")
    run(["git", "config", "user.name", "me"], folder)
    run(["git", "config", "user.email", "me@example.invalid"], folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # what Python itself writes is not the doctor's
    return folder


@pytest.fixture
def doctor(capsys):
    """Runs the verb without a measurement; the exit status, and what it prints."""

    def call(*arguments: str) -> tuple[int, str]:
        status = main([*arguments, "--seconds", "0"])
        return status, capsys.readouterr().out

    return call


def list_files(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of each file but git's own, which `git status` refreshes."""
    files = [path for path in folder.rglob("*") if ".git" not in path.parts]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.is_file()}


def test_a_fresh_clone_is_one_screen_and_nothing_changes(clone, doctor):
    before = list_files(clone)
    status, out = doctor()
    assert status == 0
    assert [line.split()[0] for line in out.splitlines() if line[:1].isalpha()][:8] == [
        *("data", "pictures", "disk", "memory", "cores", "dvc", "git", "python")
    ]
    assert "240 pictures of each of 6 classes" in out
    assert len(out.splitlines()) <= 45
    assert list_files(clone) == before
    assert run(["git", "status", "--porcelain", "--ignored"], clone) == ""
    assert [file.name for file in (clone / "data").iterdir()] == ["watch"], "which is in git"


@pytest.mark.usefixtures("clone")
def test_a_folder_ends_with_the_command_that_uses_it(doctor, picture_folder):
    folder = picture_folder({"cat": 25, "dog": 30}, "my pictures (1)")
    (folder / "cat/broken.jpg").write_bytes(b"<html>")
    before = list_files(folder)
    status, out = doctor(str(folder))
    assert status == 0
    assert "2 classes: cat 26, dog 30" in out
    assert "1 would go to quarantine" in out
    assert "such as 'cat/broken.jpg'" in out
    assert out.splitlines()[-1] == f"dvc exp run -S data.source=folder -S 'data.path=\"{folder}\"'"
    assert list_files(folder) == before


@pytest.mark.usefixtures("clone")
def test_a_parameter_settles_a_question(doctor, picture_folder):
    folder = picture_folder({"color/cat": 20, "color/dog": 20, "grey/cat": 20, "grey/dog": 20})
    status, out = doctor(str(folder))
    assert status == 1
    assert "STOPS     folder 'pictures' can be read in two ways" in out
    status, out = doctor(str(folder), "-S", "data.classes=parent")
    assert status == 0
    assert out.splitlines()[-1].endswith(f"-S data.path={folder} -S data.classes=parent")


@pytest.mark.parametrize("path", ["nothing", "params.yaml", "empty", "."])
def test_what_is_no_data_set_is_a_finding_with_the_rest_of_the_screen(clone, doctor, path):
    (clone / "empty").mkdir()
    status, out = doctor(path)
    assert status == 1
    assert "STOPS" in out
    assert "\ndvc  " in out


@pytest.mark.usefixtures("clone")
def test_a_mistake_in_params_yaml_is_a_finding(doctor):
    status, out = doctor("-S", "train.dropout=1.5")
    assert status == 1
    assert "STOPS     train.dropout: expected less than or equal to 0.9, received 1.5" in out


@pytest.mark.usefixtures("clone")
def test_json_is_for_programs(doctor, picture_folder):
    status, out = doctor(str(picture_folder({"cat": 3})), "--json")
    found = json.loads(out)
    assert (status, found["stops"]) == (1, True)
    assert any("two classes or more" in finding["text"] and finding["stops"] for finding in found["findings"])
    assert "pictures" in found["sections"]


@pytest.mark.ci
def test_minutes_are_measured_in_a_process_of_its_own(project, monkeypatch, capsys):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    project.set(families=["linear_svm"], crossval__families=["linear_svm"], sources__scenes__image_size=32)
    main(["--seconds", "0.1"])
    out = capsys.readouterr().out
    assert "minutes   at most " in out
    assert "linear_svm  " in out
    assert "crossval of linear_svm: " in out


@pytest.mark.parametrize("arguments", [["--seconds", "-1"], [""], ["a", "b"]])
def test_a_wrong_command_line_is_refused(arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


@pytest.mark.usefixtures("project")
def test_a_setting_that_cant_be_read_is_one_line(capsys):
    assert main(["-S", "a b", "--seconds", "0"]) == 1
    assert capsys.readouterr().err.startswith("error: -S 'a b' can't be read")


def test_an_environment_without_the_packages_is_one_line():
    """As a Python has it in which nothing was installed; -S leaves out the folder of installed packages."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-S", "-m", "stages.doctor"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "has no package pydantic: expected the project's environment" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("project")
def test_it_does_without_tensorflow():
    script = "import sys; from stages.doctor import main; main(['--seconds', '0']); assert 'keras' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
