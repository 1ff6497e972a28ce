from pathlib import Path

import pytest

from pipeline.sources.local_paths import find_project, resolve_path


@pytest.mark.parametrize("below", ["tmp1234", "standalone/tmp1234"])
def test_a_temporary_copy_belongs_to_its_project(below):
    assert find_project(Path("/home/me/project/.dvc/tmp/exps") / below) == Path("/home/me/project")


@pytest.mark.parametrize("folder", ["/home/me/project", "/home/me/.dvc/tmp", "/home/exps/tmp/.dvc", "/"])
def test_any_other_folder_is_the_project(folder):
    assert find_project(Path(folder)) == Path(folder)


def test_relative_paths_start_from_the_project_in_its_temporary_copies_too(tmp_path, monkeypatch):
    copy = tmp_path / "project/.dvc/tmp/exps/standalone/tmp1"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    assert resolve_path("../pictures") == tmp_path / "project/../pictures"
    monkeypatch.chdir(tmp_path / "project")
    assert resolve_path("../pictures") == tmp_path / "project/../pictures"


def test_absolute_paths_and_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert resolve_path("/a (1)/b [2]") == Path("/a (1)/b [2]")
    assert resolve_path("~/a") == Path("/home/me/a")
