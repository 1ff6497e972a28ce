import shlex
import subprocess
import sys

import pytest

from pipeline.runtime.experiment_place import explain_torn, find_faults, has_identity
from tests.clone import commit, run


@pytest.fixture
def repository(no_repository, monkeypatch):
    """A git repository with a commit, in which nobody is known."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, "/dev/null")
    for name in ("GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.delenv(name, raising=False)
    run(["git", "init", "--quiet"], no_repository)
    (no_repository / "params.yaml").write_text("a: 1\n")
    commit(no_repository, "start")
    return no_repository


class TestIdentity:
    def test_without_changes_none_is_needed(self, repository):
        assert find_faults(repository, repository / "cache") == []
        assert not has_identity(repository)

    def test_with_changes_its_commands_are_named(self, repository):
        (repository / "params.yaml").write_text("a: 2\n")
        [fault] = find_faults(repository, repository / "cache")
        for command in fault.split("`")[1::2]:
            run(shlex.split(command), repository)
        assert has_identity(repository)
        assert find_faults(repository, repository / "cache") == []

    def test_the_environment_may_have_it(self, repository, monkeypatch):
        monkeypatch.setenv("GIT_COMMITTER_NAME", "me")
        assert not has_identity(repository)
        monkeypatch.setenv("GIT_COMMITTER_EMAIL", "me@example.invalid")
        assert has_identity(repository)


class TestLetters:
    def test_a_cache_with_umlauts_can_be_put_elsewhere(self, repository):
        [fault] = find_faults(repository, repository / "Bücher/.dvc/cache")
        assert "`dvc cache dir --local FOLDER`" in fault
        assert f"{repository}/Bücher/.dvc/cache" in fault

    def test_a_name_with_umlauts_belongs_into_the_global_settings(self, repository, monkeypatch, tmp_path):
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "global"))
        run(["git", "config", "user.name", "Jörg Müller"], repository)
        run(["git", "config", "user.email", "j@example.invalid"], repository)
        [fault] = find_faults(repository, repository / "cache")
        assert "user.name" in fault
        run(["sh", "-c", fault.split("`")[1]], repository)
        assert find_faults(repository, repository / "cache") == []
        assert run(["git", "config", "user.name"], repository) == "Jörg Müller\n"

    def test_where_it_was_cloned_from_counts_too(self, repository):
        run(["git", "remote", "add", "origin", "/home/me/Bücher/project"], repository)
        [fault] = find_faults(repository, repository / "cache")
        assert fault.startswith("git's setting remote.origin.url of this project is '/home/me/Bücher/project'")

    def test_so_do_dvcs_local_settings(self, repository):
        (repository / ".dvc").mkdir()
        (repository / ".dvc/config.local").write_text("[cache]\n    dir = /tmp/Bücher\n")
        [fault] = find_faults(repository, repository / "cache")
        assert fault.startswith(".dvc/config.local has other letters than ASCII")


class TestTorn:
    """As a DVC leaves it that is killed in the second in which it prepares an experiment."""

    def tear(self, repository) -> None:
        (repository / "note.txt").write_text("mine\n")
        run(["git", "add", "note.txt"], repository)
        run(["git", "stash", "--quiet"], repository)
        run(["git", "checkout", "--quiet", "--detach"], repository)
        (repository / "params.yaml").write_text("a: 2\n")
        (repository / ".dvc" / "tmp").mkdir(parents=True)
        (repository / ".dvc" / "tmp" / "repro.dat").touch()
        run(["git", "add", "--force", "params.yaml", ".dvc/tmp/repro.dat"], repository)

    def test_a_whole_project_is_left_alone(self, repository):
        assert explain_torn(repository) is None

    def test_the_commands_that_are_named_bring_all_back(self, repository):
        branch = run(["git", "branch", "--show-current"], repository)
        self.tear(repository)
        said = explain_torn(repository)
        assert said is not None
        assert "\n" not in said
        for command in said.split("`")[1::2]:
            run(shlex.split(command), repository)
        assert run(["git", "branch", "--show-current"], repository) == branch
        assert (repository / "params.yaml").read_text() == "a: 1\n"
        assert (repository / "note.txt").read_text() == "mine\n"
        assert explain_torn(repository) is None

    def test_nothing_is_said_while_dvc_is_at_work(self, repository):
        self.tear(repository)
        with subprocess.Popen([sys.executable, "-c", "input() # dvc"], cwd=repository, stdin=subprocess.PIPE) as dvc:
            assert explain_torn(repository) is None
            dvc.communicate(b"\n")
