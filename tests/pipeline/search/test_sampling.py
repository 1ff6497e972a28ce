import random
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
from dvc.utils.hydra import apply_overrides

from pipeline.config.reader import load_params
from pipeline.config.search_rules import list_dimensions
from pipeline.config.search_space import Dimension, list_points, parse_choices_of, parse_space
from pipeline.config.sections import Pruning, Search
from pipeline.search.sampling import Pruner, draw_ahead, draw_next, draw_point, measure_importance
from pipeline.search.trials import Trial

FINITE = {"train": {"optimizer": ["adam", "sgd", None], "epochs": {"low": 1, "high": 4}}}
ENDLESS = {
    "train": {
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "dropout": {"low": 0.0, "high": 0.9, "step": 0.1},
        "optimizer": ["adam", "sgd"],
    }
}
SAMPLERS = pytest.mark.parametrize("sampler", ["bayesian", "random"])
SPACES = pytest.mark.parametrize("space", [FINITE, ENDLESS], ids=["finite", "endless"])
Judge = Callable[[dict[str, Any]], float | None]


def make_trial(number: int, values: dict[str, Any], score: float | None, state: Any = None) -> Trial:
    """Finished with a score, failed without."""
    state = state or ("failed" if score is None else "finished")
    return Trial(number, state, values, score=score if state == "finished" else None, steps=[score or 0.1])


def run(
    space: dict[str, Any], sampler: str, *, most: int = 25, seed: int = 1, judge: Judge | None = None
) -> list[Trial]:
    """Like a search. judge: point to score."""
    dimensions, trials = parse_space(space), list[Trial]()
    while len(trials) < most:
        point = draw_point(dimensions, trials, sampler=sampler, seed=seed)
        if point is None:
            break
        score = judge(point) if judge else len(trials) % 7 / 10
        trials.append(make_trial(len(trials) + 1, point, score))
    return trials


def points_of(trials: list[Trial]) -> list[dict[str, Any]]:
    return [trial.values for trial in trials]


def values_of(trials: list[Trial], name: str) -> list[Any]:
    return [trial.values[f"train.{name}"] for trial in trials]


def count_different(trials: list[Trial]) -> int:
    return len({repr(trial.values) for trial in trials})


class TestSeed:
    @SAMPLERS
    @SPACES
    def test_the_same_seed_draws_the_same_points_and_another_seed_others(self, space, sampler):
        first, again, other = (points_of(run(space, sampler, seed=seed)) for seed in (1, 1, 2))
        assert first == again
        assert first != other

    @pytest.mark.parametrize(
        ("sampler", "space"),
        [("bayesian", FINITE), ("bayesian", ENDLESS), ("random", FINITE), ("random", ENDLESS), ("grid", FINITE)],
    )
    def test_the_next_point_depends_on_the_completed_trials_only(self, sampler, space):
        """However often the search is interrupted."""
        trials, dimensions = run(space, sampler, most=14), parse_space(space)
        for number, trial in enumerate(trials):
            random.seed(number)
            np.random.seed(number)
            assert draw_point(dimensions, trials[:number], sampler=sampler, seed=1) == trial.values

    @SAMPLERS
    def test_global_generators_are_not_used(self, sampler):
        random.seed(1)
        np.random.seed(1)
        before = random.getstate(), np.random.get_state()[1].tolist()
        run(ENDLESS, sampler, most=12)
        assert (random.getstate(), np.random.get_state()[1].tolist()) == before

    def test_random_points_do_not_depend_on_scores(self):
        for space in (FINITE, ENDLESS):
            first, second = (points_of(run(space, "random", most=12, judge=judge)) for judge in (None, lambda _: None))
            assert first == second

    def test_bayesian_points_do(self):
        rising, falling = (
            run(ENDLESS, "bayesian", most=20, judge=lambda point, sign=sign: 0.5 + sign * point["train.dropout"])
            for sign in (0.5, -0.5)
        )
        assert points_of(rising)[:10] == points_of(falling)[:10]  # the first ten are random
        assert points_of(rising) != points_of(falling)


class TestGrid:
    def test_it_tries_all_points_in_order_and_ends(self):
        trials = run(FINITE, "grid", seed=5)
        assert points_of(trials) == list_points(parse_space(FINITE))
        assert len(trials) == 12


class TestRandom:
    def test_it_tries_each_point_of_a_finite_space_once_in_another_order(self):
        points = list_points(parse_space(FINITE))
        trials = run(FINITE, "random")
        assert points_of(trials) != points
        assert sorted(points_of(trials), key=repr) == sorted(points, key=repr)

    @pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
    def test_five_points_of_system_ds_grid_are_different(self, project, seed):
        """As docs/search.md asks for them: through DVC's -S."""
        space = "learning_rate: [0.001, 0.01], batch_size: [32, 64], epochs: [10, 20], optimizer: [adam, rmsprop]"
        named = [f"{part}families=[cifar_elu]" for part in ("", "search.")]
        settings = ["search.sampler=random", "search.trials=5", f"search.seed={seed}"]
        apply_overrides("params.yaml", [*named, *settings, "~search.space.train", f"+search.space.train={{{space}}}"])
        params = load_params(project.folder / "params.yaml")
        dimensions, trials = list_dimensions(params, "cifar_elu"), list[Trial]()
        assert len(list_points(dimensions)) == 16
        for number in range(1, params.search.trials + 1):
            point = draw_point(dimensions, trials, sampler=params.search.sampler, seed=params.search.seed)
            assert point is not None
            load_params(project.folder / "params.yaml", point)  # training accepts each
            trials.append(make_trial(number, point, 0.5))
        assert count_different(trials) == 5
        assert {value for point in points_of(trials) for value in point.values()} <= {
            0.001, 0.01, 32, 64, 10, 20, "adam", "rmsprop",
        }  # fmt: skip

    def test_on_a_log_scale_small_numbers_are_as_frequent_as_large_ones(self):
        space = {"train": {"learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}}}
        rates = np.array(values_of(run(space, "random", most=100), "learning_rate"))
        assert [np.mean(rates < limit) for limit in (1e-4, 1e-3, 1e-2)] == pytest.approx([0.25, 0.5, 0.75], abs=0.12)


class TestBayesian:
    @pytest.mark.parametrize(
        "judge",
        [lambda _: 0.5, lambda _: None, lambda point: point["train.epochs"] / 10],
        ids=["all alike", "all fail", "one best"],
    )
    def test_it_tries_each_point_of_a_finite_space_once(self, judge):
        """However certain it is of the best."""
        trials = run(FINITE, "bayesian", judge=judge)
        assert count_different(trials) == len(trials) == 12

    def test_it_approaches_good_values(self):
        space = {"train": {"dropout": {"low": 0.0, "high": 0.9}}}
        distance = {}
        for sampler in ("bayesian", "random"):
            found = [
                value
                for seed in range(3)
                for value in values_of(
                    run(space, sampler, most=30, seed=seed, judge=lambda point: -abs(point["train.dropout"] - 0.2)),
                    "dropout",
                )[20:]
            ]
            distance[sampler] = np.mean(np.abs(np.array(found) - 0.2))
        assert distance["bayesian"] < distance["random"] / 2

    def test_it_avoids_values_for_which_training_fails(self):
        """Of two optima that are equally good otherwise."""
        space = {"train": {"dropout": {"low": 0.0, "high": 0.9}}}

        def judge(point: dict[str, Any]) -> float:
            return -min(abs(point["train.dropout"] - optimum) for optimum in (0.2, 0.7))

        def count_beyond(judge: Judge) -> int:
            drawn = [values_of(run(space, "bayesian", judge=judge, seed=seed), "dropout")[10:] for seed in range(3)]
            return sum(value > 0.45 for values in drawn for value in values)

        assert count_beyond(judge) > 15
        assert count_beyond(lambda point: None if point["train.dropout"] > 0.45 else judge(point)) < 8


LISTED = [{"train.epochs": number} for number in range(1, 20)]


class TestAhead:
    """What can be drawn while earlier trials have no results yet."""

    def make_settings(self, sampler: str, **changes: Any) -> Search:
        settings = {
            "families": [],
            "points": LISTED if sampler == "points" else [],
            "trials": 14,
            "minutes": None,
            "seed": 1,
        }
        settings |= {
            "score": "validation",
            "max_parameters": 1,
            "pruning": {"min_trials": 2, "min_epochs": 1},
            "space": {},
        }
        return Search.model_validate(settings | {"sampler": sampler} | changes)

    @pytest.mark.parametrize(
        ("sampler", "space", "free"),
        [
            ("grid", FINITE, 12),  # all of them
            ("random", FINITE, 12),
            ("random", ENDLESS, 14),
            ("points", None, 14),
            ("bayesian", FINITE, 10),
            ("bayesian", ENDLESS, 10),
        ],
    )
    def test_it_is_what_would_be_drawn_after_them_or_nothing_where_that_depends_on_how_they_end(
        self, sampler, space, free
    ):
        settings = self.make_settings(sampler)
        dimensions = parse_choices_of(LISTED) if space is None else parse_space(space)
        trials: list[Trial] = []
        while (values := draw_next(dimensions, trials, settings)) is not None:
            state = ("finished", "pruned", "failed")[len(trials) % 3]
            trials.append(make_trial(len(trials) + 1, values, len(trials) % 7 / 10, state))
        expected = [*points_of(trials), None]
        for completed in (0, 1, 5, 9, 11):
            for count in range(completed, len(expected)):
                found = draw_ahead(dimensions, trials[:completed], expected[completed:count], settings)
                assert found == (expected[count] if count < free or count == completed else None)

    def test_with_a_limit_of_time_nothing_is_as_the_next_depends_on_seconds(self):
        settings, dimensions = self.make_settings("grid", minutes=1.0), parse_space(FINITE)
        first = draw_ahead(dimensions, [], [], settings)
        assert first == list_points(dimensions)[0]
        assert draw_ahead(dimensions, [], [first], settings) is None


class TestBounds:
    SPACE: ClassVar[Any] = {
        "train": {
            "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
            "dropout": {"low": 0.0, "high": 0.9, "step": 0.1},
            "batch_size": {"low": 8, "high": 64, "log": True},
            "epochs": {"low": 1, "high": 100},
            "width": {"low": 1, "high": 2.5},
            "head_units": {"low": 32, "high": 512, "step": 32},
            "class_weight": ["none", "balanced"],
            "patience": [None, 3, True],
        }
    }

    @SAMPLERS
    def test_every_value_belongs_to_its_dimension(self, sampler):
        trials, dimensions = run(self.SPACE, sampler, most=40), parse_space(self.SPACE)
        for dimension in dimensions:
            found = [trial.values[dimension.name] for trial in trials]
            self.check(dimension, found)
            assert len(set(map(repr, found))) > 1

    def check(self, dimension: Dimension, found: list[Any]) -> None:
        name = dimension.name.removeprefix("train.")
        if name in ("class_weight", "patience"):
            assert all(any(value is choice for choice in dimension.values) for value in found)
            return
        assert dimension.low <= min(found)
        assert max(found) <= dimension.high
        whole = name in ("batch_size", "epochs", "head_units")
        assert {type(value) for value in found} == {int if whole else float}
        if dimension.values is not None:
            assert set(found) <= set(dimension.values)
        elif not whole:
            assert all(value == float(f"{value:.4g}") for value in found)

    @SAMPLERS
    @pytest.mark.parametrize(
        ("leaf", "values"),
        [({"low": 1, "high": 9, "step": 3}, {1, 4, 7}), ({"low": 0.0, "high": 0.85, "step": 0.4}, {0.0, 0.4, 0.8})],
    )
    def test_steps_may_end_below_the_high_end(self, sampler, leaf, values):
        # Optuna itself would warn that it changes the range.
        space = {"train": {"dropout": leaf, "optimizer": ["adam", "sgd"]}}
        trials = run(space, sampler)
        assert count_different(trials) == len(trials) == 6
        assert set(values_of(trials, "dropout")) == values
        give_to_pruner(parse_space(space), trials, points_of(trials)[0])

    @SAMPLERS
    def test_integers_on_a_log_scale_are_finite_too(self, sampler):
        trials = run({"train": {"batch_size": {"low": 1, "high": 4, "log": True}}}, sampler)
        assert sorted(values_of(trials, "batch_size")) == [1, 2, 3, 4]

    @SAMPLERS
    def test_small_steps_far_from_zero(self, sampler):
        trials = run({"train": {"dropout": {"low": 10.0, "high": 10.1, "step": 0.005}}}, sampler)
        assert count_different(trials) == len(trials) == 21

    @SAMPLERS
    def test_a_range_too_narrow_for_new_values_does_not_stop_the_search(self, sampler):
        trials = run({"train": {"dropout": {"low": 0.1, "high": 0.1001}}}, sampler, most=5)
        assert [value in (0.1, 0.1001) for value in values_of(trials, "dropout")] == [True] * 5


SPACE_OF_ONE = {"train": {"dropout": {"low": 0.0, "high": 0.9}}}
POINT = {"train.dropout": 0.5}


def make_finished(*curves: list[float]) -> list[Trial]:
    """Trials with these accuracies after each epoch."""
    return [Trial(n, "finished", {"train.dropout": n / 10}, max(steps), steps) for n, steps in enumerate(curves, 1)]


def give_to_pruner(
    dimensions: list[Dimension],
    trials: list[Trial],
    point: dict[str, Any],
    *,
    min_trials: int | None = 1,
    min_epochs: int = 1,
    per_fold: bool = False,
    steps: list[float] | None = None,
) -> list[bool]:
    """Whether a trial was hopeless after each step."""
    rule = Pruning(min_trials=min_trials, min_epochs=min_epochs)
    pruner = Pruner(dimensions, trials, point, rule, per_fold=per_fold)
    return [pruner.is_hopeless(step, accuracy) for step, accuracy in enumerate(steps or [0.5])]


class TestPruner:
    CURVES = ([0.1, 0.2, 0.3], [0.3, 0.5, 0.6], [0.5, 0.6, 0.9])  # the medians are 0.3, 0.5, 0.6

    def judge(self, steps: list[float], trials: list[Trial] | None = None, **settings: Any) -> list[bool]:
        trials = make_finished(*self.CURVES) if trials is None else trials
        return give_to_pruner(parse_space(SPACE_OF_ONE), trials, POINT, steps=steps, **settings)

    @pytest.mark.parametrize(
        ("steps", "expected"),
        [
            ([0.4, 0.6, 0.7], [False, False, False]),
            ([0.3, 0.5, 0.6], [False, False, False]),  # the median itself is not below
            ([0.29, 0.49, 0.59], [True, True, True]),
            ([0.4, 0.49, 0.65], [False, True, False]),
            ([0.55, 0.1, 0.1], [False, False, True]),  # its best epoch so far counts
        ],
    )
    def test_hopeless_is_below_the_median_of_the_finished_trials_at_the_same_epoch(self, steps, expected):
        assert self.judge(steps) == expected

    def test_without_min_trials_nothing_is_hopeless(self):
        assert self.judge([0.0, 0.0, 0.0], min_trials=None) == [False] * 3

    @pytest.mark.parametrize(("min_trials", "expected"), [(1, True), (3, True), (4, False)])
    def test_min_trials_must_have_finished(self, min_trials, expected):
        assert self.judge([0.0], min_trials=min_trials) == [expected]

    def test_pruned_and_failed_trials_do_not_count(self):
        odd = [
            Trial(4, "pruned", {"train.dropout": 0.4}, steps=[0.9, 0.9, 0.9]),
            Trial(5, "failed", {"train.dropout": 0.5}, steps=[0.9, 0.9, 0.9]),
        ]
        trials = make_finished(*self.CURVES) + odd
        assert self.judge([0.31], trials, min_trials=3) == [False]
        assert self.judge([0.0], trials, min_trials=4) == [False]

    @pytest.mark.parametrize(
        ("min_epochs", "expected"),
        [(1, [True] * 3), (2, [False, True, True]), (3, [False, False, True]), (9, [False] * 3)],
    )
    def test_each_trial_gets_min_epochs(self, min_epochs, expected):
        assert self.judge([0.0, 0.0, 0.0], min_epochs=min_epochs) == expected

    def test_each_trial_gets_one_fold(self):
        assert self.judge([0.0, 0.0, 0.0], min_epochs=9, per_fold=True) == [True] * 3

    def test_an_epoch_that_no_other_has_reached_is_not_compared(self):
        assert self.judge([0.0] * 5, min_epochs=4) == [False] * 5

    def test_the_first_trial_is_not_compared(self):
        assert self.judge([0.0], []) == [False]

    def test_its_rule_does_not_depend_on_the_point(self):
        space = FINITE["train"] | SPACE_OF_ONE["train"]
        point = POINT | {"train.optimizer": None, "train.epochs": 1}
        trials = [Trial(n, "finished", point, 0.5, [0.5]) for n in (1, 2)]
        for accuracy, expected in ((0.4, True), (0.5, False)):
            found = give_to_pruner(parse_space({"train": space}), trials, point, steps=[accuracy])
            assert found == [expected]


class TestImportance:
    SPACE: ClassVar[Any] = {
        "train": {"epochs": {"low": 1, "high": 9}, "optimizer": ["adam", None], "dropout": {"low": 0.0, "high": 0.9}}
    }

    def measure(self, trials: list[Trial], seed: int = 1) -> dict[str, float]:
        return measure_importance(parse_space(self.SPACE), trials, seed=seed)

    def make(self, count: int, judge: Judge | None = None) -> list[Trial]:
        def by_epochs(point: dict[str, Any]) -> float:
            return round(0.1 * point["train.epochs"] + 0.02 * (point["train.optimizer"] is None), 6)

        return run(self.SPACE, "random", most=count, judge=judge or by_epochs)

    def test_shares_sum_to_one_the_largest_first(self):
        found = self.measure(self.make(20))
        assert sum(found.values()) == pytest.approx(1, abs=2e-4)
        assert next(iter(found)) == "train.epochs"
        assert found["train.epochs"] > 0.8
        assert list(found.values()) == sorted(found.values(), reverse=True)
        assert set(found) == {"train.epochs", "train.optimizer", "train.dropout"}

    def test_it_is_deterministic(self):
        trials = self.make(12)
        assert self.measure(trials) == self.measure(trials)

    @pytest.mark.parametrize(("count", "expected"), [(0, False), (1, False), (4, False), (5, True)])
    def test_fewer_than_five_trials_give_none(self, count, expected):
        assert bool(self.measure(self.make(count))) == expected

    def test_only_finished_trials_count(self):
        finished = self.make(4)
        others = [Trial(5 + n, state, finished[n].values, steps=[0.1]) for n, state in enumerate(("pruned", "failed"))]
        assert self.measure(finished + others) == {}
        assert self.measure(self.make(5) + others) == self.measure(self.make(5))

    def test_equal_scores_give_none(self):
        assert self.measure(self.make(8, judge=lambda _: 0.5)) == {}

    def test_a_parameter_that_did_not_vary_has_no_share(self):
        trials = [Trial(t.number, t.state, t.values | {"train.optimizer": "adam"}, t.score) for t in self.make(8)]
        assert set(self.measure(trials)) == {"train.epochs", "train.dropout"}

    def test_without_any_variation_there_is_none(self):
        trials = [
            Trial(n, "finished", {"train.epochs": 1, "train.optimizer": None, "train.dropout": 0.1}, n / 10)
            for n in range(8)
        ]
        assert self.measure(trials) == {}
