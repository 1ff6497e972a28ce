"""Servers that break the rules, are slow or never stop: what comes out is the file or one line, within a time and a size."""

import hashlib
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.runtime.errors import PipelineError
from pipeline.sources.http import fetch
from pipeline.sources.transfer import Limits

BODY = np.random.default_rng(0).bytes(300_000)
LIMITS = Limits(max_gb=0.002, min_rate=20.0, timeout=0.3)
SECONDS = 20  # for any of these downloads; most end in a tenth of one

pytestmark = pytest.mark.usefixtures("cache", "pauses")

Send = Callable[[bytes], object]
Script = Callable[[Send, str, int], None]  # send, the request, its number


class RawServer(socketserver.ThreadingTCPServer):
    """Answers each connection with whatever bytes the script sends."""

    daemon_threads = True
    allow_reuse_address = True
    script: Script

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/cats.zip"
        self.requests: list[str] = []
        self.closed = threading.Event()

    def handle_error(self, *_: Any) -> None:
        """The client has gone."""


class _Handler(socketserver.BaseRequestHandler):
    server: RawServer

    def handle(self) -> None:
        request = b""
        while b"\r\n\r\n" not in request and (more := self.request.recv(65536)):
            request += more
        self.server.requests.append(request.decode("latin-1"))
        self.server.script(self.request.sendall, self.server.requests[-1], len(self.server.requests))


@pytest.fixture
def raw() -> Iterator[RawServer]:
    with RawServer() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.closed.set()
        running.shutdown()
        thread.join()


def answer(head: str, body: bytes = b"") -> Script:
    def script(send: Send, _: str, __: int) -> None:
        send(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)

    return script


def forever(head: str, piece: bytes, pause: float = 0.0) -> Script:
    """Never stops by itself: time.sleep does nothing in these tests, so pauses wait for an event that never comes."""

    def script(send: Send, _: str, __: int) -> None:
        send(head.replace("\n", "\r\n").encode())
        for _ in range(10_000):
            send(piece)
            threading.Event().wait(pause)

    return script


def part(request: str) -> int:
    return int(request.partition("bytes=")[2].partition("-")[0] or 0)


def in_pieces(*, size: int, ranges: bool, tag: str | None = '"1"', says: str = "") -> Script:
    """A connection that breaks off after each `size` bytes."""

    def script(send: Send, request: str, _: int) -> None:
        start = part(request) if ranges else 0
        status = (
            f"206 Partial Content\r\nContent-Range: bytes {start}-{len(BODY) - 1}/{len(BODY)}" if start else "200 OK"
        )
        etag = f"ETag: {tag}\r\n" if tag else ""
        send(f"HTTP/1.1 {status}\r\nContent-Length: {len(BODY) - start}\r\n{etag}{says}\r\n".encode())
        send(BODY[start : start + size])

    return script


OK = "HTTP/1.1 200 OK"
FILES: dict[str, Script] = {
    "length is a word": answer(f"{OK}\nContent-Length: abc", BODY),
    "length is negative": answer(f"{OK}\nContent-Length: -5", BODY),
    "length is empty": answer(f"{OK}\nContent-Length: ", BODY),
    "no length": answer(OK, BODY),
    "bytes after the length": answer(f"{OK}\nContent-Length: {len(BODY)}", BODY + b"more"),
    "HTTP 1.0": answer(f"HTTP/1.0 200 OK\nContent-Length: {len(BODY)}", BODY),
    "no reason": answer(f"HTTP/1.1 200\nContent-Length: {len(BODY)}", BODY),
    "an ETag of 8 KB": answer(f'{OK}\nETag: "{"e" * 8000}"\nContent-Length: {len(BODY)}', BODY),
    "an ETag in Latin-1": answer(f'{OK}\nETag: "\xe4"\nContent-Length: {len(BODY)}', BODY),
    "says gzip, and is not": answer(f"{OK}\nContent-Encoding: gzip\nContent-Length: {len(BODY)}", BODY),
    "another name for the file": answer(
        f"{OK}\nContent-Disposition: attachment; filename=../../x\nContent-Length: {len(BODY)}", BODY
    ),
    "breaks off every 70 kB": in_pieces(size=70_000, ranges=True),
    "breaks off every 70 kB, says nothing of ranges": in_pieces(size=70_000, ranges=True, tag='"e"'),
}
ENDLESS = 0.002 * 1e9
REFUSALS: dict[str, tuple[Script, str]] = {
    "nothing": (lambda *_: None, "after 5 attempts"),
    "no HTTP": (lambda send, *_: send(b"SSH-2.0-OpenSSH_9.6\r\n"), "after 5 attempts"),
    "HTTP 0.9": (lambda send, *_: send(BODY), "can't be downloaded"),
    "status is a word": (answer("HTTP/1.1 abc OK"), "can't be downloaded"),
    "status 999": (answer("HTTP/1.1 999 Request denied"), "can't be downloaded"),
    "status 204": (answer("HTTP/1.1 204 No Content"), "answered 204"),
    "status 300": (answer("HTTP/1.1 300 Multiple Choices\nContent-Length: 0"), "answered 300"),
    "status 302 without an address": (answer("HTTP/1.1 302 Found\nContent-Length: 0"), "answered 302"),
    "status 401": (answer("HTTP/1.1 401 Unauthorized\nContent-Length: 0"), "set IMAGE_PIPELINE_USER"),
    "status 403": (answer("HTTP/1.1 403 Forbidden\nContent-Length: 0"), "set IMAGE_PIPELINE_USER"),
    "a reason of two lines": (answer("HTTP/1.1 404 Not\x0bFound\nContent-Length: 0"), "answered 404"),
    "a part that was not asked for": (
        answer("HTTP/1.1 206 Partial Content\nContent-Range: bytes 7-9/10\nContent-Length: 3", b"abc"),
        "after 5 attempts",
    ),
    "416 for ever": (answer("HTTP/1.1 416 Range Not Satisfiable\nContent-Length: 0"), "after 5 attempts"),
    "redirect to a file": (
        answer("HTTP/1.1 302 Found\nLocation: file:///etc/passwd\nContent-Length: 0"),
        "InvalidSchema",
    ),
    "redirect to no host": (
        answer("HTTP/1.1 302 Found\nLocation: http://a..b/\nContent-Length: 0"),
        "can't be downloaded",
    ),
    "redirect to a port of words": (
        answer("HTTP/1.1 302 Found\nLocation: http://127.0.0.1:x/\nContent-Length: 0"),
        "can't be downloaded",
    ),
    "two lengths": (answer(f"{OK}\nContent-Length: 5\nContent-Length: 7", b"abcdefg"), "can't be downloaded"),
    "length of 30 digits": (answer(f"{OK}\nContent-Length: {'9' * 30}", b"abc"), "can't be downloaded"),
    "length of 4 GB": (answer(f"{OK}\nContent-Length: 4000000000", b"abc"), "sources.archive.max_download_gb = 0.002"),
    "no end": (forever(f"{OK}\n\n", bytes(1 << 16)), "sources.archive.max_download_gb = 0.002"),
    "chunks without end": (
        forever(f"{OK}\nTransfer-Encoding: chunked\n\n", b"10000\r\n" + bytes(1 << 16) + b"\r\n"),
        "sources.archive.max_download_gb = 0.002",
    ),
    "chunk of no number": (answer(f"{OK}\nTransfer-Encoding: chunked", b"zz\r\nabc\r\n"), "after 5 attempts"),
    "chunk of negative size": (answer(f"{OK}\nTransfer-Encoding: chunked", b"-5\r\nabc\r\n"), "can't be downloaded"),
    "chunk cut off": (answer(f"{OK}\nTransfer-Encoding: chunked", b"10\r\nabc"), "after 5 attempts"),
    "chunk of an endless size line": (
        forever(f"{OK}\nTransfer-Encoding: chunked\n\n", b"1" * 65536),
        "can't be downloaded",
    ),
    "byte by byte": (forever(f"{OK}\nContent-Length: 9999\n\n", b"x", 0.02), "sources.archive.min_rate = 20.0 kB/s"),
    "head byte by byte": (forever(f"{OK}\nX-Long: ", b"x", 0.02), "ReadTimeout after 5 attempts"),
    "silent after the head": (forever(f"{OK}\nContent-Length: 99\n\n", b"", 0.02), "after 5 attempts"),
    "continue for ever": (forever("", b"HTTP/1.1 100 Continue\r\n\r\n"), "can't be downloaded"),
    "10,000 headers": (answer(OK + "".join(f"\nX-{i}: 1" for i in range(10_000))), "can't be downloaded"),
    "header of 1 MB": (answer(f"{OK}\nX: {'x' * (1 << 20)}"), "can't be downloaded"),
    "shorter than announced": (answer(f"{OK}\nContent-Length: 99", b"abc"), "after 5 attempts"),
    "shorter, from the beginning each time": (in_pieces(size=200_000, ranges=False), "after 5 attempts"),
}
SILENT = ("head byte by byte", "silent after the head")  # each attempt takes its whole time


def test_there_are_more_than_thirty():
    assert len(FILES) + len(REFUSALS) > 30


@pytest.mark.parametrize("case", FILES)
def test_the_file_is_complete(raw, case):
    raw.script = FILES[case]
    assert fetch(raw.url, sha256=None, limits=LIMITS).read_bytes() == BODY


@pytest.mark.parametrize("case", REFUSALS)
def test_the_line_says_what_is_wrong(raw, case, cache, monkeypatch):
    raw.script, expected = REFUSALS[case]
    if case in SILENT:
        monkeypatch.setattr("pipeline.sources.http._ATTEMPTS", 2)
        expected = expected.replace("5 attempts", "2 attempts")
    began = time.monotonic()
    with pytest.raises(PipelineError) as caught:
        fetch(raw.url, sha256=None, limits=LIMITS)
    assert time.monotonic() - began < SECONDS
    line = str(caught.value)
    assert expected in line
    assert raw.url in line
    assert "\n" not in line
    assert sum(file.stat().st_size for file in cache.iterdir()) <= LIMITS.max_gb * 1e9


class TestBytesThatAreKept:
    """Kept, and said to be kept, only where the next run can go on."""

    @pytest.mark.parametrize(
        ("ranges", "tag", "says", "kept"),
        [
            (True, '"1"', "", True),
            (True, '"1"', "Accept-Ranges: bytes\r\n", True),
            (False, '"1"', "", False),
            (False, '"1"', "Accept-Ranges: none\r\n", False),
            (True, None, "Accept-Ranges: bytes\r\n", False),
            (True, 'W/"1"', "Accept-Ranges: bytes\r\n", False),
        ],
    )
    def test_is_said_truly(self, raw, cache, ranges, tag, says, kept):
        script = in_pieces(size=70_000, ranges=ranges, tag=tag, says=says)

        def fail_later(send: Send, request: str, number: int) -> None:
            if number < 2 or part(request) < 70_000:
                script(send, request, number)
            else:
                in_pieces(size=0, ranges=ranges, tag=tag, says=says)(send, request, number)

        raw.script = fail_later
        with pytest.raises(PipelineError) as caught:
            fetch(raw.url, sha256=None, limits=LIMITS)
        assert ("the next run resumes from there" in str(caught.value)) == kept
        assert bool(list(cache.glob("*.partial"))) == kept
        raw.script = in_pieces(size=1 << 20, ranges=ranges, tag=tag)
        before = len(raw.requests)
        assert fetch(raw.url, sha256=None, limits=LIMITS).read_bytes() == BODY
        assert ("Range:" in raw.requests[before]) == kept


class TestTheCache:
    def test_holds_no_more_than_one_download_may_have(self, raw, cache):
        raw.script = answer(OK, BODY)
        limits = Limits(max_gb=1.0, min_rate=0.0, timeout=1.0, cache_gb=0.0007)
        for number in range(4):
            newest = fetch(f"{raw.url}?{number}", sha256=None, limits=limits)
            assert newest.exists()
            assert sum(file.stat().st_size for file in cache.iterdir()) <= 700_000

    def test_is_left_alone_where_no_bound_is_given(self, raw, cache):
        raw.script = answer(OK, BODY)
        for number in range(3):
            fetch(f"{raw.url}?{number}", sha256=None, limits=LIMITS)
        assert len(list(cache.iterdir())) == 3

    def test_keeps_files_of_others(self, raw, cache):
        cache.mkdir()
        (cache / "mine.bin").write_bytes(bytes(10**6))
        raw.script = answer(OK, BODY)
        fetch(raw.url, sha256=None, limits=Limits(max_gb=1.0, min_rate=0.0, timeout=1.0, cache_gb=0.0005))
        assert (cache / "mine.bin").exists()


class TestAddresses:
    @pytest.mark.parametrize(
        "url",
        ["http://a..b/x.zip", "http://.a/x.zip", "http://127.0.0.1:99999/x", "http://127.0.0.1:-1/x", "http://[::g]/x",
         f"http://{'a' * 70}.example/x", "http://", "http:///x.zip", "http://\x7f/x", "http://a b/x.zip", "https://127.0.0.1:x/"],
    )  # fmt: skip
    def test_that_are_none_give_one_line(self, url):
        with pytest.raises(PipelineError, match=r"can't be downloaded .*check the address") as caught:
            fetch(url, sha256=None, limits=LIMITS)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("name", ["a" * 240, "ä" * 200, "%F0%9F%90%88" * 90, "a" * 2000 + ".tar.gz"])
    def test_with_long_names_are_kept_under_short_ones(self, raw, name):
        raw.script = answer(OK, BODY)
        file = fetch(raw.url.replace("cats.zip", name), sha256=None, limits=LIMITS)
        assert file.read_bytes() == BODY
        assert len(file.name.encode()) < 120


class TestSecrets:
    """User and password come from the environment or ~/.netrc; what an address holds of them reaches no message."""

    @pytest.fixture
    def guarded(self, raw) -> RawServer:
        def script(send: Send, request: str, _: int) -> None:
            accepted = "Authorization: Basic bWU6c2VjcmV0" in request
            answer(OK if accepted else "HTTP/1.1 401 Unauthorized\nContent-Length: 0", BODY if accepted else b"")(
                send, "", 0
            )

        raw.script = script
        return raw

    def test_come_from_the_environment(self, guarded, monkeypatch):
        monkeypatch.setenv("IMAGE_PIPELINE_USER", "me")
        monkeypatch.setenv("IMAGE_PIPELINE_PASSWORD", "secret")
        assert fetch(guarded.url, sha256=None, limits=LIMITS, may_log_in=True).read_bytes() == BODY
        with pytest.raises(PipelineError, match="answered 401"):
            fetch(guarded.url, sha256=None, limits=LIMITS)

    @pytest.mark.parametrize("own", ["", "?download=1"])
    def test_a_query_comes_from_the_environment_and_is_not_shown(self, raw, own, monkeypatch, caplog):
        def script(send: Send, request: str, _: int) -> None:
            wanted = f"/cats.zip{own}{'&' if own else '?'}token=cret "
            accepted = wanted in request.splitlines()[0]
            answer(OK if accepted else "HTTP/1.1 403 Forbidden\nContent-Length: 0", BODY if accepted else b"")(
                send, "", 0
            )

        raw.script = script
        monkeypatch.setenv("IMAGE_PIPELINE_QUERY", "?token=cret")
        file = fetch(f"{raw.url}{own}", sha256=None, limits=LIMITS, may_log_in=True)
        assert file.read_bytes() == BODY
        with pytest.raises(PipelineError, match="IMAGE_PIPELINE_QUERY") as caught:
            fetch(f"{raw.url}{own}", sha256=None, limits=LIMITS)
        assert "cret" not in str(caught.value) + caplog.text + file.name

    def test_come_from_netrc(self, guarded, monkeypatch, tmp_path: Path):
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        assert fetch(guarded.url, sha256=None, limits=LIMITS).read_bytes() == BODY

    @pytest.mark.parametrize("query", ["?token=secret", "?X-Amz-Signature=secret&b=secret"])
    def test_in_a_query_are_not_shown(self, raw, query, caplog):
        raw.script = answer("HTTP/1.1 404 Not Found\nContent-Length: 0")
        with pytest.raises(PipelineError) as caught:
            fetch(f"{raw.url}{query}", sha256=None, limits=LIMITS)
        assert "secret" not in str(caught.value) + caplog.text
        assert f"{raw.url}?…" in str(caught.value)

    def test_in_a_query_are_not_part_of_the_file_name(self, raw):
        raw.script = answer(OK, BODY)
        assert "secret" not in str(
            fetch(f"{raw.url}?token=secret", sha256=hashlib.sha256(BODY).hexdigest(), limits=LIMITS)
        )
