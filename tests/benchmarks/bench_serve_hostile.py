"""What the server does under hostile load: whether it stays up, stays right, and gives back what it took.

python tests/benchmarks/bench_serve_hostile.py [FOLDER] [--requests 10000] [--rounds 3] [--slow 200]

FOLDER: of exported files; by default a small ONNX file that the tests make. In every round, all at once: as many requests as
are asked for, each on a connection of its own; connections that are cut in the middle of the body; heads and bodies that come a
byte at a time; bodies that are shorter or longer than they say, and no HTTP at all; every picture of the hostile corpus.
Meanwhile one client asks for good pictures and compares each answer with what the same file gives in this process. Only
127.0.0.1 is asked, and every connection is bounded in time. Exits with 1 if an answer was wrong or the server did not survive.
"""

import argparse
import asyncio
import json
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.config.reader import load_params
from pipeline.data.image_files import decode_named
from pipeline.evaluation.ranking import describe_answer, make_answers
from pipeline.serving.served import Served, load_served
from tests.pipeline.data.hostile import draw, encode, list_bad, list_good
from tests.pipeline.serving.exported import save_exported

_PATIENCE = 120.0  # seconds that a client waits for anything
_TRIES = 100  # of a picture of the corpus
_LAST_DIGIT = 1.01e-6  # of printed probabilities
_HEAD = "POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n"


class Client:
    """Counts what comes back. expected: picture's bytes to the answer that is right."""

    def __init__(self, port: int, expected: dict[bytes, dict[str, Any]]) -> None:
        self.port, self.expected = port, expected
        self.statuses: dict[str, Counter[str]] = {}
        self.wrong: list[str] = []

    async def send(self, kind: str, parts: Iterable[bytes], *, pause: float = 0.0, cut: bool = False) -> bytes:
        """The whole response, in which the server ends the connection; empty if it was cut. Notes its status under `kind`."""
        response, status = b"", "cut"
        try:
            async with asyncio.timeout(_PATIENCE):
                response = await self._exchange(parts, pause, cut)
        except TimeoutError:
            status = "no answer in time"
        except OSError as error:
            status = type(error).__name__
        if response:
            status = response.split(b" ", 2)[1].decode(errors="replace")
            if status == "503" and b"retry-after: 1" not in response.lower():
                self.wrong.append(f"{kind}: 503 without Retry-After")
        self.statuses.setdefault(kind, Counter())[status] += 1
        return response

    async def _exchange(self, parts: Iterable[bytes], pause: float, cut: bool) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        reading = asyncio.create_task(_read(reader))
        try:
            with suppress(ConnectionError):  # it may have said why before it was told all
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(pause)
                    if reading.done():
                        break
            return b"" if cut else await reading
        finally:
            reading.cancel()
            writer.transport.abort()

    async def ask(self, kind: str, data: bytes, *, tries: int = 1) -> None:
        """For a picture, whose answer has to be right if there is one. tries: after 503, a second later."""
        for _ in range(tries):
            response = await self.send(kind, [_HEAD.format(len(data)).encode(), data])
            status = response.split(b" ", 2)[1:2]
            if status in ([b"200"], [b"422"]):
                self._check(kind, response, self.expected[data])
            if status != [b"503"]:
                return
            await asyncio.sleep(1)

    def _check(self, kind: str, response: bytes, expected: dict[str, Any]) -> None:
        head, _, body = response.partition(b"\r\n\r\n")
        if b"content-length" not in head.lower():
            self.wrong.append(f"{kind}: an answer without its length")
            return
        try:
            given = json.loads(body).get("answers", [None])[0]
        except ValueError:
            self.wrong.append(f"{kind}: {body[:100]!r}")
            return
        if given is None:  # no picture at all
            return
        wanted = json.loads(json.dumps(expected))
        numbers = [[p.pop("probability") for p in answer.get("predictions", [])] for answer in (given, wanted)]
        is_near = all(abs(a - b) <= _LAST_DIGIT for a, b in zip(*numbers, strict=True))
        if not is_near or given != wanted:
            self.wrong.append(f"{kind}: {given} {numbers[0]} instead of {wanted} {numbers[1]}")


async def _read(reader: asyncio.StreamReader) -> bytes:
    """All, until the server ends the connection."""
    response = b""
    with suppress(ConnectionError):
        while part := await reader.read(1 << 16):
            response += part
    return response


def compute_expected(served: Served, pictures: Iterable[bytes]) -> dict[bytes, dict[str, Any]]:
    """In this process, one at a time."""
    expected, names = {}, served.contract.class_names
    for data in pictures:
        picture = decode_named(("picture", data), served.decoding)
        rows = () if picture.pixels is None else served.classify(picture.pixels[None])
        [answer] = make_answers([picture], rows, names, 3, rule=None, refusal=served.refusal)
        expected[data] = describe_answer(answer, served.contract.family)
    return expected


def list_cuts(data: bytes, count: int) -> list[list[bytes]]:
    rng = random.Random(0)
    return [[_HEAD.format(len(data)).encode(), data[: rng.randrange(len(data))]] for _ in range(count)]


def list_lies(data: bytes) -> list[list[bytes]]:
    """Lengths that are wrong, and what is no HTTP."""
    lengths = [len(data) + 1, len(data) - 1, 0, 10**12, -1, "x", "1e3", "0x10", "", "9" * 400]
    lies = [[_HEAD.format(length).encode(), data] for length in lengths]
    twice = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    chunked = b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    lies += [[twice, data], [chunked + b"Content-Length: 5\r\n\r\n", data], [chunked + b"\r\nZZ\r\n", data]]
    return [*lies, [b"\0" * 300], [b"GET " + b"a" * 200_000], [b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" * 9]]


async def stay(client: Client, good: list[bytes], stop: threading.Event) -> None:
    """Good requests, one after the other."""
    number = 0
    while not stop.is_set():
        await client.ask("meanwhile", good[number % len(good)])
        number += 1
        await asyncio.sleep(0.02)


async def attack(client: Client, good: list[bytes], corpus: list[bytes], requests: int, slow: int) -> None:
    """Everything at once; those that keep their connections come first."""
    byte_by_byte = [bytes([byte]) for byte in _HEAD.format(1000).encode()]
    body_by_byte = [_HEAD.format(1000).encode(), *[b"x"] * 1000]
    slow_ones: list[Awaitable[Any]] = [client.send("slow head", byte_by_byte, pause=1.0) for _ in range(slow // 2)]
    slow_ones += [client.send("slow body", body_by_byte, pause=1.0) for _ in range(slow // 2)]
    keeping = asyncio.gather(*slow_ones)
    await asyncio.sleep(2)
    work: list[Awaitable[Any]] = [client.ask("at once", good[number % len(good)]) for number in range(requests)]
    work += [client.ask("corpus", data, tries=_TRIES) for data in corpus]
    work += [client.send("cut", parts, cut=True) for parts in list_cuts(good[0], requests // 10)]
    work += [client.send("lies", parts) for parts in list_lies(good[0]) * max(1, slow // 20)]
    await asyncio.gather(*work, keeping)


def run_round(client: Client, good: list[bytes], corpus: list[bytes], requests: int, slow: int) -> None:
    """The attack, and in another thread the client that stays."""
    stop = threading.Event()
    other = threading.Thread(target=lambda: asyncio.run(stay(client, good, stop)))
    other.start()
    try:
        asyncio.run(attack(client, good, corpus, requests, slow))
    finally:
        stop.set()
        other.join()


def describe(server: psutil.Process) -> str:
    """Its memory, its decoders' memory, and what it has open."""
    children = server.children(recursive=True)
    memory = sum(each.memory_info().rss for each in children) / 1e6
    own = f"{server.memory_info().rss / 1e6:.0f} MB, {server.num_fds()} open files"
    return f"{own}; {len(children)} other processes, {memory:.0f} MB"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--requests", type=int, default=10_000, help="at once")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slow", type=int, default=200, help="connections that send a byte a second")
    chosen = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.folder or Path(scratch, "model")
        if chosen.folder is None:
            save_exported(folder)
        return run(folder, chosen)


def run(folder: Path, chosen: argparse.Namespace) -> int:
    good = [encode(draw(seed, (160, 120)), ("JPEG", "PNG")[seed % 2]) for seed in range(8)]
    corpus = [data for _, data in list_good()] + [data for _, data, _ in list_bad() if data]
    expected = compute_expected(load_served(folder, load_params()), {*good, *corpus})
    command = [sys.executable, "-m", "stages.serve", "--folder", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        port = int(started.stdout.readline().rsplit(":", 1)[1])
        server, wrong = psutil.Process(started.pid), []
        try:
            for number in range(chosen.rounds + 1):
                client = Client(port, expected)
                few = number == 0  # a warm-up, with one of each kind
                run_round(client, good, corpus, 50 if few else chosen.requests, 2 if few else chosen.slow)
                wrong += client.wrong
                for kind, statuses in client.statuses.items():
                    print(f"round {number}, {kind}: " + ", ".join(f"{n:,} × {s}" for s, n in statuses.most_common()))
                print(f"after round {number}: {describe(server)}", flush=True)
            asyncio.run(Client(port, expected).ask("after", good[0]))
            alive = started.poll() is None
        finally:
            started.send_signal(signal.SIGTERM)
            status = started.wait(60)
    print(f"wrong answers: {len(wrong)}; alive: {alive}; exit status: {status}", *wrong[:5], sep="\n")
    return int(bool(wrong) or not alive or status != 0)


if __name__ == "__main__":
    sys.exit(main())
