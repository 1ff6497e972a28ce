"""The temperature that calibrates probabilities. Pure. Apart from pipeline.evaluation.calibration, as `train` depends on it."""

import numpy as np

from pipeline.training.scores import SMALLEST

_RANGE = (0.05, 20.0)  # of temperatures: beyond it, a model is certain of everything or of nothing


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities at another temperature, float64 of the same shape: softmax of their logarithms divided by `temperature`.

    The order of the classes is preserved. Above 1: less confident. Guo et al. 2017, arXiv:1706.04599.
    """
    scores = np.log(np.clip(probabilities.astype(np.float64), SMALLEST, 1.0)) / temperature
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature with the lowest mean cross-entropy, 0.05 to 20, four digits. To be fitted on validation images.

    labels: int (n,), n ≥ 1. probabilities: (n, classes).
    """
    from scipy.optimize import minimize_scalar  # who only applies a temperature does without

    rows = np.arange(len(labels))

    def loss(logarithm: float) -> float:
        scaled = apply_temperature(probabilities, float(np.exp(logarithm)))
        return -float(np.log(np.clip(scaled[rows, labels], SMALLEST, 1.0)).mean())

    found = minimize_scalar(loss, bounds=(float(np.log(_RANGE[0])), float(np.log(_RANGE[1]))), method="bounded")
    # The minimum of a single image, predicted correctly and certainly, is at the bound; that of a flat loss anywhere.
    return round(float(np.exp(found.x)), 4) if loss(found.x) < loss(0.0) else 1.0
