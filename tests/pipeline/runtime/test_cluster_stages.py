"""Which stages a cluster is given, and by what DVC has it run them. Ray itself: tests/test_clusters.py."""

import logging
import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.runtime.cluster_stages import VERBS, find_room, open_elsewhere, write_shell
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
        "train, evaluate, crossval, search run on this machine: runtime.cluster is ray, but neither runtime.ray_address nor "
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
        ("search@overfit", True),
        ("embed@overfit", False),
        ("average@overfit", False),
        ("report", False),
        ("data/watch/dvc.yaml:watch@train", False),
    ],
)
def test_what_trains_or_measures_a_model_is_sent(stage, is_sent):
    assert Elsewhere(VERBS, Path("shell"), room=1, here=1).has(stage) == is_sent


def make_nodes(*resources):
    return [{"Alive": True, "Resources": each} for each in resources]


@pytest.mark.parametrize(
    ("nodes", "threads", "needs", "room"),
    [
        (make_nodes({}, {"CPU": 16.0}, {"CPU": 16.0}), 2, 2, 16),
        (make_nodes({"CPU": 3.0}, {"CPU": 5.0}), 2, 2, 3),
        (make_nodes({}, {"CPU": 1.0}, {"CPU": 1.0}), 2, 1, 2),  # no node has two: as many as there are
        (make_nodes({"CPU": 64.0}, {"CPU": 8.0, "GPU": 4.0}, {"CPU": 2.0, "GPU": 4.0}), 2, 2, 5),
        (make_nodes({"CPU": 64.0}, {"CPU": 4.0, "GPU": 1.0}), 8, 4, 1),  # no more than the nodes with GPUs have
        (make_nodes({}), 2, 1, 1),  # nodes may come
        ([{"Alive": False, "Resources": {"CPU": 64.0}}, *make_nodes({"CPU": 4.0})], 4, 4, 1),
    ],
)
def test_there_is_room_for_as_many_as_have_their_processors_and_a_gpu(nodes, threads, needs, room):
    assert find_room(nodes, threads) == (needs, room)


def test_a_training_on_several_gpus_is_refused_where_each_stage_is_given_one():
    nodes = make_nodes({"CPU": 8.0, "GPU": 4.0})
    with pytest.raises(PipelineError, match=r"^runtime\.devices 2: a stage on the cluster is given one GPU"):
        find_room(nodes, 2, 2)
    assert find_room(nodes, 2, "all") == (2, 4)
    assert find_room(make_nodes({"CPU": 8.0}), 2, 2) == (2, 4), "parts of a processor"


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


def test_room_is_a_number_of_stages():
    needs, room = find_room(make_nodes({"CPU": math.pi}), 2)
    assert (needs, room) == (2, 1)
    assert isinstance(room, int)
