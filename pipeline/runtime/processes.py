"""Work spread over processes, results in order, memory bounded."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

_WAITING_PER_WORKER = 4  # enough that no worker waits for its next task, few enough to bound memory


def num_cores() -> int:
    """Cores that this process may use (a container's share, not the machine's)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_order(
    function: Callable[[Task], Result], tasks: Iterable[Task], num_workers: int | None = None
) -> Iterator[Result]:
    """Like map over processes, but with a bounded number of tasks under way: a slow reader does not fill the memory.

    function: importable by name, as it runs in another process. num_workers: None = all cores. With one worker the work
    runs in this process. The order of the results is that of the tasks, whatever the number of workers.
    """
    workers = num_workers or num_cores()
    if workers == 1:
        yield from map(function, tasks)
        return
    # Fork would copy the threads' locks of whatever the parent has imported; a fork server starts clean, and once.
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(function, task))
                if len(waiting) >= workers * _WAITING_PER_WORKER:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears of it too, and ends its workers in good order
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker waits for its next task for ever: it is not told that whoever would give it one was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def in_chunks(items: Iterable[Task], size: int) -> Iterator[list[Task]]:
    """Lists of `size` items, the last one shorter, each made when it is asked for (itertools.batched, from Python 3.12 on)."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
