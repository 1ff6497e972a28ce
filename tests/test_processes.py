import math
import os
from collections.abc import Iterator
from itertools import count, islice

import pytest

from stages.processes import in_chunks, map_in_order, num_cores


@pytest.mark.parametrize("num_workers", [1, 2])
def test_results_come_in_the_order_of_the_tasks(num_workers):
    tasks = list(range(40))
    assert list(map_in_order(math.factorial, tasks, num_workers)) == [math.factorial(n) for n in tasks]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_no_tasks_give_no_results(num_workers):
    assert list(map_in_order(math.factorial, [], num_workers)) == []


@pytest.mark.parametrize("num_workers", [1, 2])
def test_an_error_in_a_worker_reaches_the_caller(num_workers):
    with pytest.raises(ValueError, match="negative"):
        list(map_in_order(math.factorial, [3, 2, -1, 4], num_workers))


def test_only_a_bounded_number_of_tasks_is_taken_ahead_of_the_results():
    taken: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    results = map_in_order(math.factorial, tasks(), 2)
    next(results)
    assert len(taken) <= 10
    results.close()


def test_with_one_worker_the_work_runs_in_this_process():
    assert list(map_in_order(_process_id, [0, 0], 1)) == [os.getpid()] * 2


def test_with_two_workers_it_does_not():
    assert os.getpid() not in list(map_in_order(_process_id, [0, 0], 2))


def _process_id(_: int) -> int:
    return os.getpid()


def test_there_is_a_core():
    assert num_cores() >= 1


class TestChunks:
    @pytest.mark.parametrize(
        ("items", "size", "chunks"),
        [
            (range(7), 3, [[0, 1, 2], [3, 4, 5], [6]]),
            (range(6), 3, [[0, 1, 2], [3, 4, 5]]),
            (range(2), 3, [[0, 1]]),
            (range(3), 1, [[0], [1], [2]]),
            ([], 3, []),
            ([0, None, "", []], 2, [[0, None], ["", []]]),
        ],
    )
    def test_each_item_comes_once_in_order_and_the_last_chunk_may_be_short(self, items, size, chunks):
        assert list(in_chunks(items, size)) == chunks

    def test_nothing_is_read_ahead_of_the_chunk_that_is_asked_for(self):
        numbers = count()
        assert list(islice(in_chunks(numbers, 3), 2)) == [[0, 1, 2], [3, 4, 5]]
        assert next(numbers) == 6
