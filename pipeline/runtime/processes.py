"""Parallel work in processes, or wherever a Runner has it run: results in order, bounded memory."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

_AT_A_TIME = 3  # threads of `map_ahead`: two would be enough to begin early, not to fill the gaps
_WAITING_PER_WORKER = 4  # enough that no worker idles, few enough to bound memory


def num_cores() -> int:
    """Cores that this process may use: a container's share, not all of the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prefer_own_programs() -> None:
    """Processes that this one starts take this environment's `dvc` and `python`, also where it is not activated."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


class Runner(Protocol):
    """Where tasks run if not in processes of this machine: pipeline.runtime.cluster."""

    def map_in_order(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        num_workers: int | None = None,
        singles: Callable[[Task], list[tuple[str, Task]]] | None = None,
    ) -> Iterator[Result]:
        """As the function of this name. singles: a task cut into smaller ones, each with the name of what it is about, of which
        the one is sought that a worker does not survive."""
        ...


def map_in_order(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    num_workers: int | None = None,
    *,
    runner: Runner | None = None,
    singles: Callable[[Task], list[tuple[str, Task]]] | None = None,
) -> Iterator[Result]:
    """Like map, but in several processes, with a bounded number of pending tasks: a slow consumer does not fill the memory.

    function: importable by name, as it runs in another process. num_workers: None: one per core. One worker runs in this
    process. Results come in the order of the tasks, whatever the number of workers. runner: None: processes of this machine.
    """
    if runner is not None:
        yield from runner.map_in_order(function, tasks, num_workers, singles)
        return
    workers = num_workers or num_cores()
    if workers == 1:
        yield from map(function, tasks)
        return
    # A fork would copy locks held by the parent's threads; a fork server starts clean, and only once.
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker) as pool:
        yield from _keep_waiting(pool, function, tasks, workers * _WAITING_PER_WORKER)


def map_ahead(function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
    """Like map, but in three threads, which are at most three tasks ahead of the caller: for what is computed by libraries that
    use all cores, but not all of the time. Results come in the order of the tasks, and are the same."""
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        yield from _keep_waiting(pool, function, tasks, _AT_A_TIME + 1)


def _keep_waiting(
    pool: Executor, function: Callable[[Task], Result], tasks: Iterable[Task], most: int
) -> Iterator[Result]:
    """Results in the order of the tasks, of which up to `most` are begun or wait at a time."""
    waiting: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(function, task))
            if len(waiting) >= most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent receives it too, and shuts its workers down
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends a worker whose parent was killed: it would wait for its next task forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def in_chunks(items: Iterable[Task], size: int) -> Iterator[list[Task]]:
    """Lazy lists of `size` items, the last one perhaps shorter (itertools.batched, which needs Python 3.12)."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
