"""What runs that were killed left behind is removed, and nothing of a user's."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.runtime.leftovers import remove_leftovers
from tests.clone import run

OURS = (
    ".cache/cluster-1x2y3z/train.log",
    "data/raw.partial/00000.tar",
    "data/manifest.csv.partial",
    "data/tfrecords.partial/train-00000.tfrecord",
    "data/embeddings/gone.partial/a.npy",
    "data/.near-x1.partial/vectors",
    "data/crossval/gone/fold1.partial/a",
    "models/gone.keras.partial",
    "metrics/summary.csv.partial",
    "metrics/gone/train.partial/a.tsv",
    "metrics/crossval/gone/fold1.partial/metrics.json",
)
THEIRS = (
    "data/cow.partial/1.jpg",
    "data/pictures/cow.partial/1.jpg",
    "cow.partial/1.jpg",
    "models/best.keras",
    "metrics/summary.csv",
    "data/raw/00000.tar",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (*OURS, *THEIRS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(50_000))
    return tmp_path


def list_files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_only_what_stages_wrote_aside_is_removed_and_said_in_one_line(folder):
    line = remove_leftovers(folder)
    assert line is not None
    assert line.startswith(
        "removed 11 unfinished file(s) or folder(s) of runs that were killed, 0.6 MB: data/raw.partial, "
    )
    assert list_files(folder) == set(THEIRS)
    assert not (folder / "data" / "raw.partial").exists()
    assert remove_leftovers(folder) is None


def test_links_are_removed_and_what_they_lead_to_is_not(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "1.jpg").touch()
    (tmp_path / "data" / "watch").mkdir(parents=True)
    (tmp_path / "data" / "watch" / "here.partial").symlink_to(tmp_path / "pictures")
    assert "data/watch/here.partial" in str(remove_leftovers(tmp_path))
    assert list_files(tmp_path) == {"pictures/1.jpg"}


def test_nothing_is_removed_while_a_stage_is_at_work(folder):
    with subprocess.Popen([sys.executable, "-c", "input() # stages.train"], cwd=folder, stdin=subprocess.PIPE) as stage:
        assert remove_leftovers(folder) is None
        stage.communicate(b"\n")
    assert list_files(folder) == {*OURS, *THEIRS}


def test_workspaces_of_experiments_that_were_killed_are_removed_and_what_dvc_notes_of_them_is_not(tmp_path):
    names = ("standalone/tmpdead", "tmpalso", "standalone/pid", "run", "celery/broker", "standalone/template.txt")
    for name in names:
        (tmp_path / ".dvc/tmp/exps" / name).mkdir(parents=True)
        (tmp_path / ".dvc/tmp/exps" / name / "params.yaml").touch()
    assert "removed 2 unfinished" in str(remove_leftovers(tmp_path))
    left = sorted(path.relative_to(tmp_path / ".dvc/tmp/exps") for path in tmp_path.rglob("params.yaml"))
    assert [path.parent.as_posix() for path in left] == [
        "celery/broker",
        "run",
        "standalone/pid",
        "standalone/template.txt",
    ]


def test_locks_of_references_to_experiments_are_removed_and_no_other_of_git(tmp_path):
    run(["git", "init", "--quiet"], tmp_path)
    ours, theirs = tmp_path / ".git/refs/exps/stash.lock", tmp_path / ".git/refs/heads/main.lock"
    ours.parent.mkdir()
    ours.touch()
    theirs.touch()
    assert ".git/refs/exps/stash.lock" in str(remove_leftovers(tmp_path))
    assert not ours.exists()
    assert theirs.exists()


@pytest.mark.parametrize(
    ("parts", "output"), [("tfrecords", "tfrecords"), ("inspected", "manifest.csv"), ("measured", "examination")]
)
def test_parts_from_which_the_next_run_goes_on_wait_for_two_weeks(tmp_path, parts, output):
    partial = tmp_path / "data" / f"{parts}.partial"
    partial.mkdir(parents=True)
    for name in ("parts.key", "train-00000.tfrecord", "train-00001.tfrecord.partial"):
        (partial / name).write_text("key")
    assert remove_leftovers(tmp_path) is None
    (tmp_path / "data" / output).mkdir()  # from DVC's cache: nothing goes on from the parts
    assert f"data/{parts}.partial" in str(remove_leftovers(tmp_path))


def test_parts_wait_no_longer_than_that(tmp_path):
    partial = tmp_path / "data" / "tfrecords.partial"
    partial.mkdir(parents=True)
    (partial / "parts.key").write_text("key")
    assert remove_leftovers(tmp_path) is None
    old = time.time() - 15 * 86_400
    os.utime(partial, (old, old))
    assert "data/tfrecords.partial" in str(remove_leftovers(tmp_path))
    assert not partial.exists()
