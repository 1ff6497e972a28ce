"""Training of a linear support-vector machine by scikit-learn's SVC: one against one, hinge loss. Imports TensorFlow."""

import logging
import warnings
from dataclasses import dataclass
from typing import ClassVar

import keras
import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.models.voting import compute_votes, list_pairs, set_planes
from pipeline.training.duration import estimate_svc_seconds

logger = logging.getLogger(__name__)

_LONG = 600  # seconds, from which on it is said before it starts


@dataclass(frozen=True)
class PairPlanes:
    """kernel: float64 (features, pairs), of `list_pairs`. bias: float64 (pairs,). iterations: steps of the pair that took
    most. converged: all pairs within the limit."""

    kernel: np.ndarray
    bias: np.ndarray
    iterations: int
    converged: bool
    unit: ClassVar = "steps"

    def score(self, features: np.ndarray) -> np.ndarray:
        """Votes, float64 (n, classes); see `compute_votes`. features: float32 (n, features)."""
        return compute_votes(features.astype(np.float64) @ self.kernel + self.bias)

    def put_into(self, model: keras.Model, scale: float) -> None:
        """Sets the weights of a model that ends in `voting_head`."""
        set_planes(model, self.kernel, self.bias, scale)


def fit_pairs(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    num_classes: int,
    penalty: float,
    class_weight: dict[int, float] | None,
    max_iterations: int,
) -> PairPlanes:
    """SVC(kernel="linear", C=penalty) with no other setting. features: float32 (n, d). labels: int (n,). class_weight: factors
    on C by class number; None: 1. max_iterations: times n, steps for each pair at most. A class without images wins no pair.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import SVC

    classes = np.unique(labels)
    if len(classes) < 2:
        return _spread(np.zeros((0, features.shape[1])), np.zeros(0), classes, num_classes, 0, converged=True)
    weights = None if class_weight is None else {label: class_weight[int(label)] for label in classes}
    machine = SVC(kernel="linear", C=penalty, class_weight=weights, max_iter=max_iterations * len(labels))
    with (
        warnings.catch_warnings(),
        threadpool_limits(1),
    ):  # products of two images: threads would only wait for each other
        warnings.simplefilter("ignore", ConvergenceWarning)
        machine.fit(features.astype(np.float64), labels)
    # Of two classes scikit-learn returns the plane that speaks for the second.
    sign = -1.0 if len(classes) == 2 else 1.0
    steps, converged = int(np.max(machine.n_iter_)), machine.fit_status_ == 0
    return _spread(
        sign * machine.coef_, sign * machine.intercept_, classes, num_classes, steps, converged=bool(converged)
    )


def _spread(
    kernel: np.ndarray, bias: np.ndarray, classes: np.ndarray, num_classes: int, steps: int, *, converged: bool
) -> PairPlanes:
    """The planes of all pairs. kernel, bias: of the pairs of `classes`, float64 (pairs, features) and (pairs,)."""
    present = set(classes.tolist())
    whole, shifts, number = np.zeros((len(list_pairs(num_classes)), kernel.shape[1])), [], 0
    for row, (first, second) in enumerate(list_pairs(num_classes)):
        if {first, second} <= present:
            whole[row], number = kernel[number], number + 1
            shifts.append(bias[number - 1])
        else:  # the class that has images wins
            shifts.append(float(first in present) - float(second in present))
    return PairPlanes(whole.T, np.array(shifts), steps, converged)


def warn_of_duration(family: str, num_images: int, num_values: int) -> None:
    """Says before the start that it will take long."""
    seconds = estimate_svc_seconds(num_images, num_values)
    if seconds >= _LONG:
        duration = f"{seconds / 3600:.0f} hours" if seconds >= 7200 else f"{seconds / 60:.0f} minutes"
        logger.warning(
            "%s: SVC takes about %s for %d images of %d values, and twice as many images take six times as long; "
            "recipes.%s.solver=fast takes minutes",
            family,
            duration,
            num_images,
            num_values,
            family,
        )
