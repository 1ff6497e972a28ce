"""Connections that hostile clients can't keep: each sends its request in time, and those that are too many are told so."""

import asyncio
import json
from typing import Any

from starlette.responses import JSONResponse
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

_HURRY = 5.0  # seconds in which a connection beyond the limit has to say what it wants
_BUSY = "too many connections are open: try again"


def refuse(status: int, reason: str) -> JSONResponse:
    """The answer to a request that gets no other. The connection ends with it, unless the client is to come again."""
    headers = {"Retry-After": "1"} if status == 503 else {"Connection": "close"}
    return JSONResponse({"error": reason}, status, headers)


def make_protocol(max_connections: int, max_seconds: float) -> type[HttpToolsProtocol]:
    """uvicorn's protocol, with what it lacks: it waits for ever for the head of a request and for who does not read its answer,
    and it says 503 without Retry-After. max_seconds: for a head, from the connection or its first byte on; for reading."""

    inside: set[HttpToolsProtocol] = set()

    class Protocol(HttpToolsProtocol):
        _has_ended = False
        _head: asyncio.TimerHandle | None = None
        _reading: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            if len(inside) < max_connections:  # who came first stays
                inside.add(self)
            self._wait_for_head()

        def data_received(self, data: bytes) -> None:
            if self._has_ended:
                return
            if self._head is None and (self.cycle is None or self.cycle.response_complete):
                self._wait_for_head()
            super().data_received(data)

        def on_headers_complete(self) -> None:
            _cancel(self._head)
            self._head = None
            if self not in inside:
                self.app = _send_busy
            super().on_headers_complete()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._reading = self.loop.call_later(max_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            _cancel(self._reading)
            super().resume_writing()

        def timeout_keep_alive_handler(self) -> None:
            super().timeout_keep_alive_handler()
            self.loop.call_later(max_seconds, self.transport.abort)  # what is sent last may never be read

        def connection_lost(self, exc: Exception | None) -> None:
            _cancel(self._head)
            _cancel(self._reading)
            inside.discard(self)
            super().connection_lost(exc)

        def _wait_for_head(self) -> None:
            seconds = max_seconds if self in inside else min(_HURRY, max_seconds)
            self._head = self.loop.call_later(seconds, self._give_up)

        def _give_up(self) -> None:
            if self.transport.is_closing():
                return
            late = f"no request within {max_seconds:g} s (serve.max_seconds)"
            self.transport.write(_make_last(408, late) if self in inside else _make_last(503, _BUSY))
            self.transport.write_eof()  # not closed yet: what the client still sends would make it lose the answer
            self._has_ended = True
            self._head = self.loop.call_later(min(_HURRY, max_seconds), self.transport.abort)

    return Protocol


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def _make_last(status: int, reason: str) -> bytes:
    """What is sent to who has asked for nothing yet."""
    body = json.dumps({"error": reason}).encode()
    again = b"retry-after: 1\r\n" if status == 503 else b""
    head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n" % len(body)
    return STATUS_LINE[status] + head + again + b"\r\n" + body


async def _send_busy(scope: Any, receive: Any, send: Any) -> None:
    response = refuse(503, _BUSY)
    response.headers["Connection"] = "close"
    await response(scope, receive, send)
