"""Stages on a Ray cluster write the bytes that they write here, also where a node is killed in the middle. `make test-ci`, with
the extra `ray`: a head without processors and two nodes, all on this machine."""

import csv
import fcntl
import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from pipeline.data.embeddings import save_none
from pipeline.data.guarded import Bounds, map_guarded
from pipeline.data.shards import plan_chunks
from pipeline.runtime.cluster import open_cluster
from pipeline.runtime.processes import Runner, map_in_order
from stages.download import download
from stages.examine import examine
from stages.preprocess import preprocess
from stages.prune import prune
from stages.split import split
from tests.clone import commit, run
from tests.code_digests import write_code
from tests.conftest import ROOT, Project
from tests.tfrecords import make_coloured_split, write_records

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

    def kill(self, work: psutil.Process | None = None) -> None:
        """One of them, without a warning: the one that does this work, or any."""
        above = {process.pid for process in work.parents()} if work else set()
        node = next((node for node in self._nodes if self._find_raylet(node) in above), self._nodes[-1])
        self._nodes.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)

    @staticmethod
    def _find_raylet(node: Any) -> int:
        return int(node.all_processes["raylet"][0].process.pid)

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
    """Processes that run in a folder or below it, as Ray's do and what its workers start, but for this one and the server of
    its pool."""
    here = [
        process
        for process in psutil.process_iter(["cwd", "cmdline", "ppid"])
        if Path(process.info["cwd"] or "/").is_relative_to(folder)
    ]
    own = psutil.Process().pid
    return [
        process
        for process in here
        if process.pid != own
        and not (process.info["ppid"] == own and "multiprocessing" in " ".join(process.info["cmdline"]))
    ]


def read_words(process: psutil.Process) -> list[str]:
    """Its command line, as `list_others` has seen it."""
    return process.info["cmdline"] or []  # type: ignore[attr-defined]


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
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()}


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


TRAIN = """
import os, sys, time
from pathlib import Path
from pipeline.runtime.lifetime import DVC_PID, end_with_dvc
end_with_dvc()
family = os.environ["DVC_STAGE"].partition("@")[2]
print(f"{family} begins", flush=True)
if family == "refused":
    print("error: no luck", file=sys.stderr)
    sys.exit(3)
if family == "lost":
    os.kill(int(os.environ[DVC_PID]), 9)
    time.sleep(600)
if family == "long":
    Path("long.begun").touch()
    time.sleep(600)
Path(f"{family}.out").write_text(f"{family} {os.getcwd()}")
"""


@pytest.fixture
def small_stages(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project of DVC's whose trainings are lines of Python, and whose report runs here."""
    (project.folder / "train.py").write_text(TRAIN)
    train = {"matrix": {"family": ["fine", "refused", "lost", "long"]}, "cmd": "python train.py"}
    train |= {"deps": ["train.py"], "outs": ["${item.family}.out"]}
    report = {"cmd": "cp fine.out report.out", "deps": ["fine.out"], "outs": ["report.out"]}
    (project.folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"train": train, "report": report}}))
    project.set(runtime__cluster="ray")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    run(["git", "init", "--quiet"], project.folder)
    run([sys.executable, "-m", "dvc", "init", "--quiet"], project.folder)
    commit(project.folder, "start")
    return project


REPRO = [sys.executable, "-m", "stages.repro"]


@pytest.mark.usefixtures("nodes")
def test_what_fails_on_a_node_fails_its_stage_with_its_own_words_and_what_is_lost_three_times_is_named(small_stages):
    said = run([*REPRO, "report"], small_stages.folder)
    assert "train@fine: fine begins" in said
    assert "report: fine" not in said
    assert (small_stages.folder / "report.out").read_text() == f"fine {small_stages.folder}"
    said = run([*REPRO, "-j", "2", "train@refused", "train@lost"], small_stages.folder, expect=1)
    assert "train@refused: error: no luck" in said
    assert "exited with 3" in said
    assert said.count("train@refused: refused begins") == 1, "no other try"
    assert said.count("train@lost: lost begins") == 3
    assert said.count("train@lost: error: train@lost: its worker on the Ray cluster was lost 3 times (") == 1
    assert "Traceback" not in said
    last = said.splitlines()[-1]
    assert last.startswith("error: ")
    assert "train@lost" in last
    assert "train@refused" in last
    assert list((small_stages.folder / ".cache").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.usefixtures("nodes")
def test_where_it_is_interrupted_or_killed_nothing_runs_on_the_nodes(small_stages, number):
    # Ctrl-C would be ignored where tests run in the background; a terminal sends it to all of them.
    start = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from stages.repro import main"
    )
    command = [sys.executable, "-c", f"{start}; sys.exit(main())", "train@long"]
    with subprocess.Popen(command, cwd=small_stages.folder, start_new_session=True) as process:
        deadline = time.monotonic() + 200
        while not (small_stages.folder / "long.begun").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        work = [other for other in list_others(small_stages.folder) if "train.py" in read_words(other)]
        assert work
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    assert not psutil.wait_procs(work, timeout=60)[1]
    here = ("pipeline.runtime.stage_worker", "pipeline.runtime.cluster_shell")
    ended = [other for other in list_others(small_stages.folder) if {*here} & {*read_words(other)}]
    assert not psutil.wait_procs(ended, timeout=60)[1]


def read_stage(process: psutil.Process) -> str:
    """What DVC has told it; empty where it has ended."""
    with suppress(psutil.Error):
        return process.environ().get("DVC_STAGE", "")
    return ""


def list_resumable(folder: Path) -> list[psutil.Process]:
    """Trainings of networks, once each has a checkpoint."""
    verbs = {"stages.train", "stages.crossval"}
    work = [process for process in list_others(folder) if verbs & {*read_words(process)}]
    work = [process for process in work if "underfit" in read_stage(process)]
    return work if len(list((folder / ".dvc/cache/checkpoints").glob("underfit-*/*.npz"))) >= len(work) else []


def test_trainings_on_nodes_write_the_bytes_and_the_lock_of_dvc_repro_and_a_killed_node_changes_none(
    project, nodes, finished_clone: Callable[[Path], Path], tmp_path
):
    """Two families and a fold; a node is killed that has trained for some epochs, and another goes on."""
    there = finished_clone(project.folder / "clone")
    params = yaml.safe_load((there / "params.yaml").read_text())
    params["train"]["max_epochs"] = params["recipes"].setdefault("underfit", {})["epochs"] = 60
    params["recipes"]["linear_svm"]["max_iterations"] = 60
    params["crossval"] |= {"families": ["underfit"], "folds": [1, 2]}
    params["runtime"]["cluster"] = "ray"
    (there / "params.yaml").write_text(yaml.safe_dump(params))
    pace = there / "pipeline/training/checkpoints.py"
    pace.write_text(pace.read_text().replace("first: float = 30.0", "first: float = 0.0"))
    # Of what a cluster has to do with data, tests above tell: as if it had run there.
    run(["dvc", "commit", "--force", "prune", "preprocess", "examine", "embed"], there)
    here = shutil.copytree(there, tmp_path / "here", symlinks=True)
    stages = ["evaluate@underfit", "train@linear_svm", "crossval@underfit-1"]
    run(["dvc", "repro", *stages], here)

    with (tmp_path / "said").open("w") as stream:
        process = subprocess.Popen([*REPRO, "-j", "3", *stages], cwd=there, stdout=stream, stderr=stream)
        deadline = time.monotonic() + 250
        while not (work := list_resumable(there)):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        nodes.kill(work[0])
        assert process.wait() == 0, (tmp_path / "said").read_text()
    said = (tmp_path / "said").read_text()
    assert "its worker was lost: again, on " in said
    assert "underfit: resumes at epoch " in said
    assert yaml.safe_load((there / "dvc.lock").read_text()) == yaml.safe_load((here / "dvc.lock").read_text())
    for path in ("models/underfit.keras", "metrics/underfit/train", "models/linear_svm.keras", "data/crossval"):
        assert [*digest(str(there / path)).values()] == [*digest(str(here / path)).values()] != []
    assert "Running stage" not in run(["dvc", "repro", *stages], there)


SEARCH = [sys.executable, "-m", "stages.search", "underfit"]


@pytest.fixture
def searched(project: Project) -> Project:
    """Data, and a search of four learning rates, of which the low ones are pruned."""
    splits = {name: make_coloured_split(n, 16, seed=n) for name, n in {"train": 30, "val": 30, "test": 6}.items()}
    write_records(class_names=["red", "green", "blue"], **splits)
    save_none("underfit")
    write_code("search", "underfit")
    project.set(families=["underfit"], preprocess__image_size=16, train__epochs=100, train__optimizer="sgd")
    project.set(search__families=["underfit"], search__sampler="random", search__trials=4)
    project.set(search__space={"train": {"learning_rate": [1e-6, 1e-5, 0.02, 0.05]}})
    project.set(search__pruning__min_trials=1, search__pruning__min_epochs=20)
    return project


def take_trials(folder: Path) -> list[dict[str, Any]]:
    """Those that are stored, without seconds; they are stored no longer."""
    (store,) = (folder / ".dvc/cache/search").iterdir()
    trials = [json.loads(file.read_text()) for file in sorted(store.iterdir())]
    shutil.rmtree(store)
    return [{key: value for key, value in trial.items() if key != "seconds"} for trial in trials]


def test_trials_of_a_search_on_nodes_are_those_of_one_process_and_a_killed_node_changes_none(searched, nodes, tmp_path):
    """Two are under way when one of their nodes is killed."""
    run(SEARCH, searched.folder, PYTHONPATH=str(ROOT))
    trials, here = take_trials(searched.folder), digest("metrics/search/underfit")
    assert {trial["state"] for trial in trials} == {"finished", "pruned"}
    searched.set(runtime__cluster="ray")
    shutil.rmtree("metrics")
    with (tmp_path / "said").open("w") as stream:
        process = subprocess.Popen(SEARCH, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=stream)
        deadline = time.monotonic() + 250
        while len(list(Path(".cache/search/underfit").glob("[12]-*/val/record"))) < 2:
            assert process.poll() is None, (tmp_path / "said").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        nodes.kill(next(other for other in list_others(searched.folder) if other.name().startswith("ray::enter")))
        assert process.wait() == 0, (tmp_path / "said").read_text()
    assert "on Ray: 3 node(s), 2 processor(s)" in (tmp_path / "said").read_text()
    assert digest("metrics/search/underfit") == here
    assert take_trials(searched.folder) == trials
    assert not Path(".cache/search/underfit").exists()


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
