"""A browser that tests drive by WebDriver: https://www.w3.org/TR/webdriver2/. Needs chromium and chromium-driver, as Debian has
them, and no network."""

import base64
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
needs_browser = pytest.mark.skipif(BROWSER is None or DRIVER is None, reason="chromium or its driver is not installed")


class Browser:
    """One window."""

    def __init__(self, session: str) -> None:
        self._session = session

    def ask(self, method: str, path: str, **content: Any) -> Any:
        body = content if method == "POST" else None
        answer = requests.request(method, f"{self._session}/{path}", json=body, timeout=300).json()["value"]
        if isinstance(answer, dict) and "error" in answer:
            raise AssertionError(f"{answer['error']}: {answer['message']}")
        return answer

    def open(self, page: Path) -> None:
        self.ask("POST", "url", url=page.resolve().as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """What the function body `script` returns; a promise is waited for."""
        return self.ask("POST", "execute/sync", script=script, args=list(arguments))

    def find(self, selector: str) -> str:
        return next(iter(self.ask("POST", "element", using="css selector", value=selector).values()))

    def choose(self, selector: str, files: list[Path]) -> None:
        """Puts files into an <input>, as a user does."""
        names = "\n".join(str(file.resolve()) for file in files)
        self.ask("POST", f"element/{self.find(selector)}/value", text=names)

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        """The page's width and height, and the colours that it is asked for. Below 600 pixels it is touched, not clicked."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._devtools("Emulation.setDeviceMetricsOverride", metrics)
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._devtools("Emulation.setTouchEmulationEnabled", {"enabled": width < 600})
        self._devtools("Emulation.setEmulatedMedia", {"features": [feature]})

    def photograph(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self.ask("GET", "screenshot")))

    def read_console(self) -> list[str]:
        """What the browser complained of since it was asked last."""
        return [entry["message"] for entry in self.ask("POST", "se/log", type="browser")]

    def _devtools(self, command: str, params: dict[str, Any]) -> None:
        self.ask("POST", "goog/cdp/execute", cmd=command, params=params)


@contextmanager
def open_browser(profile: Path) -> Iterator[Browser]:
    """profile: an empty folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen(
        [DRIVER, f"--port={port}", "--silent"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait(address)
        options = {"binary": BROWSER, "args": [*FLAGS.split(), f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        body = {"capabilities": {"alwaysMatch": wanted}}
        started = requests.post(f"{address}/session", json=body, timeout=120).json()["value"]
        browser = Browser(f"{address}/session/{started['sessionId']}")
        try:
            yield browser
        finally:
            requests.delete(browser._session, timeout=60)
    finally:
        driver.terminate()
        driver.wait(timeout=30)


def _wait(address: str) -> None:
    for _ in range(600):
        try:
            requests.get(f"{address}/status", timeout=5)
            return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise AssertionError("chromedriver does not answer")
