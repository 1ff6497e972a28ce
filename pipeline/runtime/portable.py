"""Arithmetic that gives the same bits on every x86-64 processor with AVX2 and FMA, whoever made it, whatever its caches.

What was found to differ, each by comparing processors, real ones and such as QEMU emulates (docs/reproducibility.md):
- oneDNN's kernels for AVX-512 and AVX2 sum in different orders. So it gets AVX2 at most.
- So do OpenBLAS' kernels, which NumPy and SciPy use, and NumPy's own for exp, log and pow.
- rsqrt and rcp, by which TensorFlow computes 1/√x and 1/x in batch normalization, approximate; each maker has its own table.
- oneDNN cuts long sums of a matrix product into pieces that fit the caches.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Read once, when NumPy, SciPy, faiss and oneDNN are loaded. NumPy leaves out silently what a processor does not have anyway.
_LIBRARIES = {
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "FAISS_OPT_LEVEL": "avx2",
}
_PLAIN: list[tuple[Any, str, Any]] = []  # (module, name, TensorFlow's own function) of each that is replaced
_TERMS = 512  # of one sum in oneDNN's product; from 1,024 on, results were seen to depend on cache sizes


def limit_libraries(processors: Path = Path("/proc/cpuinfo")) -> None:
    """Limits NumPy's libraries and their like to the kernels for AVX2. It must run before they are loaded. Elsewhere than on
    Linux, and on a processor without AVX2, on which such kernels would crash, it changes nothing. processors: where Linux
    describes them."""
    try:
        with processors.open() as content:
            flags = next((line for line in content if line.startswith("flags")), "").split()
    except OSError:
        return
    if {"avx2", "fma"} <= set(flags):
        os.environ |= _LIBRARIES


def limit_onednn() -> None:
    """Limits oneDNN likewise; before TensorFlow is imported."""
    os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"


def make_tensorflow_portable() -> None:
    """Replaces, in TensorFlow and Keras, what depends on a processor's maker or caches. These functions are the ones that their
    layers and optimizers call; models are saved as they are, and a plain Keras applies them with its own.
    """
    import tensorflow as tf
    from keras.src.backend.tensorflow import numpy as keras_numpy  # not public, nor are the next: tests notice a change
    from tensorflow.python.ops import math_ops

    replaced = [(math_ops, "rsqrt"), (tf.math, "rsqrt"), (keras_numpy, "matmul"), (keras_numpy, "sqrt")]
    _PLAIN.extend((module, name, getattr(module, name)) for module, name in replaced)
    math_ops.rsqrt = tf.math.rsqrt = _compute_rsqrt
    keras_numpy.matmul = _make_matmul(keras_numpy.matmul)
    keras_numpy.sqrt = _make_sqrt(keras_numpy.sqrt)


@contextmanager
def plain_arithmetic() -> Iterator[None]:
    """TensorFlow's own functions again, for graphs that other programs will run: there, sums in pieces are slower and nothing
    else."""
    portable = [(module, name, getattr(module, name)) for module, name, _ in _PLAIN]
    try:
        for module, name, function in _PLAIN:
            setattr(module, name, function)
        yield
    finally:
        for module, name, function in portable:
            setattr(module, name, function)


def _compute_rsqrt(x: Any, name: str | None = None) -> Any:
    """1/√x, as ½√(4/x), which is the same number: TensorFlow's optimizer would turn 1/√x into rsqrt again, and 1/x into rcp."""
    import tensorflow as tf

    return tf.multiply(tf.sqrt(4 / tf.convert_to_tensor(x)), 0.5, name=name)


def _make_sqrt(general: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """√x, as ½√(4x), which is the same number: a quotient by √x itself, as RMSprop's, would be turned into rsqrt."""
    return lambda x: 0.5 * general(4 * x)


def _make_matmul(general: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The product of matrices for dense layers, in sums of at most `_TERMS`, forward and backward. general: for all else."""
    import tensorflow as tf

    @tf.custom_gradient
    def multiply(a: Any, b: Any) -> Any:
        def compute_gradient(upstream: Any) -> tuple[Any, Any]:
            return _sum_products(upstream, tf.transpose(b)), _sum_products(tf.transpose(a), upstream)

        return _sum_products(a, b), compute_gradient

    def matmul(x1: Any, x2: Any) -> Any:
        a, b = tf.convert_to_tensor(x1), tf.convert_to_tensor(x2)
        if a.shape.rank == b.shape.rank == 2 and a.dtype == b.dtype == tf.float32:
            return multiply(a, b)
        return general(x1, x2)

    return matmul


def _sum_products(a: Any, b: Any) -> Any:
    """a @ b, float32 (n, m). The number of terms may be unknown where it is that of the images in a batch; that is small."""
    import tensorflow as tf

    terms = a.shape[1] or b.shape[0] or 0
    total = tf.matmul(a[:, :_TERMS], b[:_TERMS]) if terms > _TERMS else tf.matmul(a, b)
    for start in range(_TERMS, terms, _TERMS):
        total += tf.matmul(a[:, start : start + _TERMS], b[start : start + _TERMS])
    return total
