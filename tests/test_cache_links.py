"""DVC's cache under links (.dvc/config): outputs are not on disk twice, and no stage writes to a linked output in place, which
would change the cache."""

import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.clone import make_clone, run, small_overrides

CACHE = Path(".dvc/cache/files/md5")
# Written by stages that need no TensorFlow; the rest of a run is for the slow test.
WITHOUT_TENSORFLOW = ("code", "check", "locate", "download", "prune", "split", "preprocess", "examine", "report")
FAMILY = "underfit"


@pytest.fixture(scope="module")
def clone(finished_clone: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished clone with a link into the cache for each cached output."""
    folder = finished_clone(tmp_path_factory.mktemp("links") / "clone")
    if "reflink" in run(["dvc", "doctor"], folder).partition("Cache types:")[2].partition("\n")[0]:
        pytest.skip(
            "this file system has reflinks, which can't be told from copies and protect the cache by themselves"
        )
    run(["dvc", "checkout", "--relink"], folder)
    return folder


def list_cache(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / CACHE).rglob("*") if path.is_file())


def find_damaged(folder: Path) -> list[Path]:
    """Files of the cache whose content has another MD5 than their name says."""
    files = list_cache(folder)
    assert files, "a run has filled the cache"
    return [file for file in files if hashlib.md5(file.read_bytes()).hexdigest() != _read_name(file)]


def _read_name(file: Path) -> str:
    return (file.parent.name + file.name).removesuffix(".dir")


def list_unlinked(folder: Path, *outputs: str) -> Iterator[str]:
    """Files of these outputs that are no links into the cache."""
    cached = {file.stat().st_ino for file in list_cache(folder)}
    for output in outputs:
        path = folder / output
        for file in path.rglob("*") if path.is_dir() else [path]:
            if file.is_file() and file.stat().st_size and file.stat().st_ino not in cached:
                yield file.relative_to(folder).as_posix()


def set_params(folder: Path, **values: object) -> None:
    """Two underscores are a dot: train__seed=1."""
    file = folder / "params.yaml"
    params = yaml.safe_load(file.read_text())
    for name, value in values.items():
        *path, last = name.split("__")
        section = params
        for part in path:
            section = section[part]
        section[last] = value
    file.write_text(yaml.safe_dump(params))


@pytest.mark.ci
def test_a_write_through_a_link_would_be_seen(clone: Path) -> None:
    output = clone / "data/splits.csv"
    content = output.read_bytes()
    output.chmod(0o644)
    try:
        output.write_bytes(b"changed")
        assert [file.stat().st_ino for file in find_damaged(clone)] == [output.stat().st_ino]
    finally:
        output.write_bytes(content)
        output.chmod(0o444)
    assert find_damaged(clone) == []


@pytest.mark.ci
def test_stages_run_by_hand_leave_the_cache_as_it_is(clone: Path) -> None:
    """DVC deletes a stage's outputs before it runs it; whoever runs it by hand leaves the links where they are."""
    # Other images and weights, so that whatever a stage writes differs from what is in the cache.
    set_params(clone, sources__scenes__seed=43, train__seed=43, families=[FAMILY])
    calls = "; ".join(f"from stages.{verb} import {verb}; {verb}()" for verb in WITHOUT_TENSORFLOW[:-1])
    run([sys.executable, "-c", calls], clone)
    for verb in ("embed", "train", "evaluate"):
        run([sys.executable, "-m", f"stages.{verb}", FAMILY], clone)
    run([sys.executable, "-m", "stages.report"], clone)
    assert find_damaged(clone) == []
    outputs = {"data/raw/images-00000.tar", f"models/{FAMILY}.keras", f"metrics/{FAMILY}/predictions.csv"}
    assert set(list_unlinked(clone, *outputs)) == outputs, "the stages replaced the links"
    run(["git", "checkout", "--quiet", "."], clone)
    run(["dvc", "checkout", "--force", "--relink"], clone)


@pytest.mark.ci
def test_what_a_run_writes_is_a_link_into_the_cache(clone: Path) -> None:
    """The data set, that is: of a file that the cache already held, DVC leaves a copy."""
    set_params(clone, preprocess__num_shards=2)
    run(["dvc", "repro", "preprocess"], clone)
    assert [file for file in list_unlinked(clone, "data/tfrecords") if file.endswith(".tfrecord")] == []
    assert find_damaged(clone) == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_cache_stays_whole_whatever_dvc_is_asked_for(tmp_path: Path) -> None:
    folder = make_clone(tmp_path / "clone")
    run(["dvc", "exp", "run", *small_overrides()], folder)
    run(["git", "add", "--all"], folder)
    run(["git", "commit", "--quiet", "-m", "results"], folder)
    first = run(["git", "rev-parse", "HEAD"], folder).strip()
    changes = (
        ["dvc", "exp", "run", "-S", "train.dropout=0.3"],
        ["dvc", "exp", "run", "--temp", "-S", "train.dropout=0.4"],
        ["dvc", "exp", "run", "--queue", "-S", "train.dropout=0.5"],
        ["dvc", "exp", "run", "--run-all"],
        ["dvc", "exp", "run", "-S", f"crossval.families=[{FAMILY}]", "-S", "crossval.folds=[1,2]"],
        ["dvc", "exp", "run", "-S", f"search.families=[{FAMILY}]", "-S", "search.trials=2"],
        ["dvc", "repro", "--force"],
        ["git", "checkout", "--quiet", "--force", first],
        ["dvc", "checkout", "--force"],
        ["dvc", "repro", "--force"],
    )
    for command in changes:
        run(command, folder)
        assert find_damaged(folder) == [], command
    assert "up to date" in run(["dvc", "status"], folder)
    names = run(["dvc", "exp", "list", "--name-only"], folder).split()
    assert len(names) == 5
    for name in names:
        run(["dvc", "exp", "apply", name], folder)
        assert find_damaged(folder) == [], name
