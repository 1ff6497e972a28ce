import math
from types import SimpleNamespace

import pytest

from pipeline.search.replay import Listener, Outcome, Step, judge
from pipeline.search.trials import Trial

VALUES = {"train.dropout": 0.5}
EPOCHS = [0.5, 0.61234567, 0.7]


def make_outcome(trial: Trial, accuracies: list[float]) -> Outcome:
    """One step a second."""
    return Outcome(trial, [Step(number, accuracy, number + 1.0) for number, accuracy in enumerate(accuracies)])


def stop_at(number: int | None):
    return lambda step, _: step == number


FINISHED = Trial(3, "finished", VALUES, 0.7, [0.5, 0.612346, 0.7], [0.7], None, 9.0)
BY_FOLDS = Trial(3, "finished", VALUES, 0.6, [0.5, 0.55, 0.6], [0.5, 0.6, 0.7], None, 9.0)


def test_a_trial_that_is_never_hopeless_remains_as_it_is():
    assert judge(make_outcome(FINISHED, EPOCHS), stop_at(None), folds=None) == FINISHED
    assert judge(make_outcome(BY_FOLDS, [0.5, 0.55, 0.6]), stop_at(None), folds=3) == BY_FOLDS


@pytest.mark.parametrize("last", [0, 1, 2])
def test_one_that_is_ends_with_that_epoch_without_a_score(last):
    found = judge(make_outcome(FINISHED, EPOCHS), stop_at(last), folds=None)
    assert found == Trial(3, "pruned", VALUES, None, FINISHED.steps[: last + 1], [], None, last + 1.0)


@pytest.mark.parametrize("last", [0, 1])
def test_by_folds_it_keeps_the_scores_of_those_that_it_had(last):
    found = judge(make_outcome(BY_FOLDS, [0.5, 0.55, 0.6]), stop_at(last), folds=3)
    steps, scores = BY_FOLDS.steps[: last + 1], BY_FOLDS.scores[: last + 1]
    assert found == Trial(3, "pruned", VALUES, None, steps, scores, None, last + 1.0)


def test_after_the_last_fold_it_is_finished_all_the_same():
    assert judge(make_outcome(BY_FOLDS, [0.5, 0.55, 0.6]), stop_at(2), folds=3) == BY_FOLDS


def test_one_that_failed_later_would_not_have_come_so_far():
    failed = Trial(3, "failed", VALUES, None, [0.5, 0.612346], [], "diverged", 9.0)
    assert judge(make_outcome(failed, EPOCHS[:2]), stop_at(None), folds=None) == failed
    found = judge(make_outcome(failed, EPOCHS[:2]), stop_at(0), folds=None)
    assert found == Trial(3, "pruned", VALUES, None, [0.5], [], None, 1.0)


def test_one_that_was_stopped_for_the_same_reason_remains_as_it_is():
    pruned = Trial(3, "pruned", VALUES, None, [0.5, 0.612346], [], None, 2.0)
    assert judge(make_outcome(pruned, EPOCHS[:2]), stop_at(1), folds=None) == pruned


def test_it_is_asked_for_each_step_once_in_order_and_with_all_digits():
    heard = []
    judge(make_outcome(FINISHED, EPOCHS), lambda *step: heard.append(step) or False, folds=None)
    assert heard == list(enumerate(EPOCHS))


def test_accuracies_that_are_not_finite_are_asked_for_and_dropped():
    found = judge(make_outcome(FINISHED, [0.5, math.nan, 0.25]), stop_at(2), folds=None)
    assert found.steps == [0.5, 0.25]


def test_a_listener_notes_steps_and_says_what_is_known(monkeypatch):
    seconds = iter([100.0, 101.5, 103.004, 0.0, 1.0])
    monkeypatch.setattr("pipeline.search.replay.time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    listener = Listener(stop_at(1))
    assert [listener.hear(number, accuracy) for number, accuracy in enumerate([0.1, 0.2])] == [False, True]
    assert listener.steps == [Step(0, 0.1, 1.5), Step(1, 0.2, 3.0)]
    assert not Listener(None).hear(1, 0.2), "nothing is known"
