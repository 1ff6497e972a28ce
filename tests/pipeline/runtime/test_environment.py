from importlib.metadata import version

import pytest

from pipeline.runtime.environment import describe_environment
from tests.conftest import ROOT

PROJECT = '[project]\nname = "x"\nrequires-python = "{python}"\ndependencies = {needs}\n'


@pytest.fixture
def describe(tmp_path):
    def write(needs=(), pins="", python=">=3.11"):
        (tmp_path / "pyproject.toml").write_text(PROJECT.format(python=python, needs=list(needs)))
        (tmp_path / "constraints.txt").write_text(pins)
        return describe_environment(tmp_path)

    return write


def test_packages_as_pinned_and_others_are_told_apart(describe):
    pins = f"# comment\nnumpy=={version('numpy')}\npillow==0.1 # old\nnot-installed-anywhere==1.0\n"
    found = describe(pins=pins)
    assert found.num_pinned == 1
    assert found.others == (("pillow", "0.1", version("pillow")),)


def test_what_is_needed_and_missing_or_too_old_is_named(describe):
    found = describe(["numpy>=1", "numpy>=1000", "not-installed-anywhere>=2", "absent; python_version < '3'"])
    assert found.missing == ("numpy>=1000", "not-installed-anywhere>=2")


@pytest.mark.parametrize(("allowed", "takes"), [(">=3.11", True), (">=4", False), ("<3", False)])
def test_a_python_that_the_project_does_not_take_is_noticed(describe, allowed, takes):
    assert describe(python=allowed).takes_python is takes


def test_without_the_files_nothing_is_asked(tmp_path):
    found = describe_environment(tmp_path)
    assert (found.missing, found.num_pinned, found.others, found.takes_python) == ((), 0, (), True)


def test_this_project_has_all_it_needs():
    found = describe_environment(ROOT)
    assert (found.missing, found.takes_python) == ((), True)
