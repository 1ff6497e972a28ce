"""A linear support-vector machine of one class against the rest, for each class. Imports Keras.

The objective is that of liblinear and scikit-learn's LinearSVC (squared hinge loss; Fan et al. 2008, LIBLINEAR), with an
intercept that is not regularized. SciPy's L-BFGS minimizes it on matrix products: liblinear's single thread on float64 copies
is far slower (three times already at 1,000 images, with a third of the passes). A test compares the two.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import keras
import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from pipeline.runtime.processes import num_cores

# Of the objective per pass, relative: below it, weights still move by some per cent, accuracy does not.
_DECREASE = 1e-5
_TOLERANCE = 1e-5  # of the gradient, relative to its initial size
_ROWS = 4096  # images whose errors are computed at once, by one thread: they stay in its cache


@dataclass(frozen=True)
class Hyperplanes:
    """kernel: float32 (features, classes). bias: float32 (classes,). iterations: of L-BFGS. converged: within the limit."""

    kernel: np.ndarray
    bias: np.ndarray
    iterations: int
    converged: bool
    unit: ClassVar = "passes"

    def score(self, features: np.ndarray) -> np.ndarray:
        """Signed distances, scaled, float32 (n, classes). features: float32 (n, features)."""
        return features @ self.kernel + self.bias

    def put_into(self, model: keras.Model, scale: float) -> None:
        """Sets the weights of a model that ends in `softmax_head`."""
        model.get_layer("probabilities").set_weights([self.kernel * scale, self.bias * scale])


def fit_hyperplanes(
    features: np.ndarray, labels: np.ndarray, *, num_classes: int, penalties: np.ndarray, max_iterations: int
) -> Hyperplanes:
    """Minimizes ½‖w‖² + Σ penalty · max(0, 1 − y (w·x + b))² for each class against the rest, all classes together.

    features: float32 (n, d). labels: int (n,). penalties: float (n,), of each image's error.
    """
    centre = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    x, axes = _rotate(features - centre)  # centred, the problem is far better conditioned
    d = x.shape[1]
    weights = penalties.astype(np.float32)[:, None]

    def compute_errors(start: int, kernel: np.ndarray, bias: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Of the images from `start` on: their sum, and its gradients by kernel and bias."""
        rows = slice(start, start + _ROWS)
        signs = np.where(np.arange(num_classes) == labels[rows, None], np.float32(1), np.float32(-1))
        slack = np.maximum(0, 1 - signs * (x[rows] @ kernel + bias))
        residual = -2 * weights[rows] * signs * slack
        error = float((weights[rows] * slack * slack).sum(dtype=np.float64))
        return error, x[rows].T @ residual, residual.sum(axis=0, dtype=np.float64)

    # One thread of BLAS for each of ours: sums have the same order on any number of cores, and no threads spin between the
    # small products.
    with threadpool_limits(1), ThreadPoolExecutor(num_cores()) as pool:

        def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
            kernel, bias = flat[: d * num_classes].reshape(d, num_classes), flat[d * num_classes :]
            value, gradient, shift = 0.5 * float(np.square(kernel).sum()), kernel, np.zeros(num_classes)
            compute = partial(compute_errors, kernel=kernel.astype(np.float32), bias=bias.astype(np.float32))
            for error, by_kernel, by_bias in pool.map(compute, range(0, len(x), _ROWS)):
                value, gradient, shift = value + error, gradient + by_kernel, shift + by_bias
            return value, np.concatenate([gradient.ravel(), shift])

        flat, iterations, converged = _minimize(objective, (d + 1) * num_classes, max_iterations)
    kernel = flat[: d * num_classes].reshape(d, num_classes).astype(np.float32)
    kernel = kernel if axes is None else axes @ kernel
    bias = flat[d * num_classes :] - centre.astype(np.float64) @ kernel
    return Hyperplanes(kernel, bias.astype(np.float32), iterations, converged)


def _minimize(
    objective: Callable[[np.ndarray], tuple[float, np.ndarray]], size: int, max_iterations: int
) -> tuple[np.ndarray, int, bool]:
    """L-BFGS from zero: (the minimum, float64 (size,); iterations; whether it converged)."""
    start = np.zeros(size)
    tolerance = _TOLERANCE * float(np.abs(objective(start)[1]).max())
    options = {"maxiter": max_iterations, "maxfun": 2 * max_iterations, "gtol": tolerance, "ftol": _DECREASE}
    result = minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
    return result.x, int(result.nit), bool(result.success)


def _rotate(x: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """With fewer images than features: the images in coordinates of the space that they span, and its axes. The objective
    depends on lengths and angles only, so it has the same minimum, and a pass costs n² instead of n × features."""
    n, d = x.shape
    if n >= d:
        return x, None
    values, vectors = np.linalg.eigh((x @ x.T).astype(np.float64))
    kept = values > values[-1] * 1e-7  # the precision of float32 products
    lengths = np.sqrt(values[kept])
    axes = (x.T @ (vectors[:, kept] / lengths)).astype(np.float32)
    return (vectors[:, kept] * lengths).astype(np.float32), axes
