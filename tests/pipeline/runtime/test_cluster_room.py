"""How many tasks the nodes of a cluster have room for, by what Ray says of them."""

import math

import pytest

from pipeline.runtime.cluster_room import find_room
from pipeline.runtime.errors import PipelineError


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


def test_what_needs_no_gpu_has_room_on_all_nodes():
    nodes = make_nodes({"CPU": 64.0}, {"CPU": 8.0, "GPU": 4.0})
    assert find_room(nodes, 2, on_gpu=False) == (2, 36)
    assert find_room(nodes, 2, 2, on_gpu=False) == (2, 36)


def test_room_is_a_number_of_tasks():
    needs, room = find_room(make_nodes({"CPU": math.pi}), 2)
    assert (needs, room) == (2, 1)
    assert isinstance(room, int)
