"""An ensemble of families: the weighted mean of their probabilities. Pure."""

import numpy as np

_STEPS = 2000
_DIGITS = 4
ENSEMBLE = "ensemble"


def fit_weights(labels: np.ndarray, probabilities: dict[str, np.ndarray]) -> dict[str, float]:
    """The weights, summing to 1, of the mixture under which the labels are most likely: to be fitted on validation images.

    labels: int (n,). probabilities: family to (n, classes). By expectation-maximization for the proportions of a mixture
    (Dempster et al. 1977): no step size, monotonic, deterministic.
    """
    chosen = np.stack([p[np.arange(len(labels)), labels] for p in probabilities.values()], axis=1).astype(np.float64)
    chosen = np.clip(chosen, 1e-7, 1.0)
    weights = np.full(chosen.shape[1], 1 / chosen.shape[1])
    for _ in range(_STEPS):
        parts = chosen * weights
        updated = (parts / parts.sum(axis=1, keepdims=True)).mean(axis=0)
        if np.abs(updated - weights).max() < 1e-7:
            break
        weights = updated
    rounded = weights.round(_DIGITS)
    return dict(zip(probabilities, (rounded / rounded.sum()).round(_DIGITS).tolist(), strict=True))


def mix(probabilities: dict[str, np.ndarray], weights: dict[str, float]) -> np.ndarray:
    """The weighted mean, float64 (n, classes), rows summing to 1."""
    mean = sum(weights[family] * p.astype(np.float64) for family, p in probabilities.items())
    return np.asarray(mean / np.asarray(mean).sum(axis=1, keepdims=True))
