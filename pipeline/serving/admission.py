"""How much work is let in at once. What does not fit is sent away, and told when to come again."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pipeline.serving.meters import Meters


class RefusedError(Exception):
    """A request that is not answered. status: of HTTP. reason: one line."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class TooLargeError(RefusedError):
    """One body is longer than all of a request may be."""


@dataclass(frozen=True)
class Limits:
    """max_bytes: of one request's bodies. max_files: of one request. max_pictures, max_waiting_bytes: of all requests together;
    as many URLs as max_pictures may wait beside them. max_seconds: from a request's head to its answer."""

    max_bytes: int
    max_files: int
    max_pictures: int
    max_waiting_bytes: int
    max_seconds: float


class Admission:
    """Counts pictures, URLs and bytes of all requests that are being answered. For one event loop."""

    def __init__(self, limits: Limits, meters: Meters) -> None:
        self.limits, self._meters = limits, meters
        self._pictures = self._urls = self._bytes = 0

    @contextmanager
    def hold_bodies(self) -> Iterator["Bodies"]:
        """For reading a request, and what it names, and for answering it."""
        bodies = Bodies(self)
        try:
            yield bodies
        finally:
            self.add_bytes(-bodies.size)

    def check_bytes(self, size: int) -> None:
        """Raises RefusedError where so many more do not fit."""
        if self._bytes + size > self.limits.max_waiting_bytes:
            raise RefusedError(503, "too many requests are being answered: try again")

    def add_bytes(self, size: int) -> None:
        self._bytes += size

    @contextmanager
    def hold_urls(self, count: int) -> Iterator[None]:
        """For fetching, which takes as long as others like: not in the place of pictures. Raises RefusedError."""
        self._check_count(count, "URLs")
        if self._urls + count > self.limits.max_pictures:
            raise RefusedError(503, "too many URLs are waiting: try again")
        self._urls += count
        try:
            yield
        finally:
            self._urls -= count

    @contextmanager
    def hold_pictures(self, count: int) -> Iterator[None]:
        """For decoding and classifying. Raises RefusedError."""
        self._check_count(count, "pictures")
        if self._pictures + count > self.limits.max_pictures:
            raise RefusedError(503, "too many pictures are waiting: try again")
        self._count(count)
        try:
            yield
        finally:
            self._count(-count)

    def _check_count(self, count: int, what: str) -> None:
        if count > self.limits.max_files:
            raise RefusedError(413, f"{count} {what}: expected {self.limits.max_files} at most (serve.max_files)")

    def _count(self, change: int) -> None:
        self._pictures += change
        self._meters.waiting.set(self._pictures)


class Bodies:
    """Those of one request: its own, and those of the URLs that it names. size: bytes of those that were read whole."""

    def __init__(self, admission: Admission) -> None:
        self._admission, self.size = admission, 0

    async def read(self, stream: AsyncIterator[bytes], length: str | None) -> bytes:
        """From the parts of a body to the whole. length: the header Content-Length, if there is one. Raises TooLargeError as
        soon as it is too long, whatever its head said, and RefusedError where it does not fit.

        What counts is what has come, not what was promised: slow bodies would keep the place of others.
        """
        most = self._admission.limits.max_bytes
        promised = int(length) if length is not None and length.isdecimal() else 0
        if promised > most:
            raise TooLargeError(413, f"{promised:,} bytes: expected {most:,} at most (serve.max_mb)")
        self._admission.check_bytes(promised)
        body = bytearray()  # no list of its parts, each of which may be a byte
        try:
            async for part in stream:
                if len(body) + len(part) > most:
                    raise TooLargeError(413, f"expected {most:,} bytes at most (serve.max_mb)")
                self._admission.check_bytes(len(part))
                self._admission.add_bytes(len(part))
                body += part
            if self.size + len(body) > most:
                raise RefusedError(413, f"expected {most:,} bytes of all pictures at most (serve.max_mb)")
        except BaseException:
            self._admission.add_bytes(-len(body))
            raise
        self.size += len(body)
        return bytes(body)
