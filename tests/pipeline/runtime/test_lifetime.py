"""Stages that end with the DVC that started them, and processes that have ended."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.runtime.lifetime import DVC_PID, has_ended, is_at_work

ROOT = Path(__file__).resolve().parents[3]
STAGE = """
from pipeline.runtime.lifetime import end_with_dvc
import time
end_with_dvc()
print("begun", flush=True)
time.sleep(60)
"""
PARENT = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]]).wait()"


def start(**environment: str) -> subprocess.Popen[str]:
    """A process that waits for a stage, which has begun."""
    started = subprocess.Popen(
        [sys.executable, "-c", PARENT, STAGE],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "DVC_STAGE"} | environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "begun\n"
    return started


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="Linux only")
def test_a_stage_ends_when_the_dvc_that_started_it_is_killed():
    with start(DVC_STAGE="train@underfit") as started:
        started.kill()
        assert started.stdout is not None
        assert started.stdout.read() == "", "the stage, which holds the other end, has ended"


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="Linux only")
def test_a_stage_whose_dvc_was_killed_before_the_stage_had_begun_ends():
    with subprocess.Popen([sys.executable, "-c", ""]) as dvc:
        dvc.wait()
    environment = os.environ | {"DVC_STAGE": "train@underfit", DVC_PID: str(dvc.pid)}
    done = subprocess.run([sys.executable, "-c", STAGE], cwd=ROOT, env=environment, check=False, timeout=30)
    assert done.returncode == 143


def test_a_verb_that_somebody_started_goes_on_without_its_terminal():
    import psutil

    with start() as started:
        [stage] = psutil.Process(started.pid).children()
        started.kill()
        started.wait()
        time.sleep(0.2)
        assert stage.is_running()
        stage.kill()


def test_a_number_that_belongs_to_nobody_or_to_a_later_process_has_ended():
    now = time.time()
    assert not has_ended(os.getpid(), now)
    assert has_ended(os.getpid(), 1_000_000.0), "long before this process began"
    assert has_ended(4_194_300, now)


def test_a_killed_process_that_nobody_waits_for_has_ended():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as killed:
        killed.kill()
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)  # a zombie, as in a container without init
        assert has_ended(killed.pid, time.time())


def test_a_stage_at_work_in_the_folder_is_seen_and_others_are_not(tmp_path):
    (tmp_path / "project" / "sub").mkdir(parents=True)
    command = [sys.executable, "-c", "input() # stages.train"]
    with subprocess.Popen(command, cwd=tmp_path / "project" / "sub", stdin=subprocess.PIPE) as stage:
        assert is_at_work(tmp_path / "project")
        assert not is_at_work(tmp_path / "other")
        stage.communicate(b"\n")
    assert not is_at_work(tmp_path / "project")
