"""One answer of a server: its head within a time, its body within a size and above a rate."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import requests

from pipeline.runtime.progress import progress_bar

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Limits:
    """max_gb: size of a download. cache_gb: of all kept ones together; None: nothing is deleted. min_rate: kB/s that a server
    must give over any `timeout`. timeout: seconds that a server may be silent, and that the head of its answer may take."""

    max_gb: float
    min_rate: float
    timeout: float
    cache_gb: float | None = None


class SlowError(Exception):
    """A server sends less than the limits ask for."""


class TooLargeError(Exception):
    """A file is larger than the limits allow."""


def open_response(
    url: str, *, headers: dict[str, str], login: tuple[str, str] | None, timeout: float
) -> requests.Response:
    """The answer, of which only the head has been read. Raises what requests raises, and ReadTimeout if the head is not
    complete in time: requests itself waits `timeout` for each byte of it."""
    answers: list[requests.Response | Exception] = []
    given_up = threading.Event()

    def ask() -> None:
        try:
            answer = requests.get(url, headers=headers, auth=login, stream=True, timeout=timeout)
        except Exception as error:  # raised again in the thread that asked
            answers.append(error)
        else:
            answers.append(answer)
            if given_up.is_set():
                answer.close()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(2 * timeout + 1)  # name and connection are given a `timeout` of their own
    if not answers:
        given_up.set()
        raise requests.ReadTimeout(f"no complete answer in {2 * timeout + 1:.0f} s")
    if isinstance(answers[0], Exception):
        raise answers[0]
    return answers[0]


def save_body(response: requests.Response, partial: Path, have: int, limits: Limits) -> None:
    """Writes the body after the first `have` bytes of a file, undecoded. Raises ConnectionError if it is shorter than
    announced, TooLargeError and SlowError beyond the limits."""
    announced = response.headers.get("Content-Length", "").strip()
    total = int(announced) + have if announced.isascii() and announced.isdigit() and len(announced) < 20 else None
    _check_size(total or 0, limits)
    progress = progress_bar(desc="download", total=total or None, initial=have, unit="B", unit_scale=True)
    size, pace = have, _Pace(limits)
    with partial.open("r+b" if have else "wb") as file, progress:
        file.seek(have)
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
            size += len(chunk)
            _check_size(size, limits)
            file.write(chunk)
            progress.update(len(chunk))
            pace.add(len(chunk))
    if total is not None and size != total:
        raise requests.ConnectionError(f"received {size} of {total} bytes")


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.max_gb * 1e9:
        raise TooLargeError(
            f"it has {size / 1e9:.1f} GB or more: expected at most sources.archive.max_download_gb = {limits.max_gb}"
        )


class _Pace:
    """Bytes over each window of `timeout` seconds."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._start, self._bytes = time.monotonic(), 0

    def add(self, size: int) -> None:
        self._bytes += size
        seconds = time.monotonic() - self._start
        if seconds < self._limits.timeout:
            return
        if self._bytes < self._limits.min_rate * 1000 * seconds:
            raise SlowError(
                f"it sent {self._bytes:,} bytes in {seconds:.0f} s: expected at least sources.archive.min_rate = "
                f"{self._limits.min_rate} kB/s"
            )
        self._start, self._bytes = time.monotonic(), 0
