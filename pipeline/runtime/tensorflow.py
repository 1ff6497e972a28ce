"""TensorFlow's setup, which must run before TensorFlow is imported."""

import gc
import logging
import os
import re
import sys
from dataclasses import dataclass
from typing import Literal

import psutil
from threadpoolctl import threadpool_limits

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.portable import limit_onednn, make_tensorflow_portable

logger = logging.getLogger(__name__)

# Each changes results, or ends in an error; the project's own settings are in params.yaml.
_UNWANTED = (
    "TF_DETERMINISTIC_OPS",  # seed_everything decides
    "TF_CUDNN_DETERMINISTIC",
    "TF_USE_LEGACY_KERAS",
    "TF_XLA_FLAGS",  # compiled kernels round otherwise
    "TF_SET_ONEDNN_FPMATH_MODE",  # bfloat16 in place of float32
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
)
_BLAS_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # of libraries that are loaded later


@dataclass(frozen=True)
class TrainingMode:
    """How steps of training are computed. precision: a policy of Keras. xla: whether they are compiled. devices: so many share
    each batch."""

    precision: str = "float32"
    xla: bool = False
    devices: int = 1


_MODES: list[TrainingMode] = []  # of this process: the last


def get_training_mode() -> TrainingMode:
    """As `configure_tensorflow` was told."""
    return _MODES[-1] if _MODES else TrainingMode()


def configure_tensorflow(
    *,
    onednn: bool,
    threads: int,
    portable: bool,
    precision: str = "float32",
    xla: bool = False,
    devices: int | Literal["all"] = 1,
) -> None:
    """Sets the environment variables that TensorFlow reads on import, imports it, and sets what Keras takes from the user's own
    keras.json. What the user has set of these does not count, but for TF_ENABLE_ONEDNN_OPTS and TF_CPP_MIN_LOG_LEVEL.

    onednn: kernels that double the training speed on many CPUs; TensorFlow leaves them off on some (AMD, no AVX-512).
    threads: of an operation, also of NumPy's matrix products, whatever number of cores there is: the order of floating-point
    sums depends on it.
    portable: the same bits on every processor, see pipeline.runtime.portable.
    precision, xla, devices: of training alone, see TrainingMode. all: the GPUs that there are.

    Raises PipelineError where there are fewer GPUs than devices. Without any, the processor is as many devices.
    """
    if "tensorflow" in sys.modules:
        raise PipelineError("TensorFlow was imported before it was configured: this is a bug, please report it")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1" if onednn else "0")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in _UNWANTED:
        os.environ.pop(name, None)
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ |= dict.fromkeys(("TF_NUM_INTRAOP_THREADS", *_BLAS_THREADS), str(threads))
    if portable:
        limit_onednn()
    _share_cores(*_find_queue_worker())
    _import_quickly()
    _MODES.append(TrainingMode(precision, xla, _prepare_devices(devices)))
    if portable:
        make_tensorflow_portable()
    threadpool_limits(threads)


def _share_cores(worker: int, workers: int) -> None:
    """Pins this process to its share of the cores where DVC's queue has several workers, as after `dvc queue start -j 2`;
    otherwise they would compete for all of them. The number of threads remains, so that results are the same."""
    if workers < 2 or not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, set(cores[worker % len(cores) :: workers]))


def _find_queue_worker() -> tuple[int, int]:
    """The queue worker that started this process: its index, from 0, and the number of workers; (0, 1) outside a queue."""
    parents = psutil.Process().parents()
    worker = next((name for parent in parents if (name := _read_worker_name(parent)) is not None), None)
    if worker is None:
        return 0, 1
    # Workers of one queue are called dvc-exp-<repository>-<number>@localhost.
    queue = worker.rpartition("-")[0]
    names = {_read_worker_name(process) for process in psutil.process_iter()}
    workers = sorted(name for name in names if name is not None and name.startswith(f"{queue}-"))
    return workers.index(worker), len(workers)


def _read_worker_name(process: psutil.Process) -> str | None:
    try:
        found = re.search(r" queue-worker (\S+)", " ".join(process.cmdline()))
    except psutil.Error:  # it has ended, or belongs to another user
        return None
    return found[1] if found else None


def _import_quickly() -> None:
    """Imports TensorFlow in 1.9 instead of 3.9 s of CPU time (medians of 7 on 2 cores).

    1.5 s are the garbage collector's: it would search a million module objects that are never freed, now and at exit. 0.5 s
    are scikit-learn's, which Keras imports for wrappers that this project does not use; `embed` and `train` do without it.
    """
    is_imported = "sklearn" in sys.modules
    gc.disable()
    try:
        if not is_imported:
            sys.modules["sklearn"] = None  # type: ignore[assignment]  # makes the import fail, which Keras allows for
        _import_silently()
        gc.freeze()
    finally:
        if not is_imported:
            del sys.modules["sklearn"]
        gc.enable()


def _import_silently() -> None:
    """Imports TensorFlow without the lines that its libraries print before they read any log level; none needs action."""
    stderr, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        import keras
        import tensorflow as tf

        tf.config.list_physical_devices()  # the search for GPUs prints too
        keras.config.set_floatx("float32")
        keras.config.set_epsilon(1e-7)
        keras.config.set_image_data_format("channels_last")
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(sink)


def _prepare_devices(devices: int | Literal["all"]) -> int:
    """How many there are to train on. Before TensorFlow begins to use any, as it divides the processor only then."""
    if devices == 1:
        return 1
    import tensorflow as tf

    gpus = len(tf.config.list_physical_devices("GPU"))
    if devices == "all":
        return max(1, gpus)
    if gpus and devices > gpus:
        raise PipelineError(
            f"runtime.devices {devices}: expected as many GPUs, received {gpus}; set it to {gpus} or less, or to all"
        )
    if not gpus:
        logger.warning(
            "runtime.devices %d: no GPU that TensorFlow can use: the processor is %d devices", devices, devices
        )
        processor, part = tf.config.list_physical_devices("CPU")[0], tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(processor, [part] * devices)
    return devices


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and TensorFlow; on a GPU also selects deterministic kernels (on a CPU all are)."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.random.set_seed(seed + 1)  # not 0: with it, tf.data accepts no tensor as the seed of a shuffle
    if tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()
