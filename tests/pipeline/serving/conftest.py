"""The real server on 127.0.0.1, in a thread of its own, with the small model of `exported`."""

import io
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from pipeline.config.reader import load_params
from pipeline.config.sections import Params
from tests.conftest import ROOT
from tests.pipeline.serving.exported import save_exported

RED = (200, 30, 30)


@dataclass
class Running:
    url: str
    port: int
    service: Any
    folder: Path

    def predict(self, *files: tuple[str, bytes], query: str = "", **more: Any) -> requests.Response:
        form = [("files", file) for file in files]
        return requests.post(f"{self.url}/predict{query}", files=form, timeout=240, **more)


@pytest.fixture(scope="module")
def params() -> Params:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return load_params()


@pytest.fixture(scope="module")
def start(params, tmp_path_factory) -> Iterator[Callable[..., Running]]:
    """Starts a server with these limits, of the section `serve`. url_hosts: from which it fetches."""
    import uvicorn

    from pipeline.serving.admission import Limits
    from pipeline.serving.app import make_app
    from pipeline.serving.connections import make_protocol
    from pipeline.serving.meters import Meters
    from pipeline.serving.running import bind
    from pipeline.serving.service import Service

    ends: list[Callable[[], None]] = []

    def start(*, url_hosts: Iterable[str] = (), **changes: Any) -> Running:
        folder = tmp_path_factory.mktemp("served")
        save_exported(folder)
        seconds = changes.get("max_seconds", 240.0)
        protocol = make_protocol(changes.pop("max_connections", 1000), seconds)
        limits = {"max_bytes": 3_000_000, "max_files": 20, "max_pictures": 64, "max_waiting_bytes": 60_000_000}
        meters, service = Meters(), None
        service = Service(folder, params, meters)
        fetcher = make_fetcher(url_hosts, seconds / 2) if url_hosts else None
        app = make_app(service, Limits(**limits | {"max_seconds": seconds} | changes), meters, fetcher)
        listening = bind("127.0.0.1", 0)
        config = uvicorn.Config(app, http=protocol, ws="none", log_config=None, access_log=False, lifespan="on")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()

        def end() -> None:
            server.should_exit = True
            thread.join(60)
            listening.close()

        ends.append(end)
        while not server.started:
            time.sleep(0.01)
        port = listening.getsockname()[1]
        return Running(f"http://127.0.0.1:{port}", port, service, folder)

    yield start
    for end in ends:
        end()


@pytest.fixture(scope="module")
def server(start) -> Running:
    return start()


def make_fetcher(url_hosts: Iterable[str], seconds: float) -> Any:
    from pipeline.serving.fetching import Fetcher

    return Fetcher(url_hosts, seconds)


def encode(colour: tuple[int, int, int] = RED, size: tuple[int, int] = (40, 30), kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()
