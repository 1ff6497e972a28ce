"""How TensorFlow is set up; must be called before it is imported."""

import gc
import os
import re
import sys

import psutil

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.processes import num_cores


def configure_tensorflow(*, onednn: bool) -> None:
    """Sets what TensorFlow reads once, when imported. What the user has set in the environment wins.

    onednn: the kernels that double training speed on many CPUs; TensorFlow leaves them off on some (AMD, no AVX-512).
    """
    if "tensorflow" in sys.modules:
        raise PipelineError("TensorFlow was imported before it was configured: this is a bug, please report it")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1" if onednn else "0")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    _share_cores(*_find_queue_worker())
    _import_quickly()


def _share_cores(worker: int, workers: int) -> None:
    """Keeps this process on its part of the cores where DVC's queue has several workers, `dvc queue start -j 2`: each using
    all, they would be in each other's way. The number of threads stays that of all cores, as sums depend on it: so results
    are the same to the bit, however many workers there are."""
    if workers < 2 or not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(num_cores()))
    os.sched_setaffinity(0, set(cores[worker % len(cores) :: workers]))


def _find_queue_worker() -> tuple[int, int]:
    """Which worker of DVC's queue has started this process, from 0, of how many at work; (0, 1) outside of a queue."""
    parents = psutil.Process().parents()
    own = next((name for parent in parents if (name := _read_worker_name(parent)) is not None), None)
    if own is None:
        return 0, 1
    # Workers of one queue are called dvc-exp-<repository>-<number>@localhost.
    queue = own.rpartition("-")[0]
    names = {_read_worker_name(process) for process in psutil.process_iter()}
    mates = sorted(name for name in names if name is not None and name.startswith(f"{queue}-"))
    return mates.index(own), len(mates)


def _read_worker_name(process: psutil.Process) -> str | None:
    try:
        found = re.search(r" queue-worker (\S+)", " ".join(process.cmdline()))
    except psutil.Error:  # over by now, or another user's
        return None
    return found[1] if found else None


def _import_quickly() -> None:
    """Imports TensorFlow in half of the time: without collecting garbage among the million objects of its modules, which stay,
    then or at the end; and without scikit-learn, which Keras loads for wrappers that no one here calls."""
    wanted = "sklearn" in sys.modules
    gc.disable()
    try:
        if not wanted:
            sys.modules["sklearn"] = None  # type: ignore[assignment]  # an import then fails, and Keras does without
        _import_quietly()
        gc.freeze()
    finally:
        if not wanted:
            del sys.modules["sklearn"]
        gc.enable()


def _import_quietly() -> None:
    """Imports TensorFlow without the lines that its libraries print before it reads any log level; they call for nothing."""
    stderr, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        import tensorflow as tf

        tf.config.list_physical_devices()  # looking for a GPU prints too
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(sink)


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and TensorFlow; on a GPU also asks for its deterministic kernels (a CPU's are)."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.random.set_seed(seed + 1)  # not 0, beside which tf.data takes no tensor as the seed of a shuffle
    if tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()
