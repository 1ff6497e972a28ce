"""Pictures at URLs, from hosts that are listed. A URL that can't be fetched has its reason, as a file that is no picture.

Each connection goes to an address that was checked, and the name is not looked up again; each redirect is checked as the first
URL is. Nothing of the environment is used but the certificates that it trusts: no proxy, no password. Nothing is kept: no
cookie, no connection.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

import httpx2

from pipeline.data.image_files import Picture
from pipeline.serving.admission import TooLargeError
from pipeline.serving.allowed import AllowList
from pipeline.serving.decoding import Named

Read = Callable[[AsyncIterator[bytes], str | None], Awaitable[bytes]]

_AT_ONCE = 8  # connections to the hosts of one entry, so that slow ones keep no place of others
_REDIRECTS = 5
_LENGTH = 2048  # characters of a URL
_ADDRESSES = 3  # of a host, which are tried in their order
_PIECES, _PIECE = (
    4096,
    256,
)  # so many pieces of a body at least, and one more for each of so many bytes: each costs time
_HEADERS = {
    "User-Agent": "image-classification-pipeline",
    "Accept": "image/*, */*;q=0.5",
    "Accept-Encoding": "identity",  # what is unpacked may be a thousand times as large
    "Connection": "close",
}


class FetchError(Exception):
    """Why one URL can't be fetched. For who asks: names no address."""


class _Lane:
    """Places for the hosts of one entry. Their names have threads of their own, as a lookup can't be cut off."""

    def __init__(self) -> None:
        self.places = asyncio.Semaphore(_AT_ONCE)
        self.lookups = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="lookup")


class Fetcher:
    def __init__(self, hosts: Iterable[str], seconds: float) -> None:
        """hosts: entries of serve.url_hosts. seconds: for all URLs of a request, from its body on."""
        self._allowed, self._seconds = AllowList(hosts), seconds
        self._lanes = {host: _Lane() for host in self._allowed.hosts}
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        self._transport = httpx2.AsyncHTTPTransport(limits=limits)
        timeout = httpx2.Timeout(seconds, connect=seconds / _ADDRESSES)
        self._timeout = timeout.as_dict()

    async def fetch(self, urls: list[str], read: Read) -> list[Named | Picture]:
        """For each URL, in their order, its bytes, or why there are none. read: from the parts of a body and its Content-Length
        to the whole. Raises what it raises, but for TooLargeError, which is a reason."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._fetch(url, read)) for url in urls]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _fetch(self, url: str, read: Read) -> Named | Picture:
        try:
            async with asyncio.timeout(self._seconds):
                return url, await self._follow(url, read)
        except TimeoutError:
            reason = f"took more than {self._seconds:g} s, half of serve.max_seconds"
        except (FetchError, TooLargeError) as error:
            reason = str(error)
        except httpx2.TransportError as error:
            reason = f"the connection failed ({type(error).__name__})"
        return Picture(url, None, f"can't be fetched: {reason}")

    async def _follow(self, text: str, read: Read) -> bytes:
        """The body at a URL, or where it redirects to."""
        url = _parse(text)
        for _ in range(_REDIRECTS + 1):
            answer = await self._get(url, read)
            if isinstance(answer, bytes):
                return answer
            url = answer
        raise FetchError(f"redirected more than {_REDIRECTS} times")

    async def _get(self, url: httpx2.URL, read: Read) -> bytes | httpx2.URL:
        lane = self._find_lane(url)
        async with lane.places:
            response = await self._open(url, await self._look_up(url, lane))
            try:
                if response.has_redirect_location:
                    return _parse(response.headers["Location"], url)
                _check(response)
                async with aclosing(_cut(response)) as parts:
                    return await read(parts, response.headers.get("Content-Length"))
            finally:
                await response.aclose()

    def _find_lane(self, url: httpx2.URL) -> _Lane:
        host = self._allowed.find_host(url.scheme, url.raw_host.decode("ascii"), url.port)
        if host is None:
            raise FetchError(f"{url.netloc.decode('ascii')} is not in serve.url_hosts")
        return self._lanes[host]

    async def _look_up(self, url: httpx2.URL, lane: _Lane) -> list[str]:
        """The addresses of its host that may be connected to."""
        loop, name = asyncio.get_running_loop(), url.raw_host.decode("ascii")
        try:
            found = await loop.run_in_executor(
                lane.lookups, lambda: socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            )
        except (OSError, UnicodeError):
            raise FetchError("its host is not known") from None
        addresses = [str(address[0]) for *_, address in found]
        allowed = [address for address in addresses if self._allowed.has_address(address)]
        if not allowed:
            raise FetchError("its host has a private address, which is not in serve.url_hosts")
        return allowed[:_ADDRESSES]

    async def _open(self, url: httpx2.URL, addresses: list[str]) -> httpx2.Response:
        """The answer, of which only the head has been read."""
        headers = {"Host": url.netloc.decode("ascii")} | _HEADERS
        # The certificate has to be that of the name, though the connection goes to an address.
        extensions = {"sni_hostname": url.raw_host.decode("ascii"), "timeout": self._timeout}
        reason = ""
        for address in addresses:
            request = httpx2.Request("GET", url.copy_with(host=address), headers=headers, extensions=extensions)
            try:
                return await self._transport.handle_async_request(request)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                reason = "has no valid certificate" if "CERTIFICATE" in str(error) else "can't be reached"
        raise FetchError(f"its host {reason}")

    async def close(self) -> None:
        await self._transport.aclose()
        for lane in self._lanes.values():
            lane.lookups.shutdown(wait=False, cancel_futures=True)


def _parse(text: str, base: httpx2.URL | None = None) -> httpx2.URL:
    """Of http or https, with a host and without a user. base: of a redirect, which need not be whole."""
    redirected = "" if base is None else "redirected: "
    if len(text) > _LENGTH:
        raise FetchError(f"{redirected}longer than {_LENGTH:,} characters")
    try:
        url = httpx2.URL(text) if base is None else base.join(text)
    except (httpx2.InvalidURL, ValueError):
        raise FetchError(f"{redirected}no URL") from None
    if url.scheme not in ("http", "https") or not url.raw_host:
        raise FetchError(f"{redirected}expected http:// or https:// and a host")
    if url.userinfo:
        raise FetchError(f"{redirected}expected no user and password")
    return url


def _check(response: httpx2.Response) -> None:
    if response.status_code != 200:
        raise FetchError(f"answered {response.status_code}")
    if (coding := response.headers.get("Content-Encoding", "identity").strip().lower()) != "identity":
        raise FetchError(f"answered with Content-Encoding {coding[:20]!r}: expected the file's own bytes")


async def _cut(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """The parts of a body, as they come; between two of them others have their turn."""
    pieces = size = 0
    async with aclosing(response.aiter_raw()) as parts:
        async for part in parts:
            pieces, size = pieces + 1, size + len(part)
            if pieces > _PIECES + size // _PIECE:
                raise FetchError("comes in pieces of a few bytes")
            yield part
            await asyncio.sleep(0)
