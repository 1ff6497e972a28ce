"""Times two things alternately, so that a change of the machine's speed affects both; the result is one ratio."""

import os
import statistics
import time
from collections.abc import Callable


def compare(
    what: str, ours: Callable[[], float], theirs: Callable[[], float], *, rounds: int = 5, unit: str = "images/s"
) -> float:
    """Calls both `rounds` times, alternately; each returns a rate, higher is better. Prints both rates, returns their ratio."""
    rates = [(ours(), theirs()) for _ in range(rounds)]
    mine, other = (statistics.median(column) for column in zip(*rates, strict=True))
    spread = [a / b for a, b in rates]
    between = f"{min(spread):.2f} to {max(spread):.2f} over {rounds} rounds, {os.cpu_count()} cores"
    print(f"{what}: {mine / other:.2f}x  ({mine:,.0f} against {other:,.0f} {unit}; {between})")
    return mine / other


def rate(count: int, work: Callable[[], object]) -> float:
    """How many of `count` things are done per second."""
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)
