"""What is said of a cluster that can't be used; and, in `make test-ci`, work on a Ray of one machine."""

import math
import os
import pickle
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pipeline.runtime import cluster_task
from pipeline.runtime.cluster import _define_entry, open_cluster
from pipeline.runtime.cluster_task import Ground, describe_ground, run_task
from pipeline.runtime.errors import PipelineError

ROOT = Path(__file__).parents[3]


def test_without_a_cluster_there_is_no_runner_and_ray_is_not_imported():
    with open_cluster(cluster="local", address=None) as runner:
        assert runner is None
    script = "import sys; import stages.prune, stages.preprocess, stages.examine, stages.predict; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with pytest.raises(PipelineError, match=r"install the extra: pip install -c constraints.txt -e '.\[ray\]'"):
        open_cluster(cluster="ray", address=None).__enter__()


@pytest.mark.parametrize("where", ["parameter", "variable"])
def test_an_address_where_nobody_answers_is_named_within_seconds(monkeypatch, where):
    pytest.importorskip("ray")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setitem(os.environ, "RAY_ADDRESS", address if where == "variable" else "other:1")
    with pytest.raises(PipelineError, match=f"{address}, is out of reach .*expected host:port of the head"):
        open_cluster(cluster="ray", address=address if where == "parameter" else None).__enter__()


def test_a_port_of_another_program_is_named(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr("pipeline.runtime.cluster_connection._CONNECT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(
            PipelineError, match=f"{address}, is out of reach .no answer in the language of Ray.: expected"
        ):
            open_cluster(cluster="ray", address=address).__enter__()


def test_another_version_is_named(monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(os, "environ", dict(os.environ))

    def refuse(**_):
        raise RuntimeError(
            "Version mismatch: The cluster was started with:\n  Ray: 2.9.0\nThis process was started with 2.60.0"
        )

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(
        PipelineError, match=r"auto, runs another version: .*2\.9\.0.*: install the same Ray and Python"
    ):
        open_cluster(cluster="ray", address="auto").__enter__()


class TestWorker:
    """What a worker checks before it works, called in this process."""

    def test_without_the_projects_folder_it_says_which_is_missing(self, tmp_path):
        node, missing, _ = _define_entry()(str(tmp_path / "absent"), str(ROOT), b"")
        assert (node, missing) == (socket.gethostname(), str(tmp_path / "absent"))

    @pytest.fixture
    def ground(self, tmp_path, monkeypatch) -> Ground:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(cluster_task, "_done", [])
        monkeypatch.setitem(sys.modules, "__main__", type(sys)("__main__"))
        (tmp_path / "token").touch()
        return describe_ground(Path("token"))

    def test_on_the_same_ground_it_returns_the_result(self, ground):
        assert run_task(pickle.dumps((ground, None, pickle.dumps((math.factorial, 5))))) == 120

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"token": "gone"}, "has another .*: expected the same storage on all nodes"),
            ({"digest": "0"}, "has other code in"),
            ({"machine": "aarch64"}, "expected aarch64, as sums round otherwise"),
            ({"versions": (("pillow", "1.0"),)}, "has pillow .*: expected 1.0, as here"),
        ],
    )
    def test_on_another_it_refuses(self, ground, changes, message):
        other = Ground(**vars(ground) | changes)
        if "versions" in changes:
            rest = ground.versions[1:]
            other = Ground(**vars(ground) | {"versions": changes["versions"] + rest})
        with pytest.raises(PipelineError, match=message):
            run_task(pickle.dumps((other, None, pickle.dumps((math.factorial, 5)))))

    def test_what_is_to_be_called_first_is_called_once_and_before_the_task_is_unpickled(self, ground):
        (Path("told.py")).write_text("import first\nassert first.told\ndef tell(x):\n    return first.told\n")
        (Path("first.py")).write_text("told = []\ndef first():\n    told.append(1)\n")
        sys.path.insert(0, str(Path.cwd()))
        try:
            import first

            # told.tell and 1: the module is imported when this is read.
            rest = b"\x80\x04(ctold\ntell\nK\x01t."
            work = pickle.dumps((ground, first.first, rest))
            assert run_task(work) == [1]
            assert run_task(work) == [1]
        finally:
            sys.path.remove(str(Path.cwd()))
            for name in ("first", "told"):
                sys.modules.pop(name, None)


PARENT = """
import math, os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run in the background, it is ignored
import psutil
from pipeline.runtime.cluster import open_cluster
from pipeline.runtime.processes import map_in_order
from work import crash

with open_cluster(cluster="ray", address=None) as runner:
    assert list(map_in_order(math.factorial, range(50), runner=runner)) == [math.factorial(n) for n in range(50)]
    try:
        list(map_in_order(math.factorial, [3, -1], runner=runner))
    except ValueError as error:
        print(error)
    try:
        list(map_in_order(crash, [1], runner=runner, singles=lambda n: [("fine.jpg", 0), ("cat/7.jpg", n)]))
    except Exception as error:
        print(error)
    needing = runner.with_needs(threads=1, on_gpu=False, first=os.getpid, remedy="its node ended; try again")
    try:
        list(map_in_order(crash, [1], runner=needing, singles=lambda n: [("trial 3", n)]))
    except Exception as error:
        print(error)
    print(*[process.pid for process in psutil.Process().children(recursive=True)], flush=True)
    if sys.argv[1:] == ["wait"]:
        list(map_in_order(time.sleep, [60], runner=runner))
print("ended", flush=True)
"""


@pytest.mark.ci
class TestRay:
    """A Ray of its own, which the extra `ray` installs."""

    @pytest.fixture(autouse=True)
    def _needs_ray(self):
        pytest.importorskip("ray")

    @pytest.fixture
    def head(self, tmp_path):
        """The address of one that asks for the token of ones."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        command = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--include-dashboard=false"]
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "1" * 64, "RAY_USAGE_STATS_ENABLED": "0"}
        with subprocess.Popen(
            [*command, f"--port={port}", "--num-cpus=1"],
            env=self.environment(tmp_path) | token,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            while "Ray runtime started" not in process.stdout.readline():
                assert process.poll() is None
            yield f"127.0.0.1:{port}"
            process.terminate()
            process.communicate(timeout=60)

    @staticmethod
    def environment(folder: Path) -> dict[str, str]:
        """With a home in the folder, and without what is said of Ray."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        return own | {"PYTHONPATH": str(ROOT), "HOME": str(folder / "home")}

    def start(self, folder: Path, *words: str) -> "subprocess.Popen[str]":
        (folder / "parent.py").write_text(PARENT)
        (folder / "work.py").write_text("import os\ndef crash(number):\n    return os._exit(1) if number else 0\n")
        return subprocess.Popen(
            [sys.executable, "parent.py", *words],
            cwd=folder,
            env=self.environment(folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def test_results_errors_and_crashes_are_as_in_processes_and_nothing_is_left(self, tmp_path):
        """Three tries of a picture that kills its worker; and no word of Ray's own on stdout or stderr, no token in ~/.ray."""
        with self.start(tmp_path) as parent:
            output, errors = parent.communicate(timeout=250)
        failure, lost, other, processes, end = output.splitlines()
        assert failure == "factorial() not defined for negative values"
        assert "'cat/7.jpg': its worker on the Ray cluster was lost 3 times (WorkerCrashedError)" in lost
        assert other == (
            "'trial 3': its worker on the Ray cluster was lost 3 times (WorkerCrashedError): killed, probably out of "
            "memory, or its node ended; try again"
        )
        assert end == "ended"
        assert errors == ""
        assert self.wait(processes) == []
        assert list((tmp_path / ".cache").iterdir()) == []
        assert not (tmp_path / "home/.ray").exists()

    @pytest.mark.parametrize(
        ("own", "answer"),
        [
            ({}, "asks for a token: set the variable RAY_AUTH_MODE to token"),
            ({"RAY_AUTH_MODE": "token"}, "asks for a token: set the variable RAY_AUTH_MODE to token"),
            ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "1" * 64}, "works with 1"),
            ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "2" * 64}, "has another token than RAY_AUTH_TOKEN or ~/.ray"),
        ],
    )
    def test_a_head_that_asks_for_a_token(self, tmp_path, head, own, answer):
        script = f"""
from pipeline.runtime.cluster import open_cluster
try:
    with open_cluster(cluster="ray", address="{head}") as runner:
        print("works with", *runner.map_in_order(len, [[0]]))
except Exception as error:
    print(error)
"""
        environment = self.environment(tmp_path) | own
        command = [sys.executable, "-c", script]
        options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 120}
        done = subprocess.run(command, **options)
        if done.returncode < 0:  # on a busy machine, Ray's own raylet may hang up once, and its driver aborts
            done = subprocess.run(command, **options)
        assert answer in done.stdout

    @pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
    def test_nothing_is_left_where_it_is_interrupted_or_killed(self, tmp_path, number):
        """Two idle agents of a Ray of its own outlive a SIGKILL by a minute, in which they seek their head."""
        with self.start(tmp_path, "wait") as parent:
            assert parent.stdout is not None
            processes = [parent.stdout.readline() for _ in range(4)][-1]
            assert len(processes.split()) > 3
            parent.send_signal(number)
            parent.communicate(timeout=60)
            assert self.wait(processes) == []

    @staticmethod
    def wait(processes: str) -> list[psutil.Process]:
        """Those that still run after a while."""
        there = [psutil.Process(int(number)) for number in processes.split() if psutil.pid_exists(int(number))]
        return psutil.wait_procs(there, timeout=120)[1]
