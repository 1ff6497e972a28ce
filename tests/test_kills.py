"""Whatever kills a run, and whenever: `dvc repro` ends in the bytes of an undisturbed run, or says in one line what to do.

`make test-kill` kills 200 times (KILLS= how often, KILLS_SEED= which) and fills the disk 20 times, which takes an hour. CI
kills 12 times.
"""

import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kills import Victim, draw_kill

_SEED = int(os.environ.get("KILLS_SEED", "16"))
_FULL = 20
_FEW = 12
_MANY = int(os.environ.get("KILLS", "200"))


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Victim:
    return Victim(tmp_path_factory.mktemp("kills") / "project")


@pytest.mark.kill
@pytest.mark.timeout(14_400)
def test_a_run_that_is_killed_comes_back_to_the_same_bytes(victim: Victim, capsys) -> None:
    kill_many(victim, _MANY, capsys)


@pytest.mark.ci
def test_twelve_kills_leave_no_trace(finished_clone: Callable[[Path], Path], tmp_path: Path, capsys) -> None:
    kill_many(Victim(tmp_path / "project", finished_clone), _FEW, capsys)


def kill_many(victim: Victim, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Kills, runs again and compares, so many times."""
    generator, stages, counts, faults = random.Random(_SEED), victim.stages, Counter(), []
    while counts["killed"] < count:
        kill = draw_kill(generator, stages)
        if not victim.strike(kill):
            counts["too late"] += 1  # it ended before the signal
            continue
        counts["killed"] += 1
        counts[kill.signal.name] += 1
        counts[kill.target] += 1
        counts["after the stage's end"] += kill.afterwards
        difference, output = victim.recover()
        counts["mended"] += "mended" in output
        if difference is not None:
            faults.append(f"{kill}: {difference}: {output[-600:]}")
            victim.run()
        with capsys.disabled():
            print(f"{counts['killed']}/{count} {kill}: {difference or 'as undisturbed'}", flush=True)
    with capsys.disabled():
        print(f"{count - len(faults)} of {count} kills left no trace: {dict(counts)}")
    assert faults == []


class Disk:
    """A small one of its own, in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def leave(self, free: int | None) -> None:
        """That many bytes free; None: plenty."""
        room = 2_000_000_000 if free is None else shutil.disk_usage(self.folder).used + free
        self.mount(f"remount,size={room // 1024}k")

    def mount(self, options: str) -> None:
        """Raises CalledProcessError where this user may not."""
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "disk")
    disk.folder.mkdir()
    try:
        disk.mount("size=2g")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user may not mount a small disk")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk.folder)], check=True)


def run_dvc(victim: Victim, *arguments: str, **options: object) -> tuple[int, list[str]]:
    """(Exit status, the lines of advice or refusal.)"""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path} | victim.environment
    command = ["dvc", *arguments]
    done = subprocess.run(
        command, cwd=victim.folder, env=environment, capture_output=True, text=True, check=False, **options
    )
    return done.returncode, [line for line in done.stderr.splitlines() if line.lower().startswith("error")]


@pytest.mark.kill
@pytest.mark.timeout(7_200)
def test_a_disk_that_is_full_at_any_point_is_said_and_costs_nothing(victim: Victim, disk: Disk, capsys) -> None:
    generator, counts, faults = random.Random(_SEED), Counter(), []
    here = victim.copy(disk.folder / "project")
    while counts["full"] < _FULL:
        stage = generator.choice(here.stages)
        free = int(generator.random() ** 2 * (here.measure(stage) + 200_000))
        here.forget_runs()
        disk.leave(free)
        status, lines = run_dvc(here, "repro", "--force", "--single-item", stage)
        disk.leave(None)
        if not status:
            counts["enough room"] += 1
            continue
        counts["full"] += 1
        if not any(line.startswith("error: the disk is full") for line in lines):
            faults.append(f"{stage} with {free} bytes: {lines}")
        difference, output = here.recover()
        if difference is not None:
            faults.append(f"{stage} with {free} bytes: {difference}: {output[-600:]}")
            here.run()
        with capsys.disabled():
            print(f"{counts['full']}/{_FULL} {stage} with {free:,} bytes: {difference or 'as undisturbed'}", flush=True)
    with capsys.disabled():
        print(f"{_FULL - len(faults)} of {_FULL} full disks said so and left no trace: {dict(counts)}")
    assert faults == []


@pytest.mark.kill
@pytest.mark.parametrize("stage", ["split", "train@linear_svm"])
def test_a_disk_that_can_only_be_read_is_said(victim: Victim, disk: Disk, stage: str) -> None:
    here = victim.copy(disk.folder / "project")
    disk.mount("remount,ro")
    status, lines = run_dvc(here, "repro", "--force", "--single-item", stage)
    disk.mount("remount,rw")
    assert status
    assert lines[-1].startswith("error: no permission")
    assert "read-only" in lines[-1]
    assert here.recover()[0] is None


@pytest.mark.kill
@pytest.mark.parametrize("megabytes", [150, 400, 700, 1200])
def test_too_little_memory_is_said_and_costs_nothing(victim: Victim, megabytes: int) -> None:
    """TensorFlow ends itself where it gets none."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))

    victim.forget_runs()
    status, lines = run_dvc(victim, "repro", "--force", "--single-item", "train@underfit", preexec_fn=limit)
    assert status
    assert lines, "one line at least"
    assert victim.recover()[0] is None


@pytest.mark.kill
def test_files_from_the_future_change_nothing(victim: Victim) -> None:
    """As after the clock was set back."""
    later = time.time() + 86_400
    for name in ("data/tfrecords", "data/raw", "models", "metrics"):
        for file in (victim.folder / name).rglob("*"):
            os.utime(file, (later, later))
    os.utime(victim.folder / ".dvc" / "tmp" / "rwlock", (later, later))
    assert victim.recover()[0] is None


@pytest.mark.kill
def test_two_at_once_end_in_the_same_bytes_or_one_says_that_the_other_runs(victim: Victim) -> None:
    victim.forget_runs()
    logs = [victim.folder.parent / f"{number}.log" for number in (1, 2)]
    both = [victim.start("repro", "--force", "--single-item", "train@linear_svm", log=log) for log in logs]
    statuses = [started.wait(600) for started in both]
    assert 0 in statuses
    for status, log in zip(statuses, logs, strict=True):
        assert status == 0 or "lock" in log.read_text() or "busy" in log.read_text()
    assert victim.recover()[0] is None


@pytest.mark.kill
@pytest.mark.parametrize("content", ["", "{", '{"write": {"/": {"pid": 4194300, "cmd": "dvc repro"}}}'])
def test_locks_of_dead_processes_stop_nobody(victim: Victim, content: str) -> None:
    (victim.folder / ".dvc" / "tmp" / "rwlock").write_text(content)
    (victim.folder / ".dvc" / "tmp" / "lock").write_text(" 4194300\n")
    difference, output = victim.recover()
    assert difference is None
    assert ".dvc/tmp/rwlock" in output


@pytest.mark.kill
def test_a_lock_that_is_cut_anywhere_comes_back(victim: Victim) -> None:
    file, generator = victim.folder / "dvc.lock", random.Random(_SEED)
    for end in [0, 1, *sorted(generator.randrange(len(victim.lock)) for _ in range(8))]:
        file.write_bytes(victim.lock[:end])
        difference, output = victim.recover()
        assert difference is None
        assert "mended" in output
    file.write_bytes(bytes(len(victim.lock)))
    assert victim.recover()[0] is None
