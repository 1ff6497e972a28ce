"""What DVC notices of the user's own folder, as DVC itself applies the project's .dvcignore and that of data/watch/here."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.repo import Repo

from pipeline.sources.watching import watch

PROJECT = Path(__file__).parent.parent
NAME = "Bücher (1) [a] #!*? ünï"


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """The user's folder. It has a class, cat, with one picture."""
    folder = tmp_path / NAME
    (folder / "cat").mkdir(parents=True)
    (folder / "cat/1.png").write_bytes(b"1")
    (tmp_path / "beside").mkdir()
    return folder


@pytest.fixture
def dvc_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC project beside the user's folder, without git."""
    project = tmp_path / "project"
    (project / "data/watch").mkdir(parents=True)
    monkeypatch.chdir(project)
    Repo.init(no_scm=True).close()
    for name in (".dvcignore", "data/watch/dvc.yaml"):
        shutil.copyfile(PROJECT / name, name)
    shutil.copytree(PROJECT / "data/watch/seen", "data/watch/seen")
    return project


def look() -> bool:
    """Whether the stage that watches would run again."""
    with Repo() as repo:
        return bool(repo.status("data/watch/dvc.yaml"))


@pytest.fixture
def is_noticed(dvc_project: Path, user: Path) -> Callable[[], bool]:  # noqa: ARG001
    watch({"source": user})
    assert not look()
    return look


@pytest.mark.usefixtures("dvc_project")
def test_where_nothing_is_watched_dvc_has_no_stage_and_misses_nothing():
    with Repo() as repo:
        assert repo.index.stages == []


def test_a_change_is_noticed(is_noticed, user):
    (user / "cat/2.png").write_bytes(b"2")
    assert is_noticed()
    (user / "cat/2.png").unlink()
    assert not is_noticed()
    (user / "cat/1.png").unlink()
    assert is_noticed()


def test_a_new_time_stamp_is_no_change(is_noticed, user):
    os.utime(user / "cat/1.png", (1, 1))
    assert not is_noticed()


def test_what_lies_beside_is_none_of_its_business(is_noticed, user):
    (user.parent / "beside/1.png").touch()
    (user.parent / "new.png").touch()
    assert not is_noticed()


def test_a_folder_that_is_gone_is_an_empty_one_to_dvc(is_noticed, user):
    user.rename(user.with_name("elsewhere"))
    assert is_noticed()
    with Repo() as repo:
        repo.commit("data/watch/dvc.yaml:watch@source", force=True)
    assert not is_noticed()


@pytest.mark.usefixtures("dvc_project")
def test_a_file_is_watched_and_may_go(tmp_path):
    archive = tmp_path / "a.zip"
    archive.write_bytes(b"1")
    watch({"source": archive})
    assert not look()
    archive.write_bytes(b"2")
    assert look()
    archive.unlink()
    assert look()


def test_a_folder_within_the_project_is_watched(dvc_project):
    (dvc_project / "pictures/cat").mkdir(parents=True)
    watch({"source": dvc_project / "pictures"})
    assert not look()
    (dvc_project / "pictures/cat/1.png").touch()
    assert look()


@pytest.mark.usefixtures("dvc_project")
def test_a_folder_within_another_dvc_project_is_watched(tmp_path):
    (tmp_path / "beside/.dvc").mkdir(parents=True)
    (tmp_path / "beside/deep/pictures").mkdir(parents=True)
    watch({"source": tmp_path / "beside/deep/pictures"})
    assert not look()
    (tmp_path / "beside/deep/pictures/1.png").touch()
    assert look()


@pytest.mark.usefixtures("dvc_project")
def test_a_link_that_points_elsewhere_is_noticed(tmp_path, user):
    link = tmp_path / "current"
    link.symlink_to(user)
    watch({"source": link})
    assert not look()
    link.unlink()
    link.symlink_to(tmp_path / "beside")
    assert look()


@pytest.mark.usefixtures("dvc_project")
def test_without_the_lines_that_leave_out_the_rest_nothing_at_all_is_read(user):
    watch({"source": user})
    Path("data/watch/here/.dvcignore").unlink()
    with Repo() as repo:
        (stage,) = repo.stage.collect("data/watch/dvc.yaml:watch@source")
        stage.save_deps()
        assert not stage.deps[0].meta.nfiles


@pytest.mark.parametrize("where", [".dvcignore", "cat/.dvcignore"])
@pytest.mark.parametrize("patterns", ["*.png", ".dvcignore\n*.png", "*"])
def test_a_dvcignore_that_is_added_later_hides_no_change(is_noticed, user, where, patterns):
    (user / where).write_text(patterns)
    (user / "cat/1.png").write_bytes(b"2")
    assert is_noticed()


def test_a_dvcignore_that_is_added_later_hides_no_new_picture(is_noticed, user):
    (user / ".dvcignore").write_text(".dvcignore\n*.jpg")
    (user / "cat/2.jpg").write_bytes(b"2")
    assert is_noticed()


@pytest.mark.parametrize("name", ["cow.partial", "__pycache__", "cat/.cache"])
def test_a_folder_with_a_name_that_the_project_itself_ignores_is_watched(is_noticed, user, name):
    (user / name).mkdir()
    (user / name / "1.png").write_bytes(b"2")
    assert is_noticed()


def test_a_class_that_becomes_a_dvc_project_is_noticed(is_noticed, user):
    (user / "cat/.dvc").mkdir()
    (user / "cat/.dvc/config").touch()
    assert is_noticed()


@pytest.mark.parametrize("name", [".git", "cat/.git", ".hg"])
def test_repositories_are_not_looked_into(is_noticed, user, name):
    (user / name).mkdir()
    (user / name / "index").write_bytes(b"2")
    assert not is_noticed()
