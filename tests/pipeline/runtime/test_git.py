import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.git import ask_git, explain_no_repository, read_blobs
from tests.clone import PROJECT, commit, run


@pytest.fixture
def commits(no_repository) -> list[str]:
    """Three: a file of two lines, the same with bytes that are no text, and without it."""
    run(["git", "init", "--quiet"], no_repository)
    file = no_repository / "a b.csv"
    found = []
    for content in (b"one\ntwo", b"\xff\x00\n", None):
        file.write_bytes(content) if content is not None else file.unlink()
        commit(no_repository, "next")
        found.append(run(["git", "rev-parse", "HEAD"], no_repository).strip())
    return found


def test_a_file_is_read_in_each_commit_that_has_it(commits):
    assert read_blobs(commits, "a b.csv") == {commits[0]: b"one\ntwo", commits[1]: b"\xff\x00\n"}
    assert read_blobs(reversed(commits), "a b.csv").keys() == set(commits[:2])


@pytest.mark.usefixtures("commits")
def test_of_no_commits_there_is_nothing():
    assert read_blobs([], "a b.csv") == {}
    assert read_blobs(["0" * 40], "a b.csv") == {}


@pytest.mark.usefixtures("no_repository")
def test_outside_a_repository_the_error_is_one_line():
    with pytest.raises(
        PipelineError, match=r"^git can't read a.csv of 1 commit\(s\): fatal: not a git repository"
    ) as caught:
        read_blobs(["HEAD"], "a.csv")
    assert "\n" not in str(caught.value)
    assert ask_git("rev-parse", "HEAD") is None


def test_without_git_that_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PipelineError, match="git can't be started"):
        read_blobs(["HEAD"], "a.csv")


class TestNoRepository:
    @pytest.mark.usefixtures("commits")
    def test_in_one_there_is_nothing_to_say(self):
        assert explain_no_repository(Path.cwd()) is None

    def test_a_folder_in_none_is_named(self, no_repository):
        assert f"{no_repository} is not in a git repository" in str(explain_no_repository(no_repository))

    def test_one_of_another_user_is_trusted_on_demand(self, no_repository, monkeypatch):
        run(["git", "init", "--quiet"], no_repository)
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own, for its tests of this
        said = str(explain_no_repository(no_repository))
        assert "another user's" in said
        advice = said.partition("`")[2].rstrip("`")
        assert advice == f"git config --global --add safe.directory {no_repository}"
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(no_repository / "config"))
        run(shlex.split(advice), no_repository)
        assert explain_no_repository(no_repository) is None

    def test_without_git_that_is_said(self, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))
        assert "install git" in str(explain_no_repository(tmp_path))


def test_what_git_says_is_utf_8_whatever_the_locale(no_repository):
    run(["git", "init", "--quiet"], no_repository)
    (no_repository / "a").write_text("Äpfel")
    commit(no_repository, "next")
    script = "from pipeline.runtime.git import ask_git; print(ascii(ask_git('show', 'HEAD:a')))"
    narrow = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=no_repository,
        env=os.environ | narrow,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ascii("Äpfel")
