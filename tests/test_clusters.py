"""Stages on a Ray cluster write the bytes that they write here, also where a node is killed in the middle; predict too.
`make test-ci`, with the extra `ray`: a head without processors and two nodes, all on this machine."""

import csv
import fcntl
import hashlib
import math
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.data.guarded import Bounds, map_guarded
from pipeline.data.shards import plan_chunks
from pipeline.runtime.cluster import open_cluster
from pipeline.runtime.processes import Runner, map_in_order
from stages.download import download
from stages.examine import examine
from stages.preprocess import preprocess
from stages.prune import prune
from stages.split import split
from tests.clone import run
from tests.code_digests import write_code
from tests.conftest import ROOT, Project

pytestmark = [
    pytest.mark.ci,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray's own files and sockets
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
]


class Nodes:
    """A head, of which the driver is part, and nodes that work."""

    def __init__(self, count: int) -> None:
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self._nodes = [self._cluster.add_node(num_cpus=1) for _ in range(count)]
        self.address: str = self._cluster.address

    def kill(self) -> None:
        """One of them, without a warning."""
        self._cluster.remove_node(self._nodes.pop(), allow_graceful=False)

    def stop(self) -> None:
        self._cluster.shutdown()


@pytest.fixture
def nodes(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nodes = Nodes(2)
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    yield nodes
    nodes.stop()
    assert not psutil.wait_procs(list_others(project.folder), timeout=60)[1]


def list_others(folder: Path) -> list[psutil.Process]:
    """Processes that run in a folder, as Ray's do and what its workers start, but for this one and the server of its pool."""
    here = [
        process for process in psutil.process_iter(["cwd", "cmdline", "ppid"]) if process.info["cwd"] == str(folder)
    ]
    own = psutil.Process().pid
    return [
        process
        for process in here
        if process.pid != own
        and not (process.info["ppid"] == own and "multiprocessing" in " ".join(process.info["cmdline"]))
    ]


@pytest.fixture
def pictures(project, picture_folder, make_image_bytes) -> Any:
    """Three classes; a file that is no picture, one of one colour, one that is too large to be decoded."""
    folder = picture_folder({"bear": 150, "cat": 150, "猫": 150})
    (folder / "cat/broken.jpg").write_bytes(b"no picture")
    (folder / "cat/grey.png").write_bytes(make_image_bytes(80, mode="L", size=(40, 30)))
    (folder / "cat/large.png").write_bytes(make_image_bytes(size=(3000, 2000)))
    project.set(families=["efficientnet_lite0"], data__source="folder", data__path=str(folder))
    project.set(preprocess__image_size=32, preprocess__num_shards=20, prune__max_megapixels=4.0, split__seed=0)
    project.set(recipes__efficientnet_lite0__input_size=64)
    download()
    return project


def digest(*paths: str) -> dict[str, str]:
    files = [file for path in map(Path, paths) for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


PRUNED = "data/manifest.csv", "data/quarantine.csv", "data/corrections.csv"


def test_prune_preprocess_and_examine_write_the_same_bytes_and_a_killed_node_changes_none(pictures, nodes, monkeypatch):
    def run_stages() -> dict[str, str]:
        for stage in (prune, split, preprocess, examine):
            stage()
        return digest(*PRUNED, "data/tfrecords", "data/examination")

    here = run_stages()
    pictures.set(runtime__cluster="ray")
    assert run_stages() == here
    planned, seen = [], []

    def kill_meanwhile(*arguments: Any, **settings: Any) -> Iterator[Any]:
        for number, chunk in enumerate(plan_chunks(*arguments, **settings)):
            if number == 25:
                seen.extend(process.name() for process in list_others(pictures.folder))
                nodes.kill()
            planned.append(chunk)
            yield chunk

    monkeypatch.setattr("stages.preprocess.plan_chunks", kill_meanwhile)
    assert run_stages() == here
    assert len(planned) == 60
    assert any(name.startswith(("ray::enter", "ray::IDLE")) for name in seen), "workers have done it"


WORK = """
import os, signal, time
def work(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 5:
        while True:
            pass
    return str(number)
def refuse(number, reason):
    return f"{number}: {reason}"
"""


@pytest.mark.usefixtures("nodes")
def test_what_crashes_its_decoder_or_takes_too_long_is_refused_for_the_same_reason(project, monkeypatch):
    (project.folder / "work.py").write_text(WORK)
    monkeypatch.syspath_prepend(str(project.folder))
    from work import refuse, work  # type: ignore[import-not-found]

    def inspect(runner: Runner | None) -> list[list[str]]:
        chunks = iter([[1, 2, 3, 4], [5, 6], [7]])
        return list(map_guarded(work, chunks, refuse=refuse, bounds=Bounds(0.5, 1 << 28), num_workers=2, runner=runner))

    here = inspect(None)
    assert [answer for chunk in here for answer in chunk if ":" in answer] == [
        "3: crashes its decoder (SIGSEGV): perhaps out of memory",
        "5: takes too long: decoding took more than 0.5 s of processor time, prune.max_seconds",
    ]
    with open_cluster(cluster="ray", address=None) as cluster:
        assert inspect(cluster) == here


SLEEP = """
import time
from pathlib import Path
def sleep(number):
    Path(f"{number}.begun").touch()
    time.sleep(600)
"""
DRIVER = """
from pipeline.runtime.cluster import open_cluster
from pipeline.runtime.processes import map_in_order
from work import sleep
with open_cluster(cluster="ray", address=None) as runner:
    list(map_in_order(sleep, [1, 2], runner=runner))
"""


@pytest.mark.usefixtures("nodes")
def test_a_driver_that_is_killed_leaves_no_work_on_a_cluster_that_others_started(project):
    (project.folder / "work.py").write_text(SLEEP)
    (project.folder / "driver.py").write_text(DRIVER)
    with subprocess.Popen([sys.executable, "driver.py"], env=os.environ | {"PYTHONPATH": str(ROOT)}) as driver:
        deadline = time.monotonic() + 120
        while not all((project.folder / f"{number}.begun").exists() for number in (1, 2)):
            assert driver.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        at_work = [process for process in list_others(project.folder) if process.name().startswith("ray::enter")]
        assert len(at_work) == 2
        driver.kill()
    assert not psutil.wait_procs(at_work, timeout=60)[1]
    with open_cluster(cluster="ray", address=None) as cluster:
        assert list(map_in_order(math.factorial, [3, 4], runner=cluster)) == [6, 24], "the next one finds it free"


@pytest.mark.usefixtures("nodes")
def test_embed_writes_the_same_bytes(pictures):
    """With an augmented view, and more tasks than one."""
    pictures.set(embed__batch_size=8)
    prune(), split(), preprocess()
    write_code("embed", "efficientnet_lite0")

    def run_embed() -> dict[str, str]:
        run([sys.executable, "-m", "stages.embed", "efficientnet_lite0"], pictures.folder, PYTHONPATH=str(ROOT))
        return digest("data/embeddings/efficientnet_lite0")

    here = run_embed()
    assert len(here) > 6
    pictures.set(runtime__cluster="ray")
    assert run_embed() == here


MODEL = """
from pathlib import Path
import numpy as np
from pipeline.runtime.tensorflow import configure_tensorflow, seed_everything
configure_tensorflow(onednn=True, threads=2, portable=True)
seed_everything(1)
from pipeline.evaluation.familiarity import fit_familiarity
from pipeline.models.artifacts import save_model
from pipeline.models.build import build_model
from pipeline.models.contract import Contract
content = {"family": "underfit", "class_names": ["bear", "cat", "猫"], "image_size": 32, "resize": "crop", "range": "auto"}
content |= {"temperature": 40.0, "data": "d" * 64, "settings": "s" * 64}
content |= {"conformal": {"images": 99, "scores": [n / 100 for n in range(1, 100)]}}
content |= {"familiarity": fit_familiarity(np.linspace(0.2, 0.6, 99), None, by_distance=False)}
save_model(build_model("underfit", image_size=32, num_classes=3), Path("any.keras"), Contract.model_validate(content))
"""


@pytest.fixture
def predict(project, picture_folder, make_image_bytes) -> Any:
    """Starts predict with an untrained model; its folder is pictures/."""
    folder = picture_folder({"bear": 150, "cat": 150, "猫": 150})
    (folder / "cat/broken.jpg").write_bytes(b"no picture")
    (folder / "cat/large.png").write_bytes(make_image_bytes(size=(3000, 2000)))
    (folder / "cat/photo.jpg").write_bytes(make_image_bytes(seed=1, size=(900, 700), kind="JPEG"))
    project.set(prune__max_megapixels=4.0, evaluate__costs={"猫": 1.4})
    run([sys.executable, "-c", MODEL], project.folder, PYTHONPATH=str(ROOT))

    def start(*words: str, **options: Any) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "stages.predict", "--model", "any.keras", *words]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True, **pipes, **options)

    return start


def test_predict_answers_the_same_and_a_killed_node_changes_nothing(predict, nodes, project, tmp_path):
    """Also where it is told the names one after the other, and half of them only when there are answers to the first."""
    extras = ["--csv", "--coverage", "0.65", "--costs", "gone.png", "../pictures", "-"]
    names = [f"{file}\n" for file in sorted((tmp_path / "pictures").rglob("*.*"))]
    with predict(*extras) as here:
        expected, _ = here.communicate("".join(names * 2))
    assert here.returncode == 1
    assert len(expected.splitlines()) == 1 + 1 + 453 * 3
    assert "large: 3000x2000" in expected
    rows = list(csv.DictReader(expected.splitlines()))
    assert all(len({row[name] for row in rows if row[name]}) > 1 for name in ("set", "decision", "none_of_these"))
    project.set(runtime__cluster="ray")
    with predict(*extras) as there:
        there.stdin.write("".join(names))
        there.stdin.flush()
        found = "".join(there.stdout.readline() for _ in range(200))
        nodes.kill()
        there.stdin.write("".join(names))
        there.stdin.close()
        rest, errors = there.stdout.read(), there.stderr.read()  # communicate would skip what is buffered here
    assert found + rest == expected, errors
    assert there.returncode == 1
    assert "on Ray: 3 node(s), 2 processor(s)" in errors


@pytest.mark.usefixtures("nodes")
def test_predict_says_which_picture_nodes_do_not_see_and_writes_nothing(predict, project, tmp_path):
    """A folder that only the driver has open."""
    project.set(runtime__cluster="ray")
    folder = fcntl.fcntl(opened := os.open(tmp_path / "pictures", os.O_RDONLY), fcntl.F_DUPFD, 500)
    try:
        with predict(f"/proc/self/fd/{folder}", pass_fds=[folder]) as driver:
            output, errors = driver.communicate()
    finally:
        os.close(opened), os.close(folder)
    assert (driver.returncode, output) == (1, "")
    assert f"can't read '/proc/self/fd/{folder}/bear/000.png': expected pictures on storage" in errors.splitlines()[-1]
