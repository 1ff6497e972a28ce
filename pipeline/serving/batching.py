"""Pictures of several requests in one batch: as many as wait when the model is free, so that nobody waits for company."""

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np

from pipeline.serving.meters import Meters
from pipeline.serving.served import Served

_Waiting = tuple[Served, np.ndarray, "asyncio.Future[np.ndarray]"]


class Batcher:
    """One thread runs the model, in which it uses the threads of runtime.threads."""

    def __init__(self, max_batch: int, meters: Meters) -> None:
        self._max_batch, self._meters = max_batch, meters
        self._waiting: deque[_Waiting] = deque()
        self._filled = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._task = asyncio.create_task(self._run())

    async def classify(self, served: Served, images: list[np.ndarray]) -> list[np.ndarray]:
        """One row for each image, as `Served.classify` gives them. images: (size, size, 3) each."""
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in images]
        self._waiting.extend((served, image, future) for image, future in zip(images, futures, strict=True))
        self._filled.set()
        return list(await asyncio.gather(*futures))

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._filled.wait()
            batch = self._take()
            if not batch:
                self._filled.clear()
                continue
            served = batch[0][0]
            self._meters.batch.observe(len(batch))
            images = np.stack([image for _, image, _ in batch])
            try:
                rows = await loop.run_in_executor(self._thread, served.classify, images)
            except Exception as error:  # the model's, told to those who wait for it
                for _, _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, _, future), row in zip(batch, rows, strict=True):
                if not future.done():
                    future.set_result(row)

    def _take(self) -> list[_Waiting]:
        """The next ones of the same model, without those for whom nobody waits any more."""
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < self._max_batch:
            if self._waiting[0][2].done():
                self._waiting.popleft()
            elif batch and self._waiting[0][0] is not batch[0][0]:
                break
            else:
                batch.append(self._waiting.popleft())
        return batch

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._thread.shutdown()
