import pytest

from pipeline.doctor.place import describe_place
from pipeline.runtime.dvc_facts import DvcFacts
from tests.clone import commit, run


@pytest.fixture
def describe(no_repository, monkeypatch):
    """The lines and findings about the folder of the test, below which no git configuration but its own counts."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")

    def look(**changes):
        values = {
            "cache": no_repository / ".dvc/cache",
            "asked": ("hardlink", "copy"),
            "working": ("hardlink", "copy"),
            "remotes": {},
            "default_remote": "",
            "needs_git": True,
        }
        place = describe_place(no_repository, DvcFacts(**(values | changes)))
        return place.sections, {finding.text: finding.stops for finding in place.findings}

    return look


def find(findings, words):
    [stops] = [stops for text, stops in findings.items() if words in text]
    return stops


class TestGit:
    def test_without_a_repository_dvc_stops(self, describe):
        sections, findings = describe()
        assert sections["git"] == ["no git repository"]
        assert find(findings, "DVC works in a git repository only")

    def test_unless_it_is_told_to_do_without(self, describe):
        assert not find(describe(needs_git=False)[1], "git init")

    def test_a_repository_needs_a_commit(self, describe, no_repository):
        run(["git", "init", "--quiet"], no_repository)
        assert find(describe()[1], "no commit")

    def test_an_identity_is_missed_and_a_changed_file_noticed(self, describe, no_repository):
        run(["git", "init", "--quiet"], no_repository)
        (no_repository / "params.yaml").write_text("a: 1\n")
        commit(no_repository, "start")
        sections, findings = describe()
        assert sections["git"][0].endswith("; no identity")
        assert not find(findings, "git config user.name")
        run(["git", "config", "user.name", "me"], no_repository)
        run(["git", "config", "user.email", "me@example.invalid"], no_repository)
        (no_repository / "params.yaml").write_text("a: 2\n")
        sections, findings = describe()
        assert sections["git"][0].endswith("identity set; params.yaml differs from the commit")
        assert not any("git" in text for text in findings)


class TestDvc:
    def test_cache_links_and_remotes_are_shown(self, describe):
        sections, _ = describe(remotes={"store": "s3://bucket"}, default_remote="store")
        assert sections["dvc"] == [
            "cache .dvc/cache, linked by hardlink (asked for: hardlink, copy)",
            "remote: store s3://bucket; default: store",
        ]

    def test_copies_are_a_finding(self, describe):
        assert not find(describe(working=("copy",))[1], "twice")

    def test_where_nothing_can_be_written_the_run_stops(self, describe):
        assert find(describe(working=())[1], "could not be tried")

    def test_outside_a_project_it_stops(self, no_repository):
        place = describe_place(no_repository, None)
        assert place.sections["dvc"] == ["no DVC project here"]
        assert any("no .dvc folder" in finding.text and finding.stops for finding in place.findings)


class TestPython:
    def test_another_version_is_named_and_does_not_stop(self, describe, no_repository):
        (no_repository / "constraints.txt").write_text("numpy==0.1\n")
        sections, findings = describe()
        assert "numpy" in sections["python"][1]
        assert not find(findings, "pip install -c constraints.txt")

    def test_a_missing_package_and_a_wrong_python_stop(self, describe, no_repository):
        text = '[project]\nrequires-python = "<3"\ndependencies = ["not-installed-anywhere"]\n'
        (no_repository / "pyproject.toml").write_text(text)
        findings = describe()[1]
        assert find(findings, "not-installed-anywhere")
        assert find(findings, "is not one that the project takes (<3)")
