"""How much work is let in at once. What does not fit is sent away, and told when to come again."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pipeline.serving.meters import Meters

Read = Callable[[AsyncIterator[bytes]], Awaitable[bytes]]


class RefusedError(Exception):
    """A request that is not answered. status: of HTTP. reason: one line."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class Limits:
    """max_bytes: of one request's body. max_files: of one request. max_pictures, max_waiting_bytes: of all requests together.
    max_seconds: from a request's head to its answer."""

    max_bytes: int
    max_files: int
    max_pictures: int
    max_waiting_bytes: int
    max_seconds: float


class Admission:
    """Counts pictures and bytes of all requests that are being answered. For one event loop."""

    def __init__(self, limits: Limits, meters: Meters) -> None:
        self.limits, self._meters = limits, meters
        self._pictures = self._bytes = 0

    @contextmanager
    def hold_body(self, length: str | None) -> Iterator[Read]:
        """For reading and answering a body: a function from its parts to the whole, which raises RefusedError as soon as it is
        too long, whatever its head said. length: the header Content-Length, if there is one. Raises RefusedError.

        What counts is what has come, not what was promised: slow bodies would keep the place of others.
        """
        size = int(length) if length is not None and length.isdecimal() else 0
        if size > self.limits.max_bytes:
            raise RefusedError(413, f"{size:,} bytes: expected {self.limits.max_bytes:,} at most (serve.max_mb)")
        self._check_memory(size)
        held = 0

        async def read(stream: AsyncIterator[bytes]) -> bytes:
            nonlocal held
            parts = []
            async for part in stream:
                if held + len(part) > self.limits.max_bytes:
                    raise RefusedError(413, f"expected {self.limits.max_bytes:,} bytes at most (serve.max_mb)")
                self._check_memory(len(part))
                held += len(part)
                self._bytes += len(part)
                parts.append(part)
            return b"".join(parts)

        try:
            yield read
        finally:
            self._bytes -= held

    def _check_memory(self, size: int) -> None:
        if self._bytes + size > self.limits.max_waiting_bytes:
            raise RefusedError(503, "too many requests are being answered: try again")

    @contextmanager
    def hold_pictures(self, count: int) -> Iterator[None]:
        """For decoding and classifying. Raises RefusedError."""
        if count > self.limits.max_files:
            raise RefusedError(413, f"{count} pictures: expected {self.limits.max_files} at most (serve.max_files)")
        if self._pictures + count > self.limits.max_pictures:
            raise RefusedError(503, "too many pictures are waiting: try again")
        self._count(count)
        try:
            yield
        finally:
            self._count(-count)

    def _count(self, change: int) -> None:
        self._pictures += change
        self._meters.waiting.set(self._pictures)
