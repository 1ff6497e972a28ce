"""What a trial would have been, had it been judged while it trained: earlier ones, by which it is judged, were under way."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from pipeline.search.trials import Trial
from pipeline.training.scores import DIGITS

IsHopeless: TypeAlias = Callable[[int, float], bool]


@dataclass(frozen=True)
class Step:
    """One call of `is_hopeless`, see `pipeline.search.scoring.run_trial`. accuracy: not rounded. seconds: since the start."""

    number: int
    accuracy: float
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """A trial as it ended, and all its steps."""

    trial: Trial
    steps: list[Step]


class Listener:
    """Notes the steps of a trial that begins now. is_hopeless: None if that can't be known yet."""

    def __init__(self, is_hopeless: IsHopeless | None) -> None:
        self.steps: list[Step] = []
        self._is_hopeless, self._start = is_hopeless, time.perf_counter()

    def hear(self, number: int, accuracy: float) -> bool:
        """Whether the trial is known to be hopeless."""
        self.steps.append(Step(number, accuracy, round(time.perf_counter() - self._start, 2)))
        return self._is_hopeless is not None and self._is_hopeless(number, accuracy)


def judge(outcome: Outcome, is_hopeless: IsHopeless, *, folds: int | None) -> Trial:
    """The trial that `run_trial` would have returned if it had asked `is_hopeless`. One that was stopped for the same reason
    remains as it is. folds: as many steps as a trial can have; None: they are epochs."""
    trial = outcome.trial
    for count, step in enumerate(outcome.steps, 1):
        if not is_hopeless(step.number, step.accuracy):
            continue
        if count == folds:  # nothing was left to save
            return trial
        accuracies = [round(step.accuracy, DIGITS) for step in outcome.steps[:count]]
        steps = [accuracy for accuracy in accuracies if math.isfinite(accuracy)]
        scores = [] if folds is None else trial.scores[:count]
        return Trial(trial.number, "pruned", trial.values, None, steps, scores, None, step.seconds)
    return trial
