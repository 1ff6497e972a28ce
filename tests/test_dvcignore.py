"""The project's .dvcignore, as DVC itself applies it to the user's own folder, which data/watch links to."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.repo import Repo

PROJECT = Path(__file__).parent.parent
WATCH = Path("data/watch/folder")


@pytest.fixture
def is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Whether a stage that depends on the link would run again. The folder has a class, cat, with one picture."""
    user, project = tmp_path / "pictures", tmp_path / "project"
    (user / "cat").mkdir(parents=True)
    (user / "cat/1.png").write_bytes(b"1")
    (project / WATCH.parent).mkdir(parents=True)
    (project / WATCH).symlink_to(user)
    monkeypatch.chdir(project)
    Repo.init(no_scm=True).close()
    shutil.copyfile(PROJECT / ".dvcignore", ".dvcignore")
    Path("dvc.yaml").write_text(f"stages: {{see: {{cmd: none, deps: [{WATCH}]}}}}")

    def look() -> bool:
        with Repo() as repo:
            return bool(repo.status())

    with Repo() as repo:
        repo.commit("see", force=True)
    assert not look()
    return look


@pytest.mark.parametrize("where", [".dvcignore", "cat/.dvcignore"])
@pytest.mark.parametrize("patterns", ["*.png", ".dvcignore\n*.png", "*"])
def test_a_dvcignore_that_is_added_later_hides_no_change(is_noticed, where, patterns):
    (WATCH / where).write_text(patterns)
    (WATCH / "cat/1.png").write_bytes(b"2")
    assert is_noticed()


def test_a_dvcignore_that_is_added_later_hides_no_new_picture(is_noticed):
    (WATCH / ".dvcignore").write_text(".dvcignore\n*.jpg")
    (WATCH / "cat/2.jpg").write_bytes(b"2")
    assert is_noticed()


@pytest.mark.parametrize("name", ["cow.partial", "__pycache__", "cat/.cache"])
def test_a_folder_with_a_name_that_the_project_itself_ignores_is_watched(is_noticed, name):
    (WATCH / name).mkdir()
    (WATCH / name / "1.png").write_bytes(b"2")
    assert is_noticed()


def test_a_class_that_becomes_a_dvc_project_is_noticed(is_noticed):
    (WATCH / "cat/.dvc").mkdir()
    assert is_noticed()


@pytest.mark.parametrize("name", [".git", "cat/.git", ".hg"])
def test_repositories_are_not_looked_into(is_noticed, name):
    (WATCH / name).mkdir()
    (WATCH / name / "index").write_bytes(b"2")
    assert not is_noticed()
