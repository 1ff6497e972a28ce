"""What a worker of a cluster does with a command, done in this process."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.runtime.cluster_command import (
    Command,
    check_packages,
    list_packages,
    read_variables,
    run_command,
    set_variables,
)
from pipeline.runtime.errors import PipelineError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "said.log"
    file.touch()
    return file


def run(text, log, **variables):
    return run_command(Command(text, str(log), read_variables() | variables))


@pytest.mark.parametrize(("text", "status"), [("true", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
def test_its_exit_status_is_what_a_shell_gives(log, text, status):
    assert run(text, log) == status


def test_all_that_it_says_is_in_the_file_after_the_name_of_the_node(log):
    run("echo out; echo 'err: é' >&2; printf half", log)
    assert log.read_text() == f"on {socket.gethostname()}\nout\nerr: é\nhalf"


def test_another_try_says_that_it_is_one(log):
    run("echo out", log)
    run("echo out", log)
    assert f"its worker was lost: again, on {socket.gethostname()}\nout\n" in log.read_text()


def test_without_the_file_of_whoever_waits_nothing_runs(log):
    log.unlink()
    with pytest.raises(FileNotFoundError):
        run("touch ran", log)
    assert list(log.parent.iterdir()) == []


def test_variables_are_those_beside_dvc_and_the_rest_is_the_nodes(log, monkeypatch):
    """Ray sets threads of its own, and a node may have what the user has not."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.setenv("IMAGE_PIPELINE_CACHE", "/of/the/node")
    variables = {"DVC_STAGE": "train@overfit", "OMP_NUM_THREADS": None, "TF_ENABLE_ONEDNN_OPTS": None}
    run('echo "$DVC_STAGE|$OMP_NUM_THREADS|$TF_ENABLE_ONEDNN_OPTS|$IMAGE_PIPELINE_CACHE"', log, **variables)
    assert log.read_text().splitlines()[1] == "train@overfit|||/of/the/node"


def test_variables_can_be_this_processs_own(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("DVC_STAGE", raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    set_variables({"DVC_STAGE": "search@overfit", "OMP_NUM_THREADS": None, "TF_ENABLE_ONEDNN_OPTS": None})
    assert os.environ["DVC_STAGE"] == "search@overfit"
    assert "OMP_NUM_THREADS" not in os.environ


def test_passwords_and_this_machines_places_stay_here(monkeypatch):
    for name in ("IMAGE_PIPELINE_PASSWORD", "AWS_SECRET_ACCESS_KEY", "HOME", "PATH", "CUDA_VISIBLE_DEVICES", "SHELL"):
        monkeypatch.setenv(name, "secret")
    assert "secret" not in read_variables().values()


def test_python_is_this_python(log):
    run("python -c 'import sys; print(sys.prefix)'", log)
    assert log.read_text().splitlines()[1] == sys.prefix


PARENT = """
import sys
from pipeline.runtime.cluster_command import Command, run_command
run_command(Command("python stage.py", "said.log", {"DVC_STAGE": "train@overfit"}))
"""
STAGE = """
import os, time
from pathlib import Path
from pipeline.runtime.lifetime import end_with_dvc
end_with_dvc()
Path("pid.partial").write_text(str(os.getpid()))
Path("pid.partial").rename("pid")
time.sleep(600)
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only where the kernel tells of an end")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_stage_ends_with_its_worker(log, number):
    (log.parent / "stage.py").write_text(STAGE)
    with subprocess.Popen([sys.executable, "-c", PARENT], env=os.environ | {"PYTHONPATH": str(ROOT)}) as parent:
        deadline = time.monotonic() + 60
        while not Path("pid").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        stage = psutil.Process(int(Path("pid").read_text()))
        parent.send_signal(number)
    assert not psutil.wait_procs([stage], timeout=60)[1]


def test_other_packages_are_named():
    check_packages(list_packages())
    with pytest.raises(PipelineError, match=r"has scikit-learn .*: expected 0.1, as beside DVC: install"):
        check_packages(list_packages() | {"scikit-learn": "0.1"})
    with pytest.raises(PipelineError, match=r"has no-such-package \(none\): expected 1.0"):
        check_packages({"no-such-package": "1.0"})
