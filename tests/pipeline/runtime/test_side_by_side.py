"""Stages at once, in small projects of their own whose stages are lines of Python."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.processes import num_cores
from pipeline.runtime.side_by_side import (
    Elsewhere,
    choose_workers,
    list_gpus,
    load_stages,
    run_stages,
    share_cores,
    share_gpus,
)
from tests.clone import commit, run

PYTHON = sys.executable
# Ends well only if the other one runs at the same time.
MEET = """
import sys, time
from pathlib import Path
mine, other = map(Path, sys.argv[1:])
mine.touch()
end = time.monotonic() + 60
while not other.exists():
    time.sleep(0.05)
    assert time.monotonic() < end, "nobody came"
"""
COPY = "import sys; from pathlib import Path; Path(sys.argv[2]).write_text(Path(sys.argv[1]).read_text() + 'x')"


@pytest.fixture
def make_project(tmp_path, monkeypatch):
    """Makes a repository with these stages, (deps, outs, command) by name, and goes there."""

    def make(**stages):
        folder = tmp_path / "project"
        folder.mkdir()
        (folder / "start").write_text("start")
        (folder / "append.py").write_text(COPY)
        (folder / "meet.py").write_text(MEET)
        content = {name: {"cmd": cmd, "deps": deps, "outs": outs} for name, (deps, outs, cmd) in stages.items()}
        (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": content}))
        run(["git", "init", "--quiet"], folder)
        run([PYTHON, "-m", "dvc", "init", "--quiet"], folder)
        commit(folder, "start")
        monkeypatch.chdir(folder)
        return folder

    return make


def copies(source, target):
    return [source], [target], f'"{PYTHON}" append.py {source} {target}'


def read_lock(folder):
    return yaml.safe_load((folder / "dvc.lock").read_text())


@pytest.mark.ci
def test_stages_that_do_not_depend_on_each_other_run_at_the_same_time(make_project, capsys):
    folder = make_project(
        first=copies("start", "a"),
        left=(["a"], ["b"], f'"{PYTHON}" meet.py b c'),
        right=(["a"], ["c"], f'"{PYTHON}" meet.py c b'),
        last=(["b", "c"], ["d"], f'"{PYTHON}" append.py b d'),
    )
    stages = load_stages()
    assert stages == {
        "first": frozenset(),
        "left": frozenset({"first"}),
        "right": frozenset({"first"}),
        "last": frozenset({"left", "right"}),
    }
    assert not run_stages(stages, 2).failed
    # Each line says whose it is; DVC's hints, of use once, are left out.
    said = capsys.readouterr().err.splitlines()
    assert {line.partition(": ")[0] for line in said} == set(stages)
    assert not [line for line in said if "git add" in line]
    # DVC itself finds nothing to do.
    assert "up to date" in run([PYTHON, "-m", "dvc", "status"], folder)


@pytest.mark.ci
def test_outputs_and_lock_are_those_of_dvc_repro(make_project):
    branches = {f"branch{number}": copies("a", f"b{number}") for number in range(3)}
    folder = make_project(first=copies("start", "a"), **branches)
    run([PYTHON, "-m", "dvc", "repro"], folder)
    alone = read_lock(folder)
    for name in ("dvc.lock", "a", "b0", "b1", "b2"):
        (folder / name).unlink()
    run([PYTHON, "-m", "dvc", "gc", "--workspace", "--force"], folder)
    assert not run_stages(load_stages(), 3).failed
    assert read_lock(folder) == alone
    assert (folder / "b1").read_text() == "startxx"


@pytest.mark.ci
def test_after_a_failure_what_runs_is_awaited_and_no_other_stage_begins(make_project, capsys):
    folder = make_project(
        good=(["start"], ["a"], f'"{PYTHON}" meet.py a failing'),
        bad=(["start"], ["b"], f'"{PYTHON}" meet.py failing a && "{PYTHON}" -c \'raise SystemExit(3)\''),
        later=copies("a", "c"),
        never=copies("b", "d"),
    )
    outcome = run_stages(load_stages(), 2)
    assert outcome.failed == ["bad"]
    assert "never" in outcome.left
    assert "good" not in outcome.left
    assert "bad: ERROR: failed to reproduce 'bad'" in capsys.readouterr().err
    # Once mended, what has ended is not run again.
    text = (folder / "dvc.yaml").read_text()
    (folder / "dvc.yaml").write_text(text.replace("raise SystemExit(3)", 'open("b", "w")'))
    assert not run_stages(load_stages(), 2).failed
    assert "good: Stage 'good' didn't change, skipping" in capsys.readouterr().err
    assert (folder / "d").read_text() == "x"


@pytest.mark.ci
def test_a_worker_that_is_killed_fails_its_stage_alone(make_project):
    folder = make_project(killed=(["start"], ["a"], f'"{PYTHON}" kill.py'), good=copies("start", "b"))
    kill = "import os, psutil, signal; p = psutil.Process()\n"
    kill += "while 'stage_worker' not in ' '.join(p.cmdline()): p = p.parent()\n"
    (folder / "kill.py").write_text(f"{kill}p.send_signal(signal.SIGKILL)")
    assert run_stages(load_stages(), 2).failed == ["killed"]
    assert (folder / "b").exists()


@pytest.mark.ci
def test_what_runs_elsewhere_is_given_to_its_shell_and_the_others_take_turns_here(make_project, tmp_path):
    turn = "mkdir turn && sleep 0.5 && rmdir turn && cp start"  # fails if another one has it
    folder = make_project(
        train=(["start"], ["a"], f'"{PYTHON}" meet.py a b'),
        evaluate=(["start"], ["b"], f'"{PYTHON}" meet.py b a'),
        one=(["start"], ["c"], f"{turn} c"),
        two=(["start"], ["d"], f"{turn} d"),
    )
    shell = tmp_path / "shell"
    shell.write_text('#!/bin/sh\necho "$DVC_STAGE" >> sent\nexec /bin/sh "$@"\n')
    shell.chmod(0o755)
    assert not run_stages(load_stages(), 4, Elsewhere(("train", "evaluate"), shell, room=4, here=1)).failed
    assert sorted((folder / "sent").read_text().split()) == ["evaluate", "train"]
    assert "up to date" in run([PYTHON, "-m", "dvc", "status"], folder)


def test_targets_bring_what_they_depend_on_and_nothing_else(make_project):
    make_project(first=copies("start", "a"), left=copies("a", "b"), right=copies("a", "c"))
    assert set(load_stages(["left"])) == {"first", "left"}


@pytest.mark.ci
def test_nothing_runs_on_when_the_run_is_killed(make_project):
    folder = make_project(
        slow=(["start"], ["a"], f'"{PYTHON}" meet.py began never'), waiting=(["a"], ["b"], f'"{PYTHON}" append.py a b')
    )
    call = "from pipeline.runtime.side_by_side import *; run_stages(load_stages(), 2)"
    process = subprocess.Popen([PYTHON, "-c", call], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_for(lambda: (folder / "began").exists())
    below = psutil.Process(process.pid).children(recursive=True)
    worker = next(child for child in below if "stage_worker" in " ".join(child.cmdline()))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _wait_for(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


def _wait_for(happens):
    end = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_share_the_cores(workers):
    shares = [share_cores(number, workers) for number in range(workers)]
    assert all(shares)
    if workers <= num_cores():
        assert sorted(core for share in shares for core in share) == sorted(os.sched_getaffinity(0))


def test_workers_share_the_gpus_that_are_allowed(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert [share_gpus(number) for number in range(3)] == ["2", "5", "2"]
    assert choose_workers(threads=2) == 2


def test_a_training_on_several_gpus_runs_alone(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert choose_workers(threads=2, devices=2) == choose_workers(threads=2, devices="all") == 1
    assert choose_workers(threads=2, devices=2, asked=1) == 1
    assert choose_workers(threads=2, devices="all", asked=2) == 2  # each has all that it sees: one
    with pytest.raises(
        PipelineError, match=r"^-j 2: each of several stages at a time sees one GPU, but runtime\.devices is 2"
    ):
        choose_workers(threads=2, devices=2, asked=2)


def test_parts_of_a_processor_are_no_matter_of_other_stages(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert choose_workers(threads=1024, devices=2) == 1
    assert choose_workers(threads=1, devices=2, asked=3) == 3


@pytest.mark.parametrize("allowed", ["", "-1"])
def test_where_no_gpu_is_allowed_cores_count(monkeypatch, allowed):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    assert list_gpus() == []
    assert share_gpus(0) is None
    assert choose_workers(threads=1) == num_cores()
    assert choose_workers(threads=1024) == 1


def test_without_a_word_of_the_user_the_driver_says_which_gpus_there_are(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list_gpus() == []
    driver = Path(tmp_path / "nvidia-smi")
    driver.write_text('#!/bin/sh\n[ "$1" = --query-gpu=index ] && printf "0\\n1\\n"\n')
    driver.chmod(0o755)
    assert list_gpus() == ["0", "1"]
    driver.write_text("#!/bin/sh\nexit 9\n")
    assert list_gpus() == []
