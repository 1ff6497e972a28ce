from itertools import pairwise
from typing import Any

import pytest

from pipeline.config.recipe_sections import Recipe, Schedule

pytestmark = pytest.mark.usefixtures("tensorflow")

CONSTANT: dict[str, Any] = {"kind": "constant", "hold_epochs": 0, "decay": 0.0, "warmup_epochs": 0, "step_decay": 0.0}
NO_PLATEAU: dict[str, Any] = {"monitor": "val_loss", "factor": 0.5, "patience": None, "min_lr": 0.0, "min_delta": 0.0}
SYSTEM_D: dict[str, Any] = {"kind": "exponential", "hold_epochs": 10, "decay": 0.1}
# 0.001 · e^-0.1, e^-0.2, e^-0.3, e^-0.4
SYSTEM_DS_RATES = [0.001] * 10 + [0.000904837, 0.000818731, 0.000740818, 0.000670320]


def make_schedule(**changes: Any) -> Schedule:
    return Schedule.model_validate(CONSTANT | changes)


def make_recipe(*, schedule: dict[str, Any] | None = None, reduce_lr: dict[str, Any] | None = None) -> Recipe:
    return Recipe.model_validate(
        {
            "backbone": None,
            "input_size": None,
            "epochs": 2,
            "batch_size": 8,
            "optimizer": "adam",
            "learning_rate": 0.001,
            "dropout": 0.0,
            "l2": 0.0,
            "width": 1.0,
            "head_units": 0,
            "augment": {"flip": "none", "rotation": 0.0, "zoom": 0.0, "contrast": 0.0},
            "early_stopping": {"monitor": "val_loss", "patience": None, "restore": "best"},
            "reduce_lr": NO_PLATEAU | (reduce_lr or {}),
            "schedule": CONSTANT | (schedule or {}),
            "class_weight": "none",
        }
    )


def make_callbacks(**changes: Any) -> list:
    from pipeline.training.schedules import make_rate_callbacks

    return make_rate_callbacks(make_recipe(**changes))


def train_without_improvement(epochs: int, *, improvement: float = 0.0, **changes: Any) -> list[float]:
    """The learning rate of each epoch of a network whose losses hardly improve. improvement: of val_loss, each epoch."""
    import keras

    from pipeline.training.schedules import make_optimizer

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(make_optimizer("sgd", 0.001), "mse")
    callbacks, rates = keras.callbacks.CallbackList(make_callbacks(**changes), model=model), []
    callbacks.on_train_begin()
    for epoch in range(epochs):
        callbacks.on_epoch_begin(epoch)
        rates.append(float(model.optimizer.learning_rate))
        callbacks.on_epoch_end(epoch, {"loss": 1.0, "val_loss": 1.0 - improvement * epoch, "val_accuracy": 0.5})
    return rates


class TestOptimizers:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [("adam", "Adam"), ("adamw", "AdamW"), ("rmsprop", "RMSprop"), ("sgd", "SGD"), ("nesterov", "SGD")],
    )
    def test_they_are_made_by_name_with_the_learning_rate(self, name, kind):
        from pipeline.training.schedules import make_optimizer

        optimizer = make_optimizer(name, 0.02)
        assert type(optimizer).__name__ == kind
        assert float(optimizer.learning_rate) == pytest.approx(0.02)

    def test_sgd_has_momentum(self):
        from pipeline.training.schedules import make_optimizer

        sgd, nesterov = make_optimizer("sgd", 0.02), make_optimizer("nesterov", 0.02)
        assert (sgd.momentum, sgd.nesterov) == (0.9, False)
        assert (nesterov.momentum, nesterov.nesterov) == (0.9, True)

    def test_weight_decay_takes_a_share_off_weights_but_not_off_what_adds(self):
        import keras

        from pipeline.training.schedules import make_optimizer

        variables = [keras.Variable([1.0], name=name) for name in ("kernel", "bias", "gamma", "beta")]
        optimizer = make_optimizer("sgd", 0.1, weight_decay=0.5)
        optimizer.build(variables)
        optimizer.apply([keras.ops.zeros((1,))] * 4)
        assert [float(variable.numpy()[0]) for variable in variables] == pytest.approx([0.95, 1.0, 1.0, 1.0])

    def test_without_one_each_has_its_own(self):
        from pipeline.training.schedules import make_optimizer

        assert [make_optimizer(name, 0.1).weight_decay for name in ("adam", "sgd", "adamw")] == [None, None, 0.004]

    @pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop", "sgd", "nesterov"])
    def test_they_follow_a_schedule(self, name):
        from pipeline.training.schedules import make_optimizer, make_rate

        optimizer = make_optimizer(name, make_rate(make_schedule(kind="cosine"), 0.02, epochs=2, steps_per_epoch=5))
        found = []
        for step in (0, 5, 10):
            optimizer.iterations.assign(step)
            found.append(float(optimizer.learning_rate))
        assert found == pytest.approx([0.02, 0.01, 0.0], abs=1e-6)


class TestStepDecay:
    """`decay` of Keras' optimizers up to 2.10: step n has the rate / (1 + decay × n)."""

    def steps(self, name: str, count: int, *, step_decay: float, rates: dict[int, float] | None = None) -> list[float]:
        """How far each step moves a weight whose gradient is 1. rates: learning rates set before a step, as callbacks do."""
        import keras

        from pipeline.training.schedules import make_optimizer

        weight = keras.Variable([0.0])
        optimizer = make_optimizer(name, 0.1, step_decay=step_decay)
        optimizer.build([weight])
        positions = [0.0]
        for step in range(count):
            if rates and step in rates:
                optimizer.learning_rate = rates[step]
            optimizer.apply([keras.ops.ones((1,))])
            positions.append(float(weight.numpy()[0]))
        return [a - b for a, b in pairwise(positions)]

    @pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop", "sgd"])
    def test_each_step_is_shorter_by_the_number_of_steps_before_it(self, name):
        plain = self.steps(name, 3, step_decay=0.0)
        decayed = self.steps(name, 3, step_decay=0.5)
        if name != "sgd":  # whose momentum carries earlier rates on
            assert decayed == pytest.approx([plain[0], plain[1] / 1.5, plain[2] / 2.0], rel=1e-3)
        assert decayed[0] == pytest.approx(plain[0])
        assert decayed[2] < plain[2]

    def test_a_rate_that_a_callback_sets_decays_on_from_there(self):
        steps = self.steps("adam", 3, step_decay=0.5, rates={2: 0.01})
        assert steps == pytest.approx([0.1, 0.1 / 1.5, 0.01 / 2.0], rel=1e-3)

    def test_callbacks_see_the_rate_that_they_set(self):
        from pipeline.training.schedules import make_optimizer

        assert float(make_optimizer("rmsprop", 0.1, step_decay=0.5).learning_rate) == pytest.approx(0.1)


class TestConstant:
    def test_the_rate_is_the_number_itself(self):
        from pipeline.training.schedules import make_rate

        assert make_rate(make_schedule(), 0.02, epochs=3, steps_per_epoch=7) == 0.02

    def test_settings_of_the_other_kinds_are_ignored(self):
        from pipeline.training.schedules import make_rate

        schedule = make_schedule(hold_epochs=1, decay=0.5, warmup_epochs=2)
        assert make_rate(schedule, 0.02, epochs=3, steps_per_epoch=7) == 0.02
        assert make_callbacks(schedule=schedule.model_dump()) == []


class TestExponential:
    def test_the_optimizer_starts_with_the_number_itself(self):
        from pipeline.training.schedules import make_rate

        assert make_rate(make_schedule(**SYSTEM_D), 0.02, epochs=20, steps_per_epoch=7) == 0.02

    def test_system_ds_is_constant_for_ten_epochs_and_then_decays_by_a_tenth_each(self):
        from pipeline.training.schedules import make_exponential

        schedule, rates = make_exponential(make_schedule(**SYSTEM_D)), [0.001]
        for epoch in range(14):
            rates.append(schedule(epoch, rates[-1]))
        assert rates[1:] == pytest.approx(SYSTEM_DS_RATES, rel=1e-5)

    def test_training_runs_at_these_rates(self):
        assert train_without_improvement(14, schedule=SYSTEM_D) == pytest.approx(SYSTEM_DS_RATES, rel=1e-5)

    def test_the_first_epoch_has_the_full_rate_even_if_none_is_held(self):
        rates = train_without_improvement(4, schedule=SYSTEM_D | {"hold_epochs": 0})
        assert rates == pytest.approx([0.001, 0.000904837, 0.000818731, 0.000740818], rel=1e-5)

    def test_holding_one_epoch_is_the_same_as_holding_none(self):
        one, none = (train_without_improvement(4, schedule=SYSTEM_D | {"hold_epochs": held}) for held in (1, 0))
        assert one == none

    def test_without_decay_the_rate_is_constant(self):
        assert train_without_improvement(3, schedule=SYSTEM_D | {"hold_epochs": 1, "decay": 0.0}) == pytest.approx(
            [0.001] * 3
        )

    def test_a_plateau_lowers_the_current_rate(self):
        rates = train_without_improvement(
            5, schedule=SYSTEM_D | {"hold_epochs": 2}, reduce_lr={"factor": 0.5, "patience": 2}
        )
        # Two epochs are held; from the third on each decays by e^-0.1; after the third, which is no better than the first
        # two, the plateau halves it: 0.001 · e^-0.1, · e^-0.2 / 2, · e^-0.3 / 2.
        assert rates == pytest.approx([0.001, 0.001, 0.000904837, 0.000409365, 0.000370409], rel=1e-5)


class TestCosine:
    EPOCHS, STEPS, RATE = 5, 10, 0.02

    def rates(self, steps, *, epochs: int = EPOCHS, steps_per_epoch: int = STEPS, **changes: Any) -> list[float]:
        from pipeline.training.schedules import make_rate

        schedule = make_schedule(kind="cosine", **changes)
        rate = make_rate(schedule, self.RATE, epochs=epochs, steps_per_epoch=steps_per_epoch)
        return [float(rate(step)) for step in steps]

    def test_it_decays_from_the_rate_to_zero(self):
        rates = self.rates(range(51))
        assert [rates[0], rates[25], rates[50]] == pytest.approx([0.02, 0.01, 0.0], abs=1e-7)
        assert all(a > b for a, b in pairwise(rates))

    def test_it_follows_the_cosine(self):
        # (1 + cos 45°) / 2 = 0.853553 of the rate after a quarter, (1 + cos 60°) / 2 = 0.75 after a third
        assert self.rates([10], epochs=4) == pytest.approx([0.02 * 0.853553])
        assert self.rates([10], epochs=3) == pytest.approx([0.02 * 0.75])

    def test_a_warm_up_rises_from_zero_to_the_rate_in_equal_steps(self):
        assert self.rates([0, 5, 10, 15, 20], warmup_epochs=2) == pytest.approx([0.0, 0.005, 0.01, 0.015, 0.02])

    def test_it_decays_to_zero_after_the_warm_up(self):
        rates = self.rates(range(20, 51), warmup_epochs=2)
        assert [rates[0], rates[15], rates[30]] == pytest.approx([0.02, 0.01, 0.0], abs=1e-7)
        assert all(a > b for a, b in pairwise(rates))

    def test_after_the_end_it_remains_zero(self):
        assert self.rates([51, 1000]) == pytest.approx([0, 0], abs=1e-7)
        assert self.rates([51, 1000], warmup_epochs=2) == pytest.approx([0, 0], abs=1e-7)

    @pytest.mark.parametrize("warmup_epochs", [2, 3, 30])
    def test_a_warm_up_as_long_as_training_leaves_the_last_epoch_for_decay(self, warmup_epochs):
        rates = self.rates([0, 4, 8, 10, 12], epochs=3, steps_per_epoch=4, warmup_epochs=warmup_epochs)
        assert rates == pytest.approx([0.0, 0.01, 0.02, 0.01, 0.0], abs=1e-7)

    def test_a_single_epoch_has_no_warm_up(self):
        assert self.rates([0, 5, 10], epochs=1, warmup_epochs=5) == pytest.approx([0.02, 0.01, 0.0], abs=1e-7)

    def test_it_needs_no_callback(self):
        assert make_callbacks(schedule={"kind": "cosine", "warmup_epochs": 2}) == []


class TestOneCycle:
    def rates(self, steps, *, epochs: int = 5, warmup_epochs: int = 2) -> list[float]:
        from pipeline.training.schedules import make_rate

        schedule = make_schedule(kind="one_cycle", warmup_epochs=warmup_epochs)
        rate = make_rate(schedule, 0.03, epochs=epochs, steps_per_epoch=10)
        return [float(rate(step)) for step in steps]

    def test_it_rises_and_falls_in_equal_steps(self):
        assert self.rates([20, 30, 40, 50]) == pytest.approx([0.03, 0.02, 0.01, 0.0], abs=1e-7)
        rises = [after - before for before, after in pairwise(self.rates(range(21)))]
        assert rises == pytest.approx([0.03 / 21] * 20, rel=1e-3)

    def test_its_first_step_already_moves(self):
        assert self.rates([0]) == pytest.approx([0.03 / 21])

    def test_without_a_warm_up_it_falls_at_once(self):
        assert self.rates([0, 25, 50, 60], warmup_epochs=0) == pytest.approx([0.03, 0.015, 0.0, 0.0], abs=1e-7)

    def test_the_last_epoch_is_left_for_the_fall(self):
        assert self.rates([10, 20], epochs=2, warmup_epochs=30) == pytest.approx([0.03, 0.0], abs=1e-7)

    def test_it_needs_no_callback(self):
        assert make_callbacks(schedule={"kind": "one_cycle", "warmup_epochs": 2}) == []


class TestCallbacks:
    @pytest.mark.parametrize(
        ("changes", "kinds"),
        [
            ({}, []),
            ({"schedule": SYSTEM_D}, ["LearningRateScheduler"]),
            ({"reduce_lr": {"patience": 3}}, ["ReduceLROnPlateau"]),
            ({"schedule": SYSTEM_D, "reduce_lr": {"patience": 3}}, ["LearningRateScheduler", "ReduceLROnPlateau"]),
        ],
    )
    def test_there_is_one_for_each_rule_of_a_recipe(self, changes, kinds):
        assert [type(callback).__name__ for callback in make_callbacks(**changes)] == kinds

    def test_the_plateau_rule_has_the_recipes_settings(self):
        settings = {"monitor": "val_accuracy", "factor": 0.4, "patience": 3, "min_lr": 1e-6, "min_delta": 0.01}
        (plateau,) = make_callbacks(reduce_lr=settings)
        assert {name: getattr(plateau, name) for name in settings} == settings

    @pytest.mark.parametrize(("min_delta", "last"), [(0.0, 0.001), (0.05, 0.0001)])
    def test_a_smaller_improvement_than_min_delta_is_none(self, min_delta, last):
        rule = {"factor": 0.1, "patience": 2, "min_delta": min_delta}
        assert train_without_improvement(4, improvement=0.02, reduce_lr=rule)[-1] == pytest.approx(last)

    def test_the_plateau_rule_has_a_monitor_of_its_own(self):
        rule = {"factor": 0.1, "patience": 2, "monitor": "val_accuracy"}  # which does not improve
        assert train_without_improvement(4, improvement=0.02, reduce_lr=rule)[-1] == pytest.approx(0.0001)

    def test_the_plateau_rule_stops_at_its_floor(self):
        rates = train_without_improvement(5, reduce_lr={"factor": 0.1, "patience": 1, "min_lr": 0.00005})
        assert rates == pytest.approx([0.001, 0.001, 0.0001, 0.00005, 0.00005], rel=1e-5)
