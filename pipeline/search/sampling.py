"""Which point a search tries next, and which trials it stops early.

Both are functions of the seed and the completed trials, not of a generator's state: a search that was killed continues as if
it had not been.

Optuna (Akiba et al. 2019, KDD) rather than KerasTuner, which requires tensorboard, has its own training loop, and has hardly
changed since 2024. A study exists for one draw only, made from our stored trials (pipeline.search.trials): Optuna's storages
number a trial before it is completed, and would leave a gap where a run was killed.
"""

from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from pipeline.config.search_space import Choices, Dimension, Range, Value, choose_points, list_points
from pipeline.config.sections import Pruning, Search
from pipeline.search.trials import Trial

_ATTEMPTS = 20  # to draw a point that has not been tried
_RANDOM = 10  # first points of a Bayesian search
_STATES = {
    "finished": optuna.trial.TrialState.COMPLETE,
    "pruned": optuna.trial.TrialState.PRUNED,
    "failed": optuna.trial.TrialState.PRUNED,  # without any step: ranked last, so that its neighbourhood is avoided
}
_LEAST_TRIALS = 5  # finished, below which importance is a guess

optuna.logging.set_verbosity(optuna.logging.ERROR)


def draw_next(dimensions: list[Dimension], trials: list[Trial], settings: Search) -> dict[str, Value] | None:
    """The values of the next trial, by name; None if the budget is spent or all points of the space have been tried."""
    is_spent = settings.minutes is not None and sum(trial.seconds for trial in trials) >= 60 * settings.minutes
    if is_spent or len(trials) >= settings.trials:
        return None
    if settings.sampler == "points":
        points = choose_points(settings.points, [dimension.name for dimension in dimensions])
        return points[len(trials)] if len(trials) < len(points) else None
    return draw_point(dimensions, trials, sampler=settings.sampler, seed=settings.seed)


def draw_ahead(
    dimensions: list[Dimension], trials: list[Trial], under_way: list[dict[str, Value]], settings: Search
) -> dict[str, Value] | None:
    """As `draw_next`, where trials with the values `under_way`, which have no results yet, follow the completed ones. None,
    too, if the next values depend on these results."""
    if under_way and _depends_on_results(settings, len(trials) + len(under_way)):
        return None
    # How they end makes no difference.
    pending = [Trial(number, "failed", values) for number, values in enumerate(under_way, len(trials) + 1)]
    return draw_next(dimensions, [*trials, *pending], settings)


def _depends_on_results(settings: Search, count: int) -> bool:
    """Whether the values of the trial after `count` others depend on more of these than their values: on seconds, or scores."""
    return settings.minutes is not None or (settings.sampler == "bayesian" and count >= _RANDOM)


def draw_point(dimensions: list[Dimension], trials: list[Trial], *, sampler: str, seed: int) -> dict[str, Value] | None:
    """The values of the trial after `trials`, by name; None if all points of the space have been tried.

    sampler: grid, in the order of the space; random, each point once; bayesian, a tree-structured Parzen estimator (Bergstra
    et al. 2011, NeurIPS), which starts with ten random points.
    """
    points = list_points(dimensions)
    if points is not None and len(trials) >= len(points):
        return None
    is_uniform = not any(isinstance(dimension, Range) and dimension.log for dimension in dimensions)
    if points is not None and (sampler == "grid" or (sampler == "random" and is_uniform)):
        order = np.random.default_rng(seed).permutation(len(points)) if sampler == "random" else np.arange(len(points))
        return points[order[len(trials)]]
    tried = [trial.values for trial in trials]
    point = {}
    for attempt in range(_ATTEMPTS):
        number = int(np.random.SeedSequence([seed, len(trials), attempt]).generate_state(1)[0])
        point = _ask(dimensions, trials, _make_sampler(sampler, number))
        if point not in tried:
            return point
    if points is None:
        return point
    # The sampler repeats known points: any other one tells more.
    left = [other for other in points if other not in tried]
    return left[np.random.default_rng([seed, len(trials)]).integers(len(left))]


def _make_sampler(sampler: str, seed: int) -> optuna.samplers.BaseSampler:
    if sampler == "bayesian":
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=_RANDOM)
    return optuna.samplers.RandomSampler(seed=seed)


def _ask(dimensions: list[Dimension], trials: list[Trial], sampler: optuna.samplers.BaseSampler) -> dict[str, Value]:
    study = _make_study(dimensions, trials, sampler=sampler)
    drawn = study.ask(_make_distributions(dimensions)).params
    return {d.name: drawn[d.name] if isinstance(d, Choices) else d.tidy(drawn[d.name]) for d in dimensions}


class Pruner:
    """Decides whether a trial is hopeless: below the median of the finished ones at the same step (the median stopping rule of
    Golovin et al. 2017, KDD)."""

    def __init__(
        self,
        dimensions: list[Dimension],
        trials: list[Trial],
        point: dict[str, Value],
        rule: Pruning,
        *,
        per_fold: bool,
    ) -> None:
        """per_fold: steps are folds, of which each trial gets at least one, instead of epochs."""
        pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
        if rule.min_trials is not None:
            least = 1 if per_fold else rule.min_epochs
            pruner = optuna.pruners.MedianPruner(n_startup_trials=rule.min_trials, n_warmup_steps=least - 1)
        study = _make_study(dimensions, trials, pruner=pruner)
        study.enqueue_trial(point)
        self._trial = study.ask(_make_distributions(dimensions))

    def is_hopeless(self, step: int, accuracy: float) -> bool:
        """step: from 0; each once, in order."""
        self._trial.report(accuracy, step)
        return bool(self._trial.should_prune())


def measure_importance(dimensions: list[Dimension], trials: list[Trial], *, seed: int) -> dict[str, float]:
    """The share of the scores' variance that each parameter explains, largest first, sum 1: functional ANOVA on a random forest
    (Hutter et al. 2014, ICML). Empty with too few finished trials, or if all have the same score."""
    finished = [trial for trial in trials if trial.score is not None]
    varied = [d for d in dimensions if len({repr(trial.values[d.name]) for trial in finished}) > 1]
    if len(finished) < _LEAST_TRIALS or not varied or len({trial.score for trial in finished}) == 1:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
    study = _make_study(dimensions, finished)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator, params=[d.name for d in varied])
    return {name: round(float(share), 4) for name, share in found.items()}


def _make_study(dimensions: list[Dimension], trials: list[Trial], **settings: Any) -> optuna.Study:
    distributions = _make_distributions(dimensions)
    study = optuna.create_study(direction="maximize", **settings)
    for trial in trials:
        steps = {} if trial.state == "failed" else dict(enumerate(trial.steps))
        frozen = optuna.trial.create_trial(
            state=_STATES[trial.state],
            value=trial.score,
            params=trial.values,
            distributions=distributions,
            intermediate_values=steps,
        )
        study.add_trial(frozen)
    return study


def _make_distributions(dimensions: list[Dimension]) -> dict[str, BaseDistribution]:
    return {dimension.name: _make_distribution(dimension) for dimension in dimensions}


def _make_distribution(dimension: Dimension) -> BaseDistribution:
    # `Dimension` is not one of these, as every verb reads parameters, and importing Optuna takes 0.2 s.
    if isinstance(dimension, Choices):
        return CategoricalDistribution(dimension.values)
    if dimension.whole:
        step = 1 if dimension.step is None else int(dimension.step)
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log, step=step)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)
