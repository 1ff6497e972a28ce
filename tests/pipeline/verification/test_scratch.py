import os
from pathlib import Path

import pytest

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.git import ask_git
from pipeline.runtime.leftovers import remove_leftovers
from pipeline.sources.local_paths import find_project
from pipeline.verification.scratch import open_scratch
from tests.clone import commit, run


@pytest.fixture
def project(no_repository) -> Path:
    """A repository with an ignored folder, and something changed, added and removed since its commit."""
    folder = no_repository / "project"
    for name in ("stages/a.py", "pipeline/b.py", "params.yaml", "gone"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("old")
    (folder / ".gitignore").write_text("ignored\n.dvc/tmp\n")
    run(["git", "init", "--quiet"], folder)
    commit(folder, "start")
    (folder / "params.yaml").write_text("new")
    (folder / "pipeline/new.py").write_text("new")
    (folder / "pictures").mkdir()
    (folder / "pictures/1.png").write_text("of the user")
    (folder / "ignored").write_text("")
    (folder / "gone").unlink()
    return folder


def list_files(folder: Path) -> list[str]:
    files = [file for file in folder.rglob("*") if file.is_file() and ".git" not in file.parts]
    return sorted(file.relative_to(folder).as_posix() for file in files)


def test_it_holds_the_workspace_as_it_is(project):
    with open_scratch(project) as scratch:
        assert list_files(scratch) == [
            ".dvc/config.local",
            ".gitignore",
            "params.yaml",
            "pipeline/b.py",
            "pipeline/new.py",
            "stages/a.py",
        ]
        assert (scratch / "params.yaml").read_text() == "new"


def test_its_path_has_a_space_and_an_umlaut(project):
    with open_scratch(project) as scratch:
        assert " " in scratch.name
        assert "ü" in scratch.name


def test_git_there_is_not_the_projects(project):
    with open_scratch(project) as scratch:
        assert (ask_git("-C", str(scratch), "rev-parse", "--show-toplevel") or "").strip() == str(scratch)
        assert ask_git("-C", str(scratch), "rev-parse", "HEAD") == ask_git("-C", str(project), "rev-parse", "HEAD")
        assert " M params.yaml" in (ask_git("-C", str(scratch), "status", "--porcelain") or "").splitlines()


def test_relative_paths_start_from_the_project(project):
    with open_scratch(project) as scratch:
        assert find_project(scratch) == project


@pytest.mark.parametrize("keep", [True, False])
def test_afterwards_it_is_gone_unless_it_is_to_be_kept(project, keep):
    before = list_files(project)
    with open_scratch(project, keep=keep) as scratch:
        pass
    assert scratch.exists() == keep
    assert keep or (list_files(project) == before and not (project / ".dvc").exists())


def test_what_a_killed_run_left_is_found(project):
    with open_scratch(project) as scratch:
        os.utime(scratch.parent, (0, 0))
        assert str(scratch.parent.relative_to(project)) in (remove_leftovers(project) or "")


def test_it_is_gone_after_an_error_too(project):
    with pytest.raises(KeyboardInterrupt), open_scratch(project) as scratch:
        raise KeyboardInterrupt
    assert not scratch.exists()


def test_a_project_may_be_in_a_folder_of_a_repository(project):
    inner = project / "inner"
    (inner / "stages").mkdir(parents=True)
    (inner / "stages/c.py").write_text("inner")
    commit(project, "inner")
    with open_scratch(inner) as scratch:
        assert (scratch / "stages/c.py").read_text() == "inner"
        assert (ask_git("-C", str(scratch), "rev-parse", "--show-prefix") or "").strip() == "inner/"


def test_outside_a_repository_that_is_said(no_repository):
    with pytest.raises(PipelineError, match="expected a clone of the project"), open_scratch(no_repository):
        pass
