"""A verb that is started with a Python that has none of the project's packages."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clone import PROJECT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The code, without an environment."""
    for name in ("pipeline", "stages"):
        shutil.copytree(
            PROJECT / name, tmp_path / "mit Umlauten ä" / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    return tmp_path / "mit Umlauten ä"


def start(verb: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """With -S and -E, this interpreter sees no installed package."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    base = getattr(sys, "_base_executable", sys.executable)
    command = [base, "-S", "-E", "-m", f"stages.{verb}", *options]
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("verb", sorted(file.stem for file in (PROJECT / "stages").glob("[!_]*.py")))
def test_without_an_environment_one_line_says_how_to_build_it(folder, verb):
    done = start(verb, folder, "--help")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert "`make venv`" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_environment_that_is_there_is_used_though_it_is_not_activated(folder):
    own = folder / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.write_text('#!/bin/sh\necho "$@"\n')
    own.chmod(0o755)
    done = start("train", folder, "under fit")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "-S -E -m stages.train under fit\n"
