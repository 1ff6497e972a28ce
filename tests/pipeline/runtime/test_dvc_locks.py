"""What DVC's lock files become again after it was killed while it wrote them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import yaml

from pipeline.runtime.dvc_locks import find_mended, mend_here, mend_locks
from pipeline.runtime.errors import PipelineError
from tests.clone import commit, run

LOCK = Path("dvc.lock")
HEAD = "schema: '2.0'\nstages:\n"


def describe_stage(name: str, digest: str = "a") -> str:
    """As DVC writes it."""
    return (
        f"  {name}:\n    cmd: python -m stages.{name}\n    deps:\n    - path: data/in\n      hash: md5\n"
        f"      md5: {digest * 32}.dir\n      size: 4\n      nfiles: 1\n    params:\n      params.yaml:\n        split:\n"
        f"          seed: 1\n    outs:\n    - path: data/{name}\n      hash: md5\n      md5: {digest * 32}\n      size: 4\n"
    )


BEFORE = HEAD + "".join(map(describe_stage, ("code", "check", "train@a", "train@b", "report")))
# The same project after a run in which two stages gave something else, and one was new.
AFTER = HEAD + "".join(
    describe_stage(name, digest)
    for name, digest in [
        ("code", "b"),
        ("check", "b"),
        ("train@a", "a"),
        ("train@b", "a"),
        ("report", "b"),
        ("new", "b"),
    ]
)


# Around the ends of lines, and some in between.
CUTS = sorted(
    {end + shift for end, letter in enumerate(AFTER) if letter == "\n" for shift in (-6, -1, 0, 1)} - {-6, -1}
)


@cache
def stages_of(text: str) -> dict:
    return yaml.load(text, yaml.CSafeLoader)["stages"]


@cache
def is_valid(text: str) -> bool:
    """What DVC itself says."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA

    COMPILED_LOCKFILE_SCHEMA(yaml.load(text, yaml.CSafeLoader))
    return True


@pytest.mark.parametrize("text", [BEFORE, AFTER])
@pytest.mark.parametrize("committed", [BEFORE, None])
def test_a_whole_file_is_left_alone(text, committed):
    assert find_mended(LOCK, text, committed) is None


def test_cut_anywhere_it_is_whole_again_and_has_every_stage_in_order():
    after, before = stages_of(AFTER), stages_of(BEFORE)
    for end in CUTS:
        mended = find_mended(LOCK, AFTER[:end], BEFORE)
        content, kept = mended or (AFTER[:end], 0)
        assert is_valid(content)
        found = stages_of(content)
        assert list(found)[: len(before)] == list(before), "in DVC's order"
        if mended is None:  # the end of a line: DVC runs the stage whose entry is short, as it differs
            assert all(found[name] in (after[name], before.get(name)) for name in list(found)[:-1])
            continue
        expected = {**before, **dict(list(after.items())[:kept])}
        assert found == expected


def test_cut_anywhere_without_a_commit_the_stages_before_the_cut_are_kept():
    for end in CUTS:
        mended = find_mended(LOCK, AFTER[:end], None)
        if mended is None:
            continue
        content, kept = mended
        assert AFTER.startswith(content)
        assert content.count("cmd:") == kept


def test_the_lock_of_this_project_is_whole_and_is_mended_wherever_it_is_cut():
    text = Path("dvc.lock").read_text()
    assert find_mended(LOCK, text, text) is None
    assert find_mended(LOCK, text, None) is None
    for end in range(0, len(text), len(text) // 40):
        mended = find_mended(LOCK, text[:end], text)
        assert mended is None or mended[0] == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "\0" * 4096,
        AFTER[:300] + "\0" * 200,
        "schema: '2.0'\n",
        HEAD,
        "schema: '2.0'\nstages: {}\n\x01",
        "no lock\n",
        "- a list\n",
        "schema: '1.0'\nstages: {}\n",
        HEAD + "  code: 1\n",
        HEAD + "  code:\n    deps: []\n",
        HEAD + "  code:\n    cmd: x\n    outs: 1\n",
        HEAD + "  code:\n    cmd: x\n    deps:\n    - md5: 1\n",
        HEAD + "  code:\n    cmd: x\n    params: []\n",
        HEAD + "  code:\n    cmd: x\n    deps:\n    - path: a\n      md5: 0\n",
        HEAD + "  code:\n    cmd: x\n    when: now\n",
    ],
)
def test_what_dvc_could_not_read_becomes_what_is_committed(text):
    assert find_mended(LOCK, text, BEFORE) == (BEFORE, 0)
    assert find_mended(LOCK, text, None) == ("", 0)


def test_both_sides_of_a_merge_are_a_persons_to_decide():
    text = BEFORE.replace("      size: 4\n", "<<<<<<< HEAD\n      size: 4\n=======\n      size: 5\n>>>>>>> other\n", 1)
    with pytest.raises(PipelineError, match=r"^dvc.lock has both sides of a git merge: .*git checkout --ours dvc.lock"):
        find_mended(LOCK, text, BEFORE)


@pytest.mark.parametrize(
    "text",
    [
        BEFORE.replace("\n", "\r\n"),
        BEFORE + "datasets: []\n",
        "# a note\n" + BEFORE,
        HEAD + describe_stage("other"),  # another commit's
        HEAD + describe_stage("code") + describe_stage("report"),  # somebody took lines out
    ],
)
def test_what_somebody_wrote_and_dvc_can_read_is_left_alone(text):
    committed = BEFORE if "other" not in text else HEAD + describe_stage("code") + describe_stage("other")
    assert find_mended(LOCK, text, committed) is None


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With both lock files committed, in which the test is."""
    (tmp_path / "data" / "watch").mkdir(parents=True)
    for lock in ("dvc.lock", "data/watch/dvc.lock"):
        (tmp_path / lock).write_text(BEFORE)
    run(["git", "init", "--quiet"], tmp_path)
    commit(tmp_path, "start")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    return tmp_path


@pytest.mark.parametrize("lock", ["dvc.lock", "data/watch/dvc.lock"])
def test_a_cut_file_is_mended_from_git_in_one_line(repository, lock, caplog):
    file = repository / lock
    file.write_text(AFTER[: AFTER.index("  report:")])
    file.chmod(0o664)
    mend_here()
    assert caplog.messages == [
        f"{lock} was left half-written, as by a DVC that is killed: mended; 3 stage(s) as in it, the others as committed"
    ]
    assert file.read_text() == HEAD + "".join(
        describe_stage(name, digest)
        for name, digest in [("code", "b"), ("check", "b"), ("train@a", "a"), ("train@b", "a"), ("report", "a")]
    )
    assert file.stat().st_mode & 0o777 == 0o664
    assert mend_locks(repository) == []
    assert sorted(path.name for path in (repository / "data" / "watch").iterdir()) == ["dvc.lock"]


def test_an_older_one_that_was_brought_back_is_left_alone(repository):
    (repository / "dvc.lock").write_text(AFTER)
    commit(repository, "one stage more")
    run(["git", "checkout", "--quiet", "HEAD~1", "--", "dvc.lock"], repository)
    assert mend_locks(repository) == []
    assert (repository / "dvc.lock").read_text() == BEFORE


def test_a_file_of_which_nothing_is_known_is_removed_and_dvc_begins_anew(repository):
    (repository / "dvc.lock").unlink()
    commit(repository, "none")
    (repository / "dvc.lock").write_text("")
    assert mend_locks(repository) == [
        "dvc.lock was left half-written, as by a DVC that is killed: mended; 0 stage(s) as in it, the others are lost"
    ]
    assert not (repository / "dvc.lock").exists()
    assert mend_locks(repository) == []


def test_a_stage_that_dvc_runs_leaves_the_files_of_that_dvc_alone(repository, monkeypatch):
    (repository / "dvc.lock").write_text("")
    monkeypatch.setenv("DVC_STAGE", "check")
    assert mend_locks(repository) == []
    assert (repository / "dvc.lock").read_text() == ""


def test_a_dvc_that_is_writing_is_waited_for(repository, monkeypatch):
    from zc.lockfile import LockFile

    monkeypatch.setattr("pipeline.runtime.dvc_locks._PATIENCE", 0.1)
    (repository / "dvc.lock").write_text("")
    (repository / ".dvc" / "tmp").mkdir(parents=True)
    busy = LockFile(str(repository / ".dvc" / "tmp" / "lock"))
    with pytest.raises(PipelineError, match="another DVC is at work in this project"):
        mend_locks(repository)
    busy.close()
    assert len(mend_locks(repository)) == 1


def has_pid(pid: int) -> dict:
    return {"pid": pid, "cmd": "dvc repro"}


@pytest.fixture
def rwlock(repository: Path) -> Callable[[str | dict], Path]:
    """Writes .dvc/tmp/rwlock."""

    def write(content: str | dict) -> Path:
        file = repository / ".dvc" / "tmp" / "rwlock"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return file

    return write


@pytest.mark.parametrize(
    "content",
    ["", "{", "\0\0\0", "[]", "1", '{"write": 1}', '{"read": {"a": 1}}', '{"write": {"a": {"pid": 1}}}', '{"x": {}}'],
)
def test_a_damaged_rwlock_is_emptied(repository, rwlock, content):
    file = rwlock(content)
    assert mend_locks(repository) == [".dvc/tmp/rwlock, in which DVC notes who uses which file, was damaged: mended"]
    assert json.loads(file.read_text()) == {"read": {}, "write": {}}
    assert mend_locks(repository) == []


def test_the_list_of_experiments_is_mended_too(repository):
    file = repository / ".dvc" / "tmp" / "exps" / "rwlock"
    file.parent.mkdir(parents=True)
    file.touch()
    assert mend_locks(repository) == [
        ".dvc/tmp/exps/rwlock, in which DVC notes who uses which file, was damaged: mended"
    ]


def test_only_the_entries_of_dead_processes_are_removed(repository, rwlock):
    dead, living, later = (
        4_194_300,
        os.getpid(),
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE),
    )
    file = rwlock(
        {
            "write": {"/a": has_pid(dead), "/b": has_pid(living), "/c": has_pid(later.pid)},
            "read": {"/d": [has_pid(dead), has_pid(living)], "/e": [has_pid(dead)]},
        }
    )
    now = time.time()
    os.utime(file, (now - 60, now - 60))  # before that process began, so that its number was another one's then
    with later:
        said = mend_locks(repository)
        later.communicate(b"\n")
    assert said[0].startswith(
        ".dvc/tmp/rwlock, in which DVC notes who uses which file, named processes that have ended ("
    )
    content = json.loads(file.read_text())
    assert "/a" not in content["write"]
    assert "/c" not in content["write"]
    assert "/e" not in content["read"]


def test_entries_of_living_processes_stay(repository, rwlock):
    content = {"write": {"/b": has_pid(os.getpid())}, "read": {}}
    file = rwlock(content)
    assert mend_locks(repository) == []
    assert json.loads(file.read_text()) == content


def test_a_project_without_lock_files_needs_nothing(tmp_path):
    assert mend_locks(tmp_path) == []
