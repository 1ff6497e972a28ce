import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from stages.verify import main

EARLY = ["code", "split"]  # seconds, without TensorFlow


@pytest.fixture
def finished(finished_clone: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone in which the pipeline has run, into which the test has been moved."""
    folder = finished_clone(tmp_path / "project")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # what Python itself writes is not the verb's
    return folder


def list_files(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def tamper(folder: Path, path: str, text: str) -> None:
    """As if a stage had once written this: it is in DVC's cache and in dvc.lock."""
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    file = folder / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    lock = yaml.safe_load((folder / "dvc.lock").read_text())
    (out,) = (out for stage in lock["stages"].values() for out in stage.get("outs", []) if out["path"] == path)
    out["md5"] = digest
    (folder / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))


@pytest.mark.ci
def test_stages_give_the_same_bytes_under_other_conditions_and_nothing_here_changes(finished, capsys):
    before = list_files(finished)
    assert main(EARLY) == 0
    *lines, summary = capsys.readouterr().out.splitlines()
    assert [line.partition(" (")[0] for line in lines] == [f"{name}: agrees" for name in EARLY]
    assert summary == "2 of 2 stages agree"
    assert list_files(finished) == before


@pytest.mark.ci
def test_an_output_that_differs_is_named_with_its_line(finished, capsys):
    text = (finished / "data/splits.csv").read_text()
    tamper(finished, "data/splits.csv", text.replace(",train", ",val", 1))
    assert main(["--keep", "split"]) == 1
    captured = capsys.readouterr()
    said, copy = captured.out.splitlines()
    assert said.startswith("split: data/splits.csv: line ")
    assert "train' instead of …'" in said
    assert captured.err.splitlines()[-1] == "error: 0 of 1 stage agree"
    assert Path(copy.removeprefix("the copy: ")).is_dir()


@pytest.mark.ci
def test_what_has_not_been_run_since_a_change_is_not_compared(finished, capsys):
    params = finished / "params.yaml"
    params.write_text(params.read_text().replace("seed: 0", "seed: 7", 1))
    assert main(["split"]) == 1
    assert "split: not compared: params.yaml has changed since it ran: run `dvc repro` first" in capsys.readouterr().out


@pytest.mark.ci
def test_a_name_that_is_no_stage_ends_in_one_line(finished, capsys):
    before = list_files(finished)
    assert main(["splitt"]) == 1
    assert capsys.readouterr().err == "error: there is no stage 'splitt' in dvc.yaml: did you mean split?\n"
    assert list_files(finished) == before
