"""The contracts of import-linter in pyproject.toml hold, and each would be broken by the import that it is about."""

import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = ("runtime", "config", "sources", "data", "models", "training", "evaluation", "search", "report")
LAYERS = "A module imports its own floor of pipeline and lower ones"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code, in which `broken` adds an import."""
    folder = tmp_path_factory.mktemp("layers")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in ("pipeline", "stages"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def lint(tree: Path) -> tuple[int, set[str]]:
    """The exit code of lint-imports, and the names of the contracts that are broken."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert any(line.startswith("Contracts: ") for line in lines), done.stdout + done.stderr
    return done.returncode, {line.removesuffix(" BROKEN") for line in lines if line.endswith(" BROKEN")}


def lint_with(tree: Path, **modules: str) -> tuple[int, set[str]]:
    """As `lint`, with modules added: path without .py, two underscores for a slash, to their text."""
    files = {tree / f"{name.replace('__', '/')}.py": text for name, text in modules.items()}
    for file, text in files.items():
        assert not file.exists()
        file.write_text(text)
    try:
        return lint(tree)
    finally:
        for file in files:
            file.unlink()


def test_all_contracts_hold(tree: Path) -> None:
    assert lint(tree) == (0, set())


# The doctor and the report are on one floor, and neither knows the other.
BESIDE = [("search", "doctor"), ("doctor", "report"), ("report", "doctor")]


@pytest.mark.parametrize(("lower", "higher"), [*pairwise(FLOORS), *BESIDE])
def test_no_floor_imports_the_next_higher_one(tree: Path, lower: str, higher: str) -> None:
    modules = {f"pipeline__{lower}__new": f"import pipeline.{higher}.new_too\n", f"pipeline__{higher}__new_too": ""}
    code, broken = lint_with(tree, **modules)
    assert code == 1
    assert LAYERS in broken


def test_an_import_for_annotations_alone_counts(tree: Path) -> None:
    text = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import pipeline.report.page\n"
    code, broken = lint_with(tree, pipeline__runtime__new=text)
    assert code == 1
    assert LAYERS in broken


def test_a_new_package_has_to_find_its_floor(tree: Path) -> None:
    code, broken = lint_with(tree, pipeline__new="")
    assert (code, broken) == (1, {LAYERS})


def test_no_noun_imports_a_verb(tree: Path) -> None:
    code, broken = lint_with(tree, pipeline__report__new="import stages.split\n")
    assert (code, broken) == (1, {"No noun imports a verb"})


def test_no_verb_imports_another(tree: Path) -> None:
    code, broken = lint_with(tree, stages__new="import stages.split\n")
    assert (code, broken) == (1, {"No verb imports another verb"})


def test_no_modules_import_each_other(tree: Path) -> None:
    modules = {"pipeline__data__one": "import pipeline.data.two\n", "pipeline__data__two": "import pipeline.data.one\n"}
    code, broken = lint_with(tree, **modules)
    assert (code, broken) == (1, {"No import circles"})
