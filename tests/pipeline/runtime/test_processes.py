import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import psutil
import pytest

from pipeline.runtime.processes import in_chunks, map_ahead, map_in_order, num_cores


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


def test_a_bounded_number_of_tasks_is_read_ahead():
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


def test_with_two_workers_it_runs_in_others():
    assert os.getpid() not in list(map_in_order(_process_id, [0, 0], 2))


PARENT = """
import os, signal, time
from pipeline.runtime.processes import map_in_order

def get_id(_):
    return os.getpid()

if __name__ == "__main__":
    def tasks():
        yield from range(20)
        time.sleep(600)  # like a slow disk: the workers wait, also while this test waits for a processor

    results = map_in_order(get_id, tasks(), 2)
    print(*{next(results) for _ in range(10)}, flush=True)
    next(results, None)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_workers_end_when_their_parent_is_killed(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, str(tmp_path / "parent.py")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = [int(number) for number in parent.stdout.readline().split()]
        assert workers
        processes = [psutil.Process(worker) for worker in workers]  # while they live: later, one may be gone
        parent.kill()
        parent.stdout.close()
    gone, left = psutil.wait_procs(processes, timeout=20)
    assert not left, gone


def _process_id(_: int) -> int:
    return os.getpid()


def test_there_is_a_core():
    assert num_cores() >= 1


class TestAhead:
    """Threads that begin before the caller asks."""

    def test_results_come_in_the_order_of_the_tasks(self):
        def work(number: int) -> int:
            time.sleep(0.02 if number % 3 == 0 else 0)
            return number * number

        assert list(map_ahead(work, range(50))) == [number * number for number in range(50)]
        assert list(map_ahead(work, [])) == []

    def test_it_is_at_work_on_several_tasks_at_once(self):
        both = threading.Barrier(2, timeout=60)
        assert len(list(map_ahead(lambda _: both.wait(), range(2)))) == 2

    def test_it_takes_few_tasks_ahead_of_the_caller(self):
        taken: list[int] = []
        results = map_ahead(str, (taken.append(number) or number for number in range(100)))
        assert next(results) == "0"
        assert len(taken) <= 4
        assert [next(results) for _ in range(5)] == ["1", "2", "3", "4", "5"]
        assert len(taken) <= 9
        results.close()
        assert len(taken) <= 9

    def test_an_error_reaches_the_caller_at_its_place(self):
        results = map_ahead(lambda number: 1 // number, [1, 1, 0, 1])
        assert [next(results), next(results)] == [1, 1]
        with pytest.raises(ZeroDivisionError):
            next(results)


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
    def test_each_item_appears_once_in_order_and_the_last_chunk_may_be_shorter(self, items, size, chunks):
        assert list(in_chunks(items, size)) == chunks

    def test_nothing_is_read_ahead_of_the_requested_chunk(self):
        numbers = count()
        assert list(islice(in_chunks(numbers, 3), 2)) == [[0, 1, 2], [3, 4, 5]]
        assert next(numbers) == 6
