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
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.experiment_kills import ENDS_OF_TEMPORARY, ENDS_OF_WORKERS, Experiments, draw_experiment_kills
from tests.kills import Tally, Victim, draw_kill

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
    generator, stages, tally = random.Random(_SEED), victim.stages, Tally(count, capsys)
    while tally.done < count:
        kill = draw_kill(generator, stages)
        if not victim.strike(kill):
            tally.counts["too late"] += 1  # it ended before the signal
            continue
        tally.counts.update([kill.signal.name, kill.target])
        tally.counts["after the stage's end"] += kill.afterwards
        tally.note(kill, tally.recover(victim))
    tally.close("kills")


@pytest.fixture(scope="module")
def experiments(victim: Victim) -> Experiments:
    return Experiments(victim)


@pytest.mark.kill
@pytest.mark.timeout(7_200)
def test_an_experiment_of_the_queue_whose_worker_is_killed_is_finished_by_the_next_worker(
    victim: Victim, experiments: Experiments, capsys
) -> None:
    kills = draw_experiment_kills(random.Random(_SEED), ENDS_OF_WORKERS)
    tally = Tally(len(kills), capsys)
    for kill in kills:
        name = f"queued-{tally.done}"
        experiments.queue(name)
        assert experiments.strike(kill), "it ended before the signal"
        recovered = tally.recover(victim)
        if experiments.find_tree(name) is None:  # a worker that is asked to end (SIGTERM) ends with its experiment
            tally.counts["queued again"] += 1
            experiments.start_worker()
            experiments.wait()
        tally.note(kill, recovered, experiments.find_left_over(), experiments.find_difference(name))
    tally.close("kills of the queue")


@pytest.mark.kill
@pytest.mark.timeout(7_200)
def test_an_experiment_beside_the_workspace_that_is_killed_leaves_nothing_and_runs_again(
    victim: Victim, experiments: Experiments, capsys
) -> None:
    kills = draw_experiment_kills(random.Random(_SEED), ENDS_OF_TEMPORARY)
    tally = Tally(len(kills), capsys)
    for kill in kills:
        name = f"temporary-{tally.done}"
        started = experiments.start_temporary(name)
        assert experiments.strike(kill), "it ended before the signal"
        started.wait()
        recovered, left = tally.recover(victim), experiments.find_left_over()
        if experiments.find_tree(name) is None:  # SIGINT is ignored where the tests run behind a shell's &
            tally.counts["run again"] += 1
            experiments.start_temporary(name).wait()
        tally.note(kill, recovered, left, experiments.find_difference(name))
    tally.close("kills of --temp")


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
    generator, tally = random.Random(_SEED), Tally(_FULL, capsys)
    here = victim.copy(disk.folder / "project")
    while tally.done < _FULL:
        stage = generator.choice(here.stages)
        free = int(generator.random() ** 2 * (here.measure(stage) + 200_000))
        here.forget_runs()
        disk.leave(free)
        status, lines = run_dvc(here, "repro", "--force", "--single-item", stage)
        disk.leave(None)
        if not status:
            tally.counts["enough room"] += 1
            continue
        said = any(line.startswith("error: the disk is full") for line in lines)
        tally.note(f"{stage} with {free:,} bytes", None if said else f"not said: {lines}", tally.recover(here))
    tally.close("full disks")


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
