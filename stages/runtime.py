"""How TensorFlow is set up; must be called before it is imported."""

import os
import sys

from stages.errors import PipelineError


def configure_tensorflow(*, onednn: bool) -> None:
    """Sets what TensorFlow reads once, when imported. What the user has set in the environment wins.

    onednn: the kernels that double training speed on many CPUs; TensorFlow leaves them off on some (AMD, no AVX-512).
    """
    if "tensorflow" in sys.modules:
        raise PipelineError("TensorFlow was imported before it was configured: this is a bug, please report it")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1" if onednn else "0")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    _import_quietly()


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
