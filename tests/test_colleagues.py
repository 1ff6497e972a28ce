"""Two experiments of one clone, shared through a bare git repository and a folder as DVC's remote, and a colleague who runs
nothing."""

import csv
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.clone import commit, list_stages_run, run

pytestmark = [pytest.mark.ci, pytest.mark.timeout(900)]

ITERATIONS = {"short": 3, "long": 30}  # of each experiment


@pytest.fixture(scope="module")
def mine(finished_clone: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone that has pushed its results and two experiments, with bare.git and store beside it."""
    folder = tmp_path_factory.mktemp("colleagues")
    mine = finished_clone(folder / "mine")
    run(["git", "init", "--quiet", "--bare", "--initial-branch=main", "bare.git"], folder)
    run(["git", "branch", "--move", "main"], mine)
    run(["git", "remote", "add", "origin", str(folder / "bare.git")], mine)
    run(["dvc", "remote", "add", "--default", "store", str(folder / "store")], mine)
    commit(mine, "store")
    run(["dvc", "push"], mine)
    run(["git", "push", "--quiet", "origin", "main"], mine)
    for name, iterations in ITERATIONS.items():
        settings = ["-S", "families=[linear_svm]", "-S", f"recipes.linear_svm.max_iterations={iterations}"]
        run(["dvc", "exp", "run", "--name", name, *settings], mine)
    run(["dvc", "exp", "push", "origin", *ITERATIONS], mine)
    return mine


@pytest.fixture(scope="module")
def colleague(mine: Path) -> Path:
    """A fresh clone that has pulled all; what `mine` has in its own cache is out of reach."""
    clone = mine.with_name("colleague")
    run(["git", "clone", "--quiet", "bare.git", str(clone)], mine.parent)
    mine.rename(mine.with_name("away"))
    run(["dvc", "pull"], clone)
    run(["dvc", "exp", "pull", "origin", *ITERATIONS], clone)
    mine.with_name("away").rename(mine)
    return clone


def read_metrics(clone: Path) -> dict[str, dict[str, str]]:
    """Of each experiment, from `dvc exp show`: its metrics, and the parameter in which they differ."""
    python = Path(sys.executable)
    shown = subprocess.run(
        [str(python.with_name("dvc")), "exp", "show", "--csv"], cwd=clone, capture_output=True, text=True, check=True
    )
    rows = {row["Experiment"]: row for row in csv.DictReader(io.StringIO(shown.stdout))}
    return {
        name: {key: rows[name][key] for key in rows[name] if key.startswith(("linear_svm.", "recipes.linear_svm."))}
        for name in ITERATIONS
    }


def test_a_clone_alone_has_no_experiments_and_the_repository_lists_them(colleague: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    run(["git", "clone", "--quiet", str(colleague.with_name("bare.git")), str(fresh)], tmp_path)
    assert not any(name in run(["dvc", "exp", "list"], fresh) for name in ITERATIONS)
    assert all(name in run(["dvc", "exp", "list", "origin"], fresh) for name in ITERATIONS)


def test_a_colleague_sees_them_with_their_metrics(mine: Path, colleague: Path) -> None:
    metrics = read_metrics(colleague)
    assert metrics == read_metrics(mine)
    for name, iterations in ITERATIONS.items():
        assert metrics[name]["recipes.linear_svm.max_iterations"] == str(iterations)
        assert 0 <= float(metrics[name]["linear_svm.test_accuracy"]) <= 1


def test_a_colleague_compares_them(colleague: Path) -> None:
    said = run([sys.executable, "-m", "stages.compare", *ITERATIONS], colleague)
    assert "not in DVC's cache" not in said
    assert [line.split()[:2] for line in said.splitlines() if line.lstrip().startswith("linear_svm ")]
    assert (colleague / "metrics" / "compare.html").exists()


@pytest.mark.parametrize("name", ITERATIONS)
def test_a_colleague_takes_one_and_runs_nothing(colleague: Path, name: str) -> None:
    run(["git", "restore", "--staged", "--worktree", "."], colleague)
    run(["dvc", "exp", "apply", name], colleague)
    params = yaml.safe_load((colleague / "params.yaml").read_text())
    assert params["families"] == ["linear_svm"]
    assert params["recipes"]["linear_svm"]["max_iterations"] == ITERATIONS[name]
    said = run(["dvc", "repro"], colleague)
    assert list_stages_run(said) == []
    assert "Data and pipelines are up to date." in said
    assert (colleague / "models" / "linear_svm.keras").exists()
