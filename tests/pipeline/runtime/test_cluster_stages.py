"""Which stages a cluster is given, and by what DVC has it run them. Ray itself: tests/test_clusters.py."""

import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.runtime.cluster_stages import VERBS, open_elsewhere, write_shell
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.side_by_side import Elsewhere


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"})
    monkeypatch.chdir(tmp_path)


def test_without_a_cluster_all_stages_run_here(caplog):
    caplog.set_level(logging.INFO)
    os.environ["RAY_ADDRESS"] = "10.0.0.1:6379"
    with open_elsewhere("local", None, 2) as elsewhere:
        assert elsewhere is None
    assert caplog.messages == []


def test_without_an_address_they_do_too_and_one_line_says_so(caplog):
    caplog.set_level(logging.INFO)
    with open_elsewhere("ray", None, 2) as elsewhere:
        assert elsewhere is None
    assert caplog.messages == [
        "train, evaluate, crossval run on this machine: runtime.cluster is ray, but neither runtime.ray_address nor "
        "RAY_ADDRESS says where"
    ]
    assert list(Path().iterdir()) == []


@pytest.mark.ci  # Ray's import takes a second
def test_where_nobody_answers_one_line_says_so_and_nothing_is_left():
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(PipelineError, match=f"{address}, is out of reach"):
        open_elsewhere("ray", address, 2).__enter__()
    assert list(Path().rglob("*")) == []


@pytest.mark.parametrize(
    ("stage", "is_sent"),
    [
        ("train@overfit", True),
        ("evaluate@efficientnet_lite0", True),
        ("crossval@overfit-3", True),
        ("search@overfit", False),  # its trials are, by itself
        ("embed@overfit", False),
        ("average@overfit", False),
        ("report", False),
        ("data/watch/dvc.yaml:watch@train", False),
    ],
)
def test_what_trains_or_measures_a_model_is_sent(stage, is_sent):
    assert Elsewhere(VERBS, Path("shell"), room=1, here=1).has(stage) == is_sent


def test_the_shell_hands_on_what_dvc_says_as_it_is(tmp_path):
    """Whatever folder it is in, and however long the path of Python."""
    folder = tmp_path / "it's my cluster" / ("x" * 100) / ("y" * 100)
    folder.mkdir(parents=True)
    write_shell(folder / "shell", [sys.executable, "-c", "import sys; print(sys.argv[1:])", "$HOME", "a b"])
    command = "python -m stages.train && echo \"$DVC_STAGE\" '*'"
    done = subprocess.run([folder / "shell", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == f"{['$HOME', 'a b', '-c', command]}\n"


def test_a_shell_that_ends_says_how(tmp_path):
    write_shell(tmp_path / "shell", [sys.executable, "-c", "raise SystemExit(7)"])
    assert subprocess.run([tmp_path / "shell", "-c", "true"], check=False).returncode == 7
