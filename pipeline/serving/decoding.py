"""Uploaded pictures to pixels, as predict decodes files, in processes of their own: a hostile one costs only itself."""

import asyncio
import queue
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pipeline.data.guarded import GuardedWorker, make_bounds
from pipeline.data.image_files import Decoding, Picture, decode_named
from pipeline.sources.formats import MAX_IMAGE_BYTES

Named = tuple[str, bytes]  # a name and a file's bytes
_FAILURES = 1000  # unusable pictures after which a process is replaced: decoders in C may lose memory where they fail
_Task = tuple[Named, Decoding]


def decode_task(task: _Task) -> Picture:
    """What the processes do."""
    named, decoding = task
    return decode_named(named, decoding)


def refuse_task(task: _Task, reason: str) -> Picture:
    """The answer to a picture that broke the bounds."""
    return Picture(task[0][0], None, reason)


class Decoders:
    """`count` processes, and a thread for each, which waits for it."""

    def __init__(self, count: int, *, max_seconds: float, max_megapixels: float) -> None:
        """max_seconds: of processor time per picture, and at most thrice as many by the clock. max_megapixels: as in prune."""
        bounds = make_bounds(max_seconds=max_seconds, max_megapixels=max_megapixels)
        self._seconds = 3 * max_seconds
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="decode")
        self._workers = [GuardedWorker(decode_task, refuse_task, bounds) for _ in range(count)]
        self._failures: Counter[GuardedWorker[_Task, Picture]] = Counter()
        self._free: queue.SimpleQueue[GuardedWorker[_Task, Picture]] = queue.SimpleQueue()
        for worker in self._workers:
            worker.start()  # not while somebody waits
            self._free.put(worker)

    async def decode(self, pictures: Sequence[Named | Picture], decoding: Decoding) -> list[Picture]:
        """One Picture for each, in their order. What is known to be none stays as it is."""
        loop = asyncio.get_running_loop()
        work = [loop.run_in_executor(self._threads, partial(self._decode, named, decoding)) for named in pictures]
        return list(await asyncio.gather(*work))

    def _decode(self, named: Named | Picture, decoding: Decoding) -> Picture:
        if isinstance(named, Picture):
            return named
        if len(named[1]) > MAX_IMAGE_BYTES:
            return Picture(named[0], None, f"too large: {len(named[1]) / 1e6:.0f} MB")
        worker = self._free.get()
        try:
            picture = worker.apply((named, decoding), self._seconds)
            if picture.pixels is None:
                self._count_failure(worker)
            return picture
        finally:
            self._free.put(worker)

    def _count_failure(self, worker: GuardedWorker[_Task, Picture]) -> None:
        self._failures[worker] += 1
        if not self._failures[worker] % _FAILURES:
            worker.close()
            worker.start()

    def close(self) -> None:
        """Ends the processes, when what they do is done."""
        self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.close()
