"""Work on files that may be hostile, in processes of their own: one that takes too long or too much memory costs only itself.

A decoder written in C can't be interrupted, so the kernel ends its process, and another goes on behind the file. What others
end, such as the kernel when all processes together take too much memory, is tried once more, alone, before a file is blamed.
"""

import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.processes import Runner, num_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

_BUNDLE = 0.1  # seconds after which results are sent; what a dying process has not sent is done again
_AHEAD = 4  # chunks per worker that may be done before their turn
_BYTES_PER_PIXEL = 16
_BASE_MEMORY = 1 << 30  # bytes of a worker besides what one file takes
# A limit that is meant to be none is as large as the system's calls can take: seconds of setitimer, bytes, seconds of poll.
_MOST_SECONDS, _MOST_MEMORY, _LONGEST_WAIT = 1e9, 1 << 60, 1e6
_FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM)  # exit statuses of a process that another one has ended


@dataclass(frozen=True)
class Bounds:
    """What one file may take. seconds: of processor time. memory: bytes."""

    seconds: float
    memory: int


def make_bounds(*, max_seconds: float, max_megapixels: float) -> Bounds:
    """For decoding an image of at most so many pixels, each of which takes 8 bytes, as `Opened.weight` has it; twice that."""
    memory = min(max_megapixels * 1e6 * _BYTES_PER_PIXEL, _MOST_MEMORY)
    return Bounds(min(max_seconds, _MOST_SECONDS), int(memory))


@dataclass
class _Chunk(Generic[Item, Result]):
    """results: by the item's number; they come in bundles. suspects: numbers of items at which a process was ended from
    outside; each is handed out alone, once."""

    items: Sequence[Item]
    results: dict[int, Result] = field(default_factory=dict)
    suspects: set[int] = field(default_factory=set)

    @property
    def is_done(self) -> bool:
        return len(self.results) == len(self.items)

    @property
    def todo(self) -> list[tuple[int, Item]]:
        return [(number, item) for number, item in enumerate(self.items) if number not in self.results]

    @property
    def alone(self) -> list[tuple[int, Item]]:
        """Of todo, the items that are to be worked on while no other is."""
        return [(number, item) for number, item in self.todo if number in self.suspects]


class _Worker:
    """A process and the pipe to it. `chunk` is what it works on, `given` the numbers of its items that it was handed."""

    def __init__(self, function: Callable[[Any], Any], bounds: Bounds) -> None:
        # A fork would copy locks held by the parent's threads; a fork server starts clean, and only once.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([find_module(function)])  # imported once, for all workers
        self.pipe, theirs = context.Pipe()
        self.current = context.RawValue(
            "q", -1
        )  # the number of the item that it works on: it can't tell when it is dead
        self.chunk: _Chunk[Any, Any] | None = None
        self.given: set[int] = set()
        self.process: BaseProcess = context.Process(
            target=_work, args=(function, theirs, self.current, bounds), daemon=True
        )
        self.process.start()
        theirs.close()

    def give(self, chunk: _Chunk[Any, Any]) -> None:
        todo = chunk.alone[:1] or chunk.todo
        self.chunk, self.given, self.current.value = chunk, {number for number, _ in todo}, -1
        with suppress(OSError):  # it is dead: the next look at its pipe finds out
            self.pipe.send(todo)

    def end(self) -> int:
        """Its exit status; negative if a signal ended it."""
        self.pipe.close()
        self.process.join()
        return self.process.exitcode or 0


class GuardedWorker(Generic[Item, Result]):
    """One process that applies a function to one item after the other, for whoever waits for each result; when it dies, another
    takes its place. Not to be used by two threads at once."""

    def __init__(
        self, function: Callable[[Item], Result], refuse: Callable[[Item, str], Result], bounds: Bounds
    ) -> None:
        """As `map_guarded`."""
        self._function, self._refuse, self._bounds = function, refuse, bounds
        self._worker: _Worker | None = None

    def start(self) -> _Worker:
        """Its process, which takes a second to start, if there is none yet."""
        self._worker = self._worker or _Worker(self._function, self._bounds)
        return self._worker

    def apply(self, item: Item, seconds: float) -> Result:
        """seconds: by the clock, after which the item is refused too."""
        worker = self.start()
        worker.give(_Chunk([item]))
        if not worker.pipe.poll(min(seconds, _LONGEST_WAIT)):
            self.close()
            return self._refuse(item, f"takes too long: more than {seconds:g} s")
        try:
            failure, results = worker.pipe.recv()
        except (EOFError, OSError):
            self._worker = None
            return self._refuse(item, _explain(worker.end(), self._bounds))
        if failure is not None:
            raise failure
        return results[0]

    def close(self) -> None:
        """Ends its process."""
        if self._worker is not None:
            _stop([self._worker])
            self._worker = None


def map_guarded(
    function: Callable[[Item], Result],
    chunks: Iterator[Sequence[Item]],
    *,
    refuse: Callable[[Item, str], Result],
    bounds: Bounds,
    num_workers: int | None = None,
    runner: Runner | None = None,
    name: Callable[[Item], str] = str,
) -> Iterator[list[Result]]:
    """The results of each chunk in order, as of `map`; an item that breaks the bounds, or crashes its process, has the result
    refuse(item, reason) instead. One at which a process is ended from outside has it if that happens again, with no other
    process of this call at work.

    function: importable by name, as it runs in another process, also if there is only one; its errors are raised here.
    num_workers: None: one per core. runner: each of its workers guards the chunks that it gets by a process of its own, so that
    the results are the same. name: of an item, for the error where it costs a runner its worker even so.
    """
    if runner is not None:
        work = partial(_guard, function=function, refuse=refuse, bounds=bounds)
        yield from runner.map_in_order(
            work, chunks, num_workers, lambda chunk: [(name(item), [item]) for item in chunk]
        )
        return
    count = num_workers or num_cores()
    workers: list[_Worker] = []
    waiting: list[_Chunk[Item, Result]] = []
    with ExitStack() as stack:
        stack.callback(_stop, workers)
        while True:
            while len(waiting) < count * _AHEAD and (items := next(chunks, None)) is not None:
                waiting.append(_Chunk(items))
            while waiting and waiting[0].is_done:
                done = waiting.pop(0)
                yield [done.results[number] for number in range(len(done.items))]
            if not waiting:
                if (items := next(chunks, None)) is None:
                    return
                waiting.append(_Chunk(items))
            _hand_out(workers, waiting, count, function, bounds)
            _collect(workers, refuse, bounds)


def _guard(items: Sequence[Item], *, function: Any, refuse: Any, bounds: Bounds) -> list[Any]:
    return next(map_guarded(function, iter([items]), refuse=refuse, bounds=bounds, num_workers=1))


def find_module(function: Callable[..., Any]) -> str:
    """The module of a function, or of the one within partials, whose own is functools."""
    while isinstance(function, partial):
        function = function.func
    return function.__module__


def _hand_out(workers: list[_Worker], waiting: list[Any], count: int, function: Any, bounds: Bounds) -> None:
    """A chunk to each worker that is free. An item that is to be worked on alone waits until all are free, and they end: what
    they keep of memory is its own then."""
    taken = [id(worker.chunk) for worker in workers if worker.chunk is not None]
    free = [chunk for chunk in waiting if not chunk.is_done and id(chunk) not in taken]
    if suspect := next((chunk for chunk in waiting if chunk.alone), None):
        if taken:
            return
        _stop(workers)
        workers.clear()
        free = [suspect]
    for chunk in free:
        idle = next((worker for worker in workers if worker.chunk is None), None)
        if idle is None and len(workers) == count:
            return
        if idle is None:
            idle = _Worker(function, bounds)
            workers.append(idle)
        idle.give(chunk)


def _collect(workers: list[_Worker], refuse: Callable[[Any, str], Any], bounds: Bounds) -> None:
    """Waits for the next results, and replaces nothing: a dead worker leaves the list, its chunk is handed out again."""
    busy = {worker.pipe: worker for worker in workers if worker.chunk is not None}
    for pipe in wait(list(busy)):
        worker = busy[pipe]  # type: ignore[index]
        chunk = worker.chunk
        assert chunk is not None
        try:
            failure, results = worker.pipe.recv()
        except (EOFError, OSError) as error:
            workers.remove(worker)
            number, status = worker.current.value, worker.end()
            reason = _explain(status, bounds)
            if number < 0:
                raise PipelineError(
                    f"a worker process ended before its first file ({reason}): free memory, and run it again"
                ) from error
            if status in _FROM_OUTSIDE and number not in chunk.suspects:
                chunk.suspects.add(number)
            else:
                chunk.results[number] = refuse(chunk.items[number], reason)
            continue
        if failure is not None:
            raise failure
        chunk.results.update(results)
        if worker.given <= chunk.results.keys():
            worker.chunk = None


def _explain(status: int, bounds: Bounds) -> str:
    if status == -signal.SIGPROF:
        return f"takes too long: decoding took more than {bounds.seconds:g} s of processor time, prune.max_seconds"
    name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return f"crashes its decoder ({name}): perhaps out of memory"


def _stop(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.process.kill()
        worker.end()


def _work(function: Callable[[Any], Any], pipe: Connection, current: Any, bounds: Bounds) -> None:
    """Sends (error, results by number) for each list of (number, item) that comes, until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent receives it too, and ends its workers
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # the kernel ends the process, whatever code is running
    _bound_memory(bounds.memory)
    try:
        while True:
            _work_on(function, pipe, current, bounds.seconds)
    except (EOFError, OSError):
        os._exit(0)  # the parent is gone


def _work_on(function: Callable[[Any], Any], pipe: Connection, current: Any, seconds: float) -> None:
    results: dict[int, Any] = {}
    sent = time.monotonic()
    for number, item in pipe.recv():
        current.value = number
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            results[number] = function(item)
        except Exception as error:  # raised in the parent
            pipe.send((error, {}))
            return
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        if time.monotonic() - sent > _BUNDLE:
            pipe.send((None, results))
            results, sent = {}, time.monotonic()
    if results:
        pipe.send((None, results))


def _bound_memory(size: int) -> None:
    """Beyond it an allocation fails: the decoder says that it is out of memory. Only Linux counts all private memory so."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    wanted = _BASE_MEMORY + size
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
