from dataclasses import replace

import numpy as np
import pytest

from pipeline.export.parity import (
    Answers,
    Distances,
    check_exact,
    compare,
    find_disagreements,
    find_other_refusals,
    find_reason,
    round_up,
)
from pipeline.runtime.errors import PipelineError
from tests.results import make_probabilities

LABELS = np.arange(40) % 4


def answer(model: np.ndarray, exported: np.ndarray, labels: np.ndarray = LABELS) -> Answers:
    return Answers([f"{label}/{row}.png" for row, label in enumerate(labels)], labels, model, exported)


def miss(*rows: int, confidence: float = 0.8) -> np.ndarray:
    """Probabilities that are wrong in these rows alone."""
    predicted = LABELS.copy()
    predicted[list(rows)] = (predicted[list(rows)] + 1) % 4
    return make_probabilities(predicted, 4, confidence).astype(np.float32)


def measure(answers: Answers):
    return compare("litert_int8", "model.tflite", 123, answers)


def test_the_same_answers():
    parity = measure(answer(miss(3), miss(3)))
    assert (parity.agreement, parity.disagreements, parity.largest_difference) == (1.0, 0, 0.0)
    assert parity.accuracy == parity.model_accuracy == 0.975
    assert parity.accuracy_low < 0.975 < parity.accuracy_high
    assert (parity.only_exported, parity.only_model, parity.p) == (0, 0, 1.0)
    assert (parity.images, parity.bytes, parity.status) == (40, 123, "kept")
    assert find_reason(parity, 0.0) == ""


def test_other_answers_are_counted():
    answers = answer(miss(0), miss(1, 2))
    parity = measure(answers)
    assert (parity.only_exported, parity.only_model) == (1, 2)
    assert parity.agreement == 0.925
    assert parity.largest_difference == 0.8
    assert find_disagreements(answers) == ["0/0.png", "1/1.png", "2/2.png"]


def test_where_rounding_decides_there_is_no_disagreement():
    model = miss()
    model[5] = [0.30004, 0.30006, 0.2, 0.1999]
    exported = model.copy()
    exported[5] = [0.30006, 0.30004, 0.2, 0.1999]
    parity = measure(answer(model, exported))
    assert (parity.agreement, parity.disagreements) == (0.975, 0)
    check_exact("underfit", parity, answer(model, exported))


def test_a_file_in_float32_that_disagrees_is_an_error():
    answers = answer(miss(), miss(7))
    with pytest.raises(PipelineError) as caught:
        check_exact("underfit", compare("onnx", "model.onnx", 1, answers), answers)
    assert str(caught.value) == (
        "underfit as onnx names another class than the model for 1 of 40 test images, such as '3/7.png', though the margin is "
        "above 0.0001: expected none; leave onnx out of export.formats, and please report this as a bug"
    )


def test_what_is_no_number_is_refused():
    exported = miss()
    exported[4] = np.nan
    answers = answer(miss(), exported)
    parity = measure(answers)
    assert find_reason(parity, 1.0) == "gives probabilities that are no numbers"
    with pytest.raises(PipelineError, match="gives probabilities that are no numbers: expected the model's; leave"):
        check_exact("underfit", parity, answers)


class TestDistance:
    SCORES = np.array([1.0, 1.2, 1.5, 2.0])

    def pair(self, **exported: float) -> Answers:
        """exported: row to distance, where it is another than the model's."""
        model = np.linspace(1.05, 2.5, 40)
        given = model.copy()
        for row, value in exported.items():
            given[int(row[1:])] = value
        return replace(answer(miss(), miss()), distances=Distances(model, given, self.SCORES))

    def test_the_same_distances(self):
        parity = measure(self.pair())
        assert (parity.distance_difference, parity.refusal_disagreements) == (0.0, 0)
        check_exact("underfit", parity, self.pair())

    def test_without_any_nothing_is_said(self):
        parity = measure(answer(miss(), miss()))
        assert (parity.distance_difference, parity.refusal_disagreements) == (None, None)

    def test_one_between_the_same_limits_is_no_other_refusal_but_its_difference_is_told(self):
        parity = measure(self.pair(r39=2.0001))
        assert (parity.distance_difference, parity.refusal_disagreements) == (0.2, 0)

    @pytest.mark.parametrize("distance", [1.9, 0.5, 0.0])
    def test_one_beyond_a_limit_is_an_error_in_a_file_in_float32(self, distance):
        answers = self.pair(r39=distance)
        with pytest.raises(PipelineError) as caught:
            check_exact("underfit", compare("onnx", "model.onnx", 1, answers), answers)
        assert str(caught.value) == (
            "underfit as onnx gives another distance than the model, by which 1 of 40 test images, such as '3/39.png', would "
            "be none of these by only one of them: expected none; leave onnx out of export.formats, and please report this as "
            "a bug"
        )

    def test_so_is_one_that_is_no_number(self):
        assert find_other_refusals(self.pair(r3=np.nan, r5=np.inf)) == ["3/3.png", "1/5.png"]

    def test_where_rounding_decides_there_is_none(self):
        model = np.full(40, 1.5)
        exported = np.where(np.arange(40) % 2, 1.5 + 1e-6, 1.5 - 1e-6)
        answers = replace(answer(miss(), miss()), distances=Distances(model, exported, self.SCORES))
        assert find_other_refusals(answers) == []
        assert measure(answers).distance_difference == 7e-7


class TestReason:
    def test_a_small_loss_is_kept(self):
        assert find_reason(measure(answer(miss(), miss(1))), 0.025) == ""

    def test_more_than_the_user_allows_is_refused_with_the_number(self):
        reason = find_reason(measure(answer(miss(), miss(1, 2))), 0.025)
        assert reason == "accuracy is 0.05 lower than the model's, more than export.max_drop, 0.025"

    def test_a_loss_that_is_no_chance_is_refused_whatever_the_user_allows(self):
        reason = find_reason(measure(answer(miss(), miss(*range(6)))), 0.5)
        assert reason == "accuracy is 0.15 lower than the model's, distinguishably so (p = 0.03125)"

    def test_a_gain_is_none(self):
        assert find_reason(measure(answer(miss(*range(10)), miss())), 0.0) == ""

    def test_a_row_of_a_refused_file_says_so(self):
        parity = measure(answer(miss(), miss(1))).refuse("it is too bad")
        assert (parity.status, parity.reason) == ("refused", "it is too bad")


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(0.0, 0.0), (8.05e-7, 9e-7), (9.5e-7, 1e-6), (3e-7, 3e-7), (0.0001, 0.0001), (0.0412, 0.05), (0.96, 1.0)],
)
def test_differences_are_rounded_up_to_one_digit(value, rounded):
    assert round_up(value) == rounded
