"""The temperature that calibrates probabilities. Pure. Apart from pipeline.evaluation.calibration, as `train` depends on it."""

import numpy as np

from pipeline.training.scores import SMALLEST

_RANGE = (0.05, 20.0)  # of temperatures: beyond it, a model is certain of everything or of nothing
_SPREAD = 0.7  # of the logarithm of temperatures before any image is seen: a factor of two is usual


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities at another temperature, float64 of the same shape: softmax of their logarithms divided by `temperature`.

    The order of the classes is preserved. Above 1: less confident. Guo et al. 2017, arXiv:1706.04599.
    """
    scores = np.log(np.clip(probabilities.astype(np.float64), SMALLEST, 1.0)) / temperature
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature that is most probable by validation images, 0.05 to 20, four digits: that of the lowest cross-entropy,
    drawn towards 1 where the images say little.

    Its logarithm has a normal prior around 0. Without one, a few dozen images that are all right would make any model certain
    of everything: the lowest cross-entropy is then at the lowest temperature. Of hundreds of images, it changes little.

    labels: int (n,), n ≥ 1. probabilities: (n, classes).
    """
    from scipy.optimize import minimize_scalar  # who only applies a temperature does without

    rows = np.arange(len(labels))

    def loss(logarithm: float) -> float:
        scaled = apply_temperature(probabilities, float(np.exp(logarithm)))
        prior = logarithm**2 / (2 * _SPREAD**2)
        return prior - float(np.log(np.clip(scaled[rows, labels], SMALLEST, 1.0)).sum())

    found = minimize_scalar(loss, bounds=(float(np.log(_RANGE[0])), float(np.log(_RANGE[1]))), method="bounded")
    return round(float(np.exp(found.x)), 4) if loss(found.x) < loss(0.0) else 1.0
