import ctypes
import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from pipeline.data.guarded import Bounds, GuardedWorker, find_module, make_bounds, map_guarded

BOUNDS = Bounds(seconds=0.3, memory=1 << 30)
MB = 1 << 20


def work(item: str) -> str:
    """Does what its argument says; runs in a worker."""
    match item:
        case "spin":  # in C, with Python's interpreter locked: no signal handler of Python's runs
            ctypes.pythonapi.PyRun_SimpleString(b"sum(range(10**12))")
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "exit":
            os._exit(3)
        case "hog":
            return str(len(bytearray(4096 * MB)))
        case "bug":
            raise KeyError("bug")
        case "sleep":
            time.sleep(0.5)
    return item.upper()


def refuse(item: str, reason: str) -> str:
    return f"{item}: {reason}"


def run(*chunks: list[str], bounds: Bounds = BOUNDS, num_workers: int = 2) -> list[list[str]]:
    return list(map_guarded(work, iter(chunks), refuse=refuse, bounds=bounds, num_workers=num_workers))


@pytest.mark.parametrize("num_workers", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(num_workers):
    chunks = [[f"{chunk}.{i}" for i in range(chunk % 4)] for chunk in range(40)]
    assert run(*chunks, num_workers=num_workers) == [[item.upper() for item in chunk] for chunk in chunks]


def test_the_module_of_a_partial_is_that_of_its_function():
    """Workers start in a tenth of the time if it is imported before."""
    assert find_module(partial(partial(work), "a")) == find_module(work) == work.__module__


def test_without_items_no_process_is_started():
    assert run() == []


def test_an_item_that_takes_too_long_costs_only_itself():
    begun = time.monotonic()
    assert run(["a", "spin", "b"], ["c"]) == [
        ["A", "spin: takes too long: decoding took more than 0.3 s of processor time, prune.max_seconds", "B"],
        ["C"],
    ]
    assert time.monotonic() - begun < 30  # it would have spun for hours


def test_waiting_is_no_processor_time():
    assert run(["sleep"]) == [["SLEEP"]]


@pytest.mark.parametrize(("item", "said"), [("crash", "SIGSEGV"), ("exit", "exit status 3")])
@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_crash_costs_only_its_item(item, said, num_workers):
    expected = f"{item}: crashes its decoder ({said}): perhaps out of memory"
    chunks = [["a", item, item, "b"], [item], ["c"]]
    assert run(*chunks, num_workers=num_workers) == [["A", expected, expected, "B"], [expected], ["C"]]


def work_in(item: str, folder: Path) -> str:
    """Runs in a worker. Leaves a file `<item>.<times>` for each time that it begins, and `busy.<item>` while it works."""
    busy, times = folder / f"busy.{item}", len(list(folder.glob(f"{item}.*"))) + 1
    others = sorted(file.name for file in folder.glob("busy.*") if file != busy)
    busy.touch()
    (folder / f"{item}.{times}.partial").write_text(str(os.getpid()))
    (folder / f"{item}.{times}.partial").rename(folder / f"{item}.{times}")
    if item.startswith("killed") or (item == "victim" and times == 1):
        time.sleep(60)  # until the test, or nobody, ends it
    if item.startswith("waits"):
        wait_for(folder / "over")
    busy.unlink()
    return f"{item} beside {others}" if item == "victim" else item.upper()


def run_in(folder: Path, chunks: list[list[str]], num_workers: int = 2) -> list[list[str]]:
    function = partial(work_in, folder=folder)
    return list(map_guarded(function, iter(chunks), refuse=refuse, bounds=BOUNDS, num_workers=num_workers))


def wait_for(file: Path) -> None:
    for _ in range(3000):
        if file.exists():
            return
        time.sleep(0.01)
    raise TimeoutError(file.name)


class Killer:
    """Ends the worker that is at an item, each time that one is, as the kernel does when memory is short."""

    def __init__(self, folder: Path, item: str, *, times: int, number: int = signal.SIGKILL) -> None:
        self._folder, self._item, self._times, self._number = folder, item, times, number
        self._thread = threading.Thread(target=self._kill)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _kill(self) -> None:
        for turn in range(1, self._times + 1):
            begun = self._folder / f"{self._item}.{turn}"
            wait_for(begun)
            os.kill(int(begun.read_text()), self._number)
        (self._folder / "over").touch()


class TestAWorkerThatIsEndedFromOutside:
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
    @pytest.mark.parametrize("num_workers", [1, 2])
    def test_costs_no_item(self, tmp_path, number, num_workers):
        chunks = [["a", "victim", "b"], ["c"], ["d", "e"]]
        with Killer(tmp_path, "victim", times=1, number=number):
            found = run_in(tmp_path, chunks, num_workers)
        assert found == [["A", "victim beside []", "B"], ["C"], ["D", "E"]]

    def test_is_followed_by_one_that_works_while_no_other_does(self, tmp_path):
        """The other worker is at an item until the first is dead, and has more to do."""
        chunks = [["a", "victim", "b"], ["waits", "c", "d"], *([f"more{i}"] for i in range(9))]
        with Killer(tmp_path, "victim", times=1):
            found = run_in(tmp_path, chunks)
        assert found[:2] == [["A", "victim beside []", "B"], ["WAITS", "C", "D"]]
        assert found[2:] == [[f"MORE{i}"] for i in range(9)]
        assert len(list(tmp_path.glob("victim.*"))) == 2

    def test_twice_at_the_same_item_blames_it(self, tmp_path):
        chunks = [["a", "killed", "b"], ["c"]]
        with Killer(tmp_path, "killed", times=2):
            found = run_in(tmp_path, chunks)
        assert found == [["A", "killed: crashes its decoder (SIGKILL): perhaps out of memory", "B"], ["C"]]


def test_memory_beyond_the_bound_is_an_error_of_the_item():
    with pytest.raises(MemoryError):
        run(["hog"])


@pytest.mark.parametrize("limit", [1e9, 1e10, 1e12, 1e20, 1e307])
def test_limits_that_are_meant_to_be_none_are_none(limit):
    bounds = make_bounds(max_seconds=limit, max_megapixels=limit)
    assert run(["a", "b"], ["c"], bounds=bounds) == [["A", "B"], ["C"]]
    worker = GuardedWorker(work, refuse, bounds)
    assert worker.apply("a", 3 * limit) == "A"
    worker.close()


def test_an_error_of_the_function_is_raised():
    with pytest.raises(KeyError, match="bug"):
        run(["a", "b"], ["bug"], ["c"])


def test_chunks_are_taken_as_they_are_needed():
    taken = 0

    def endless() -> Iterator[list[str]]:
        nonlocal taken
        while True:
            taken += 1
            yield ["a"]

    results = map_guarded(work, endless(), refuse=refuse, bounds=BOUNDS, num_workers=2)
    assert next(results) == ["A"]
    results.close()
    assert taken < 20


class TestOneAfterTheOther:
    @pytest.fixture
    def worker(self) -> Iterator[GuardedWorker[str, str]]:
        worker = GuardedWorker(work, refuse, BOUNDS)
        yield worker
        worker.close()

    def test_whatever_dies_costs_only_itself(self, worker):
        given = [worker.apply(item, 60) for item in ("a", "crash", "b", "spin", "c")]
        assert [given[n] for n in (0, 2, 4)] == ["A", "B", "C"]
        assert "SIGSEGV" in given[1]
        assert "of processor time" in given[3]

    def test_who_waits_for_a_clock_too_long_goes_on_without(self, worker):
        worker.apply("a", 60)
        assert worker.apply("sleep", 0.1) == "sleep: takes too long: more than 0.1 s"
        assert worker.apply("b", 60) == "B"

    def test_an_error_is_raised_here(self, worker):
        with pytest.raises(KeyError):
            worker.apply("bug", 60)
        assert worker.apply("a", 60) == "A"
