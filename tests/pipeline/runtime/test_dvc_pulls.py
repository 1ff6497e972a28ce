"""A project of three stages, two of which have their outputs in one folder, on which the third depends."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.runtime.dvc_pulls import list_missing, make_dvc_pull_parts

pytestmark = [pytest.mark.ci, pytest.mark.filterwarnings("ignore::DeprecationWarning")]  # of DVC's libraries

STAGES = """stages:
  one: {cmd: mkdir -p parts && echo 1 > parts/one, outs: [parts/one]}
  two: {cmd: mkdir -p parts && echo 2 > parts/two, outs: [parts/two]}
  beside: {cmd: echo 3 > partsother, outs: [partsother]}
  join: {cmd: cat parts/one parts/two > joined, deps: [parts], outs: [joined], params: [text]}
"""


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """DVC's repository, all of whose outputs are in the remote and none of them here, with a change that `join` depends on."""
    from dvc.repo import Repo
    from dvc.stage import run

    monkeypatch.setattr(run, "_pull_missing_deps", run._pull_missing_deps)
    monkeypatch.chdir(tmp_path)
    with Repo.init(".", no_scm=True) as repo:
        (tmp_path / ".dvc/config").write_text(
            f"[core]\n    no_scm = true\n    remote = store\n['remote \"store\"']\n    url = {tmp_path / 'store'}\n"
        )
        (tmp_path / "dvc.yaml").write_text(STAGES)
        (tmp_path / "params.yaml").write_text("text: a\n")
    with Repo(".") as repo:
        repo.reproduce()
        repo.push()
        for output in ("parts/one", "parts/two", "partsother", "joined"):
            (tmp_path / output).unlink()
        (tmp_path / "parts").rmdir()
        repo.cache.local.clear()
    (tmp_path / "params.yaml").write_text("text: b\n")
    with Repo(".") as repo:
        yield repo


def pull_and_run(repo: Any) -> list[str]:
    """Names of the stages that ran."""
    return [stage.addressing for stage in repo.reproduce(pull=True, allow_missing=True, run_cache=False)]


def test_dvc_alone_takes_the_folder_for_an_output(clone: Any) -> None:
    """If it no longer does, `pipeline.runtime.dvc_pulls` can go."""
    from dvc.exceptions import ReproductionError

    with pytest.raises(ReproductionError):
        pull_and_run(clone)


@pytest.mark.parametrize("here", [[], ["parts/one"]])
def test_all_parts_of_the_folder_are_pulled_and_nothing_else(clone: Any, tmp_path: Path, here: list[str]) -> None:
    make_dvc_pull_parts()
    if here:
        clone.pull(here)
    assert pull_and_run(clone) == ["join"]
    assert (tmp_path / "joined").read_text() == "1\n2\n"
    assert not (tmp_path / "partsother").exists()


def test_what_is_missing_overlaps_the_dependency(clone: Any) -> None:
    (join,) = clone.stage.collect("join")
    for dependency, names in {"parts": ["one", "two"], "parts/two/x": ["two"], "other": []}.items():
        join.deps[0].fs_path = str(Path(dependency).resolve())
        assert list_missing(join) == [f"parts/{name}" for name in names]
