"""TensorFlow's start, in processes of their own."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.tensorflow import configure_tensorflow

ROOT = Path(__file__).resolve().parents[3]


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)


START = """
import gc, sys
{before}
from pipeline.runtime.tensorflow import configure_tensorflow
configure_tensorflow(onednn=True)
"""


@pytest.mark.parametrize("before", ["", "import sklearn.metrics"])
def test_it_is_silent_and_leaves_garbage_collection_on_and_scikit_learn_importable(before):
    """Whether scikit-learn was imported before or not: if not, Keras is kept from importing it."""
    started = run(
        START.format(before=before)
        + "print('tensorflow' in sys.modules, gc.isenabled(), gc.get_freeze_count() > 0)\n"
        + "import sklearn.metrics, keras; print(sklearn.metrics.accuracy_score([1], [1]))"
    )
    assert (started.stdout, started.stderr) == ("True True True\n1.0\n", "")


def test_tensorflow_that_was_imported_before_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", ModuleType("tensorflow"))
    with pytest.raises(PipelineError, match=r"^TensorFlow was imported before it was configured"):
        configure_tensorflow(onednn=True)


CHILD = """
import json, os
from pipeline.runtime.tensorflow import _find_queue_worker, _share_cores
cores, worker = sorted(os.sched_getaffinity(0)), _find_queue_worker()
_share_cores(*worker)
print(json.dumps([worker, cores, sorted(os.sched_getaffinity(0)), os.environ.get("TF_NUM_INTRAOP_THREADS")]))
"""

# Runs its child, then waits until its input ends, under the name on its command line.
WORKER = "import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}]); sys.stdin.read()"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system can't pin processes to cores")
class TestQueueWorkers:
    """DVC calls the workers of `dvc queue start -j 2` `dvc-exp-<repository>-<number>@localhost`."""

    def start(self, name: str | None, child: str = "print('ready')") -> subprocess.Popen[str]:
        words = ["exp", "queue-worker", name, "--verbose"] if name else []
        return subprocess.Popen(
            [sys.executable, "-c", WORKER.format(child=child), *words],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def look(self, name: str | None, *others: str) -> list[Any]:
        """[[worker, number of workers], all cores, cores of the process, threads], in a process that a worker started."""
        with ExitStack() as stack:
            for other in others:
                mate = stack.enter_context(self.start(other))
                assert mate.stdout is not None
                mate.stdout.readline()  # it has started
            output, _ = self.start(name, CHILD).communicate()
        return json.loads(output)

    def test_outside_a_queue_a_process_uses_all_cores(self):
        worker, cores, left, threads = self.look(None, "dvc-exp-4e5a-1@localhost")
        assert (worker, left, threads) == ([0, 1], cores, None)

    def test_a_worker_alone_in_its_queue_uses_all_cores(self):
        worker, cores, left, threads = self.look("dvc-exp-4e5a-1@localhost", "dvc-exp-other-1@localhost")
        assert (worker, left, threads) == ([0, 1], cores, None)

    @pytest.mark.parametrize("number", [1, 2])
    def test_two_workers_share_the_cores_and_each_has_the_threads_of_one(self, number):
        """The number of threads changes the last bits of a sum."""
        name, other = (f"dvc-exp-4e5a-{n}@localhost" for n in (number, 3 - number))
        worker, cores, left, threads = self.look(name, other)
        assert worker == [number - 1, 2]
        assert left == (cores[number - 1 :: 2] if len(cores) > 1 else cores)
        assert threads == str(len(cores))
