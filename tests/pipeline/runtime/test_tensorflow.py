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
from pipeline.runtime.tensorflow import _prepare_devices, configure_tensorflow

ROOT = Path(__file__).resolve().parents[3]


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )


START = """
import gc, sys
{before}
from pipeline.runtime.tensorflow import _prepare_devices, configure_tensorflow
configure_tensorflow(onednn=True, threads=2, portable=True)
print("tensorflow" in sys.modules, gc.isenabled(), gc.get_freeze_count() > 0)
"""
END = """
import sklearn.metrics, keras
print(sklearn.metrics.accuracy_score([1], [1]))
"""


@pytest.mark.ci
def test_it_is_silent_and_leaves_garbage_collection_on_and_scikit_learn_importable():
    """Also where scikit-learn was imported before. Where it was not, Keras is kept from importing it; see below."""
    started = run(START.format(before="import sklearn.metrics") + END)
    assert (started.stdout, started.stderr) == ("True True True\n1.0\n", "")


def test_tensorflow_that_was_imported_before_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", ModuleType("tensorflow"))
    with pytest.raises(PipelineError, match=r"^TensorFlow was imported before it was configured"):
        configure_tensorflow(onednn=True, threads=2, portable=True)


SETUP = """
import json, keras, numpy, os, tensorflow, threadpoolctl
print(json.dumps([
    keras.config.backend(), keras.config.floatx(), keras.config.image_data_format(), keras.config.epsilon(),
    keras.config.dtype_policy().name, str(keras.layers.Dense(1).dtype), keras.layers.Conv2D(1, 1).data_format,
    sorted({pool["num_threads"] for pool in threadpoolctl.threadpool_info()}),
    sorted(name for name in os.environ if name.startswith(("TF_", "ONEDNN_", "NVIDIA_TF32"))),
    os.environ["TF_NUM_INTRAOP_THREADS"],
]))
"""
HOSTILE = {
    **{"KERAS_BACKEND": "torch", "TF_NUM_INTRAOP_THREADS": "7", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    **{"TF_DETERMINISTIC_OPS": "1", "TF_USE_LEGACY_KERAS": "1", "TF_XLA_FLAGS": "--tf_xla_auto_jit=2"},
    **{"ONEDNN_DEFAULT_FPMATH_MODE": "BF16", "NVIDIA_TF32_OVERRIDE": "0"},
}


@pytest.mark.ci
def test_what_the_user_has_set_for_other_programs_changes_nothing(tmp_path):
    """Variables, and a keras.json for another backend, layout and precision. Scikit-learn was not imported before."""
    other = {"backend": "jax", "image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.001}
    (tmp_path / "keras.json").write_text(json.dumps(other))
    started = run(START.format(before="") + SETUP + END, KERAS_HOME=str(tmp_path), **HOSTILE)
    backend = ["tensorflow", "float32", "channels_last", 1e-7, "float32", "float32", "channels_last"]
    names = ["TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS"]
    assert started.stderr == ""
    first, settings, last = started.stdout.splitlines()
    assert (first, last) == ("True True True", "1.0")
    *found, pools, kept, threads = json.loads(settings)
    assert found == backend
    assert pools == [2]
    assert [name for name in kept if name in (*names, *HOSTILE)] == names
    assert threads == "2"


# A convolution's gradient and a matrix product: sums over many values, which threads divide among them.
SUMS = """
import hashlib, os, sys
if sys.argv[1:]:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
from pipeline.runtime.tensorflow import _prepare_devices, configure_tensorflow
configure_tensorflow(onednn=True, threads=2, portable=True)
import numpy as np, tensorflow as tf
rng = np.random.default_rng(0)
images, kernel = (tf.constant(rng.normal(size=shape), tf.float32) for shape in ((32, 64, 64, 8), (3, 3, 8, 16)))
with tf.GradientTape() as tape:
    tape.watch(kernel)
    loss = tf.reduce_sum(tf.nn.relu(tf.nn.conv2d(images, kernel, 1, "SAME")) ** 2)
table = rng.normal(size=(2000, 700)).astype(np.float32)
for values in (tape.gradient(loss, kernel).numpy(), loss.numpy(), table.T @ table):
    print(hashlib.sha256(values.tobytes()).hexdigest())
"""


@pytest.mark.ci
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system can't pin processes to cores")
def test_sums_are_the_same_on_one_core_and_on_all():
    command = [sys.executable, "-c", SUMS]
    one, all_ = (
        subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for more in (["1"], [])
    )
    assert len(one.split()) == 3
    assert one == all_


CHILD = """
import json, os
from pipeline.runtime.tensorflow import _find_queue_worker, _share_cores
cores, worker = sorted(os.sched_getaffinity(0)), _find_queue_worker()
_share_cores(*worker)
print(json.dumps([worker, cores, sorted(os.sched_getaffinity(0))]))
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
        """[[worker, number of workers], all cores, cores of the process], in a process that a worker started."""
        with ExitStack() as stack:
            for other in others:
                mate = stack.enter_context(self.start(other))
                assert mate.stdout is not None
                mate.stdout.readline()  # it has started
            output, _ = self.start(name, CHILD).communicate()
        return json.loads(output)

    def test_outside_a_queue_a_process_uses_all_cores(self):
        worker, cores, left = self.look(None, "dvc-exp-4e5a-1@localhost")
        assert (worker, left) == ([0, 1], cores)

    def test_a_worker_alone_in_its_queue_uses_all_cores(self):
        worker, cores, left = self.look("dvc-exp-4e5a-1@localhost", "dvc-exp-other-1@localhost")
        assert (worker, left) == ([0, 1], cores)

    @pytest.mark.parametrize("number", [1, 2])
    def test_two_workers_share_the_cores(self, number):
        name, other = (f"dvc-exp-4e5a-{n}@localhost" for n in (number, 3 - number))
        worker, cores, left = self.look(name, other)
        assert worker == [number - 1, 2]
        assert left == (cores[number - 1 :: 2] if len(cores) > 1 else cores)


class TestDevices:
    """That there are GPUs is made up, as there may be none; tests of pipeline.training.devices divide a real processor."""

    @pytest.fixture
    def gpus(self, tensorflow, monkeypatch) -> Any:
        def pretend(count: int) -> None:
            found = {"GPU": [object()] * count, "CPU": [object()]}
            monkeypatch.setattr(tensorflow.config, "list_physical_devices", found.__getitem__)

        return pretend

    @pytest.mark.parametrize(
        ("asked", "there", "used"), [(1, 4, 1), (2, 4, 2), (4, 4, 4), ("all", 4, 4), ("all", 0, 1)]
    )
    def test_so_many_train(self, gpus, asked, there, used):
        gpus(there)
        assert _prepare_devices(asked) == used

    def test_more_than_there_are_gpus_is_refused(self, gpus):
        gpus(2)
        expected = "^runtime.devices 4: expected as many GPUs, received 2; set it to 2 or less, or to all$"
        with pytest.raises(PipelineError, match=expected):
            _prepare_devices(4)
