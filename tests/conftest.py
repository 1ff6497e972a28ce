"""What all tests share: pictures as bytes, folders of them, a project to run stages in, a server on this machine."""

import functools
import gc
import hashlib
import io
import os
import pickle
import shutil
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from filelock import FileLock
from PIL import Image

from pipeline.runtime.tensorflow import configure_tensorflow
from tests.clone import audited, commit, make_clone, run, set_small

ROOT = Path(__file__).resolve().parents[1]

# Compiled once, also where PYTHONDONTWRITEBYTECODE is set: otherwise each of some two hundred processes that tests start
# compiles the project anew, and pytest each test file.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# The long files first, so that short ones fill the gaps at the end. The first makes `finished_clone`, which takes a minute;
# the next four need none of it, and keep other workers from waiting for it.
_LONG = (
    "test_pipeline",
    "test_head",
    "test_build",
    "test_network",
    "test_search",
    "test_dvc_yaml",
    "test_reruns",
    "test_cache_links",
    "test_dvc_command",
    "test_predict",
    "test_compare",
    "test_resume",
    "test_verify",
    "test_hostile_params",
    "test_docs",
)


class _ConfiguredImport(MetaPathFinder, Loader):
    """Whoever imports TensorFlow or Keras first, at the top of a module too, gets them as stages configure them; what they warn
    of themselves is not ours."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:  # noqa: ARG002 - Python's names
        if name not in ("keras", "tensorflow"):
            return None
        sys.meta_path.remove(self)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            configure_tensorflow(onednn=True, threads=2, portable=True)
        return ModuleSpec(name, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """It has run already."""


sys.meta_path.insert(0, _ConfiguredImport())


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Every second process of pytest-xdist collects from the last file to the first: each compiles a half of the files in the
    time in which all would compile the same ones, and finds the other half compiled."""
    report = yield
    backwards = os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:] in ("1", "3")
    if backwards and isinstance(collector, pytest.Session | pytest.Directory):
        report.result.reverse()
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {name: rank for rank, name in enumerate(_LONG)}
    # All processes must agree on the order; within a file it stays.
    items.sort(key=lambda item: (ranks.get(item.path.stem, len(_LONG)), item.path))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Garbage collection waits until all is imported, and then passes over what lives to the end: eight thousand tests, and
    the libraries."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def make_image_bytes() -> Callable[..., bytes]:
    """An encoded picture of one colour; with a seed, of noise, so that no two seeds give the same bytes."""

    def make(colour: Any = (200, 30, 90), *, size=(32, 24), mode="RGB", kind="PNG", seed=None, **options: Any) -> bytes:
        image = Image.new(mode, size, colour)
        if seed is not None:
            pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
            image = Image.fromarray(pixels).convert(mode)
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    return make


@pytest.fixture
def picture_folder(tmp_path: Path, make_image_bytes: Callable[..., bytes]) -> Callable[..., Path]:
    """Writes files below a new folder: an int is how many different pictures a folder gets, bytes are one file's."""

    def write(layout: dict[str, int | bytes], name: str = "pictures") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for path, content in layout.items():
            files = {path: content} if isinstance(content, bytes) else _make_pictures(path, content)
            for file, data in files.items():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_bytes(data)
        return folder

    def _make_pictures(path: str, count: int) -> dict[str, bytes]:
        first = int(hashlib.sha256(path.encode()).hexdigest()[:8], 16)
        return {f"{path}/{i:03d}.png": make_image_bytes(size=(12, 10), seed=first + i) for i in range(count)}

    return write


@pytest.fixture
def no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is in no git repository, whatever lies above it and whoever runs the tests; the test is moved there."""
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@functools.cache
def _parse(text: str) -> bytes:
    """YAML, pickled: a copy for whoever changes it. Most tests of a file set the same parameters first."""
    return pickle.dumps(yaml.load(text, yaml.CSafeLoader))


@functools.cache
def _format(content: bytes) -> str:
    """The reverse."""
    return yaml.dump(pickle.loads(content), Dumper=yaml.CSafeDumper, allow_unicode=True)


class Project:
    """A folder with its own params.yaml, into which the test has been moved."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(ROOT / "params.yaml", folder)

    def set(self, **values: Any) -> None:
        """Sets parameters; two underscores stand for a dot: data__source="folder"."""
        file = self.folder / "params.yaml"
        content = pickle.loads(_parse(file.read_text(encoding="utf-8")))
        for name, value in values.items():
            *sections, key = name.split("__")
            section = content
            for part in sections:
                section = section.setdefault(part, {})  # a recipe may leave it to its defaults
            section[key] = value
        file.write_text(_format(pickle.dumps(content)), encoding="utf-8")

    def files(self) -> list[str]:
        """Everything below data/, sorted."""
        return sorted(path.relative_to(self.folder / "data").as_posix() for path in (self.folder / "data").rglob("*"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Project(folder)


@pytest.fixture(scope="session")
def finished_clone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Copies a clone in which the default pipeline has run once, small, and whose results are committed. It runs once for all
    processes of the tests. Beside each copy, in `<name>.audit`, are the lists of the files that its stages opened."""
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    finished = shared / "finished"
    with FileLock(shared / "finished.lock"):
        if not finished.exists():
            folder = make_clone(shared / "running")
            audit = shared / "audit"
            audit.mkdir()
            set_small(folder)
            run(["dvc", "repro"], folder, **audited(audit))
            commit(folder, "results")
            folder.rename(finished)

    def copy(target: Path) -> Path:
        shutil.copytree(shared / "audit", target.with_name(f"{target.name}.audit"))
        return shutil.copytree(finished, target, symlinks=True)

    return copy


@pytest.fixture
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with one core, where all work is done in this process: starting others takes seconds."""
    monkeypatch.setattr("pipeline.runtime.processes.num_cores", lambda: 1)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for downloads, instead of the user's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("IMAGE_PIPELINE_CACHE", str(folder))
    return folder


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that a retry would have waited; nobody waits."""
    seconds: list[float] = []
    monkeypatch.setattr("pipeline.sources.http.time.sleep", seconds.append)
    return seconds


class Server(ThreadingHTTPServer):
    """Serves `files` on this machine; the other attributes are the ways in which it can misbehave."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.statuses: list[int] = []  # of the next answers, before the file is given
        self.etag: str | None = '"1"'
        self.allows_ranges = True
        self.drop_after: list[int] = []  # bytes after which each of the next answers breaks off
        self.hangs = False
        self.released = threading.Event()
        self.requests: list[tuple[str, str, str | None]] = []  # method, path, Range


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def _answer(self, *, with_body: bool) -> None:
        server, path = self.server, self.path.partition("?")[0]
        server.requests.append((self.command, path, self.headers["Range"]))
        if server.hangs:
            server.released.wait(10)
            return None
        if server.statuses:
            return self.send_error(server.statuses.pop(0))
        if path in server.redirects:
            self.send_response(302)
            self.send_header("Location", server.redirects[path])
            return self.end_headers()
        if path not in server.files:
            return self.send_error(404)
        self._send(server.files[path], with_body)
        return None

    def _send(self, body: bytes, with_body: bool) -> None:
        start = self._start()
        if start is not None and start >= len(body):
            return self.send_error(416)
        self.send_response(200 if start is None else 206)
        self.send_header("Content-Length", str(len(body) - (start or 0)))
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        self.end_headers()
        if with_body:
            rest = body[start or 0 :]
            self.wfile.write(rest[: self.server.drop_after.pop(0)] if self.server.drop_after else rest)
        return None

    def _start(self) -> int | None:
        """Where the asked range begins, if ranges are given and the file is still the one that was asked for."""
        asked = self.headers["Range"]
        same = self.headers["If-Range"] in (None, self.server.etag)
        return int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.allows_ranges and same else None


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.released.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def dead_url() -> str:
    """An address on this machine at which nobody listens."""
    with Server() as closed:
        return closed.url


@pytest.fixture(scope="session")
def tensorflow() -> Any:
    """TensorFlow, configured and imported as stages do: see `_ConfiguredImport`."""
    import tensorflow as tf

    return tf


@pytest.fixture(scope="module")
def small_backbone(tensorflow: Any) -> Iterator[None]:  # noqa: ARG001 - must be configured before it is imported
    """The backbone mobilenet is a small one."""
    from tests.small_backbone import shrink_mobilenet

    with pytest.MonkeyPatch.context() as patch:
        shrink_mobilenet(patch)
        yield
