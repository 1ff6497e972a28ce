"""How far a learning curve may still rise. Pure."""

import math
from collections.abc import Sequence

# Before so many epochs a curve says nothing; nor does the first quarter of all, as some networks learn late.
FEWEST_EPOCHS = 6
# Powers of the epoch, from its square, for what has just begun to learn, over the logarithm, 0, to -2, which has nearly ended
# after three epochs.
_EXPONENTS = [step / 4 for step in range(8, -9, -1)]
# Errors up to (1 + this / degrees of freedom) times the least fit nearly as well: some two standard deviations of the exponent.
_FITTING = 4.0
_NOISE = 3.0  # standard deviations of an epoch's accuracy around the curve


def estimate_highest(accuracies: Sequence[float], epochs: int) -> float:
    """An upper estimate of the accuracy after `epochs`, at most 1, by the power law a - b e^-c of the epoch e, from 1, with c
    from -2 to 2: of all exponents that fit nearly as well as the best, by least squares, the one that promises most, and three
    standard deviations of the noise on top. The law is pow3 of Domhan, Springenberg and Hutter 2015, IJCAI; docs/budget.md says
    how well it did.

    accuracies: of the epochs so far, FEWEST_EPOCHS or more. Sums are exact, so that no machine decides otherwise than another.
    """
    count = len(accuracies)
    fits = [_fit(accuracies, exponent, epochs) for exponent in _EXPONENTS]
    least = min(error for error, _ in fits)
    variance = least / (count - 3)
    highest = max(value for error, value in fits if error <= least + _FITTING * variance)
    return min(1.0, highest + _NOISE * math.sqrt(variance))


def _fit(accuracies: Sequence[float], exponent: float, epochs: int) -> tuple[float, float]:
    """(sum of squared errors, value after `epochs`) of the best curve a + b x, b not below 0, where x grows with the epoch."""
    xs = [_transform(epoch, exponent) for epoch in range(1, len(accuracies) + 1)]
    mean_x, mean_y = math.fsum(xs) / len(xs), math.fsum(accuracies) / len(xs)
    together = math.fsum((x - mean_x) * (y - mean_y) for x, y in zip(xs, accuracies, strict=True))
    slope = max(together / math.fsum((x - mean_x) ** 2 for x in xs), 0.0)
    offset = mean_y - slope * mean_x
    error = math.fsum((y - offset - slope * x) ** 2 for x, y in zip(xs, accuracies, strict=True))
    return error, offset + slope * _transform(epochs, exponent)


def _transform(epoch: int, exponent: float) -> float:
    return math.log(epoch) if exponent == 0 else math.copysign(epoch**exponent, exponent)


def is_hopeless(accuracies: Sequence[float], epochs: int, bar: float) -> bool:
    """Whether a curve will stay below `bar` until the end, as the last epoch and the one before it say. accuracies: from the
    first epoch on. epochs: of the whole training."""
    least = max(FEWEST_EPOCHS, -(-epochs // 4))
    return max(accuracies, default=1.0) < bar and all(
        len(seen) >= least and estimate_highest(seen, epochs) < bar for seen in (accuracies[:-1], accuracies)
    )
