import numpy as np
import pytest

from pipeline.evaluation.decisions import compare_decisions, decide, use_probabilities
from pipeline.evaluation.measures import load_costs, make_cost_matrix
from pipeline.evaluation.temperature import apply_temperature
from pipeline.runtime.errors import PipelineError

EQUAL = 1 - np.eye(3)


class TestDecision:
    def test_where_all_errors_cost_the_same_it_is_the_most_probable_class(self):
        probabilities = np.random.default_rng(0).dirichlet(np.ones(3), 100)
        assert decide(probabilities, EQUAL).tolist() == probabilities.argmax(axis=1).tolist()

    def test_a_dear_error_is_avoided_though_the_other_class_is_more_probable(self):
        # A sick one that is missed costs 10: worth an alarm from a probability of 1 / 11 on.
        costs = make_cost_matrix({"sick": 10}, ["sick", "well"])
        probabilities = np.array([[0.08, 0.92], [0.1, 0.9], [0.6, 0.4]])
        assert decide(probabilities, costs).tolist() == [1, 0, 0]

    def test_of_equals_the_most_probable_is_taken(self):
        costs = np.array([[0.0, 2.0], [1.0, 0.0]])  # at 1 / 3 both cost 2 / 3
        assert decide(np.array([[1 / 3, 2 / 3]]), costs).tolist() == [1]
        free = np.zeros((3, 3))
        assert decide(np.array([[0.2, 0.3, 0.5]]), free).tolist() == [2]


class TestUsedProbabilities:
    PROBABILITIES = np.array([[0.08, 0.92], [0.6, 0.4]])

    @pytest.mark.parametrize("measure", ["accuracy", "balanced_accuracy", "macro_f1", "roc_auc"])
    def test_most_measures_see_them_as_they_are(self, measure):
        assert use_probabilities(measure, self.PROBABILITIES, 3.0) is self.PROBABILITIES

    def test_log_loss_sees_calibrated_ones(self):
        expected = apply_temperature(self.PROBABILITIES, 3.0)
        np.testing.assert_array_equal(use_probabilities("log_loss", self.PROBABILITIES, 3.0), expected)

    @pytest.mark.parametrize(("temperature", "answers"), [(1.0, [1, 0]), (2.0, [0, 0])])
    def test_cost_sees_the_answer_that_costs_least(self, temperature, answers):
        costs = make_cost_matrix({"sick": 10}, ["sick", "well"])
        used = use_probabilities("cost", self.PROBABILITIES, temperature, costs)
        np.testing.assert_array_equal(used, np.eye(2)[answers])


class TestComparison:
    def test_probabilities_that_mean_what_they_say_save_what_they_promise(self):
        generator = np.random.default_rng(1)
        sick = generator.beta(1, 4, 4000)
        labels = (generator.random(4000) > sick).astype(int)  # 0: sick
        found = compare_decisions(
            labels, np.column_stack([sick, 1 - sick]), make_cost_matrix({"sick": 10}, ["sick", "well"])
        )
        assert found.least < 0.6 * found.probable
        assert found.changed == (found.answers != (sick < 0.5)).sum() > 1000
        assert found.p < 0.001

    def test_without_a_change_there_is_no_difference(self):
        found = compare_decisions(np.array([0, 1, 2]), np.eye(3), EQUAL)
        assert (found.probable, found.least, found.changed, found.p) == (0.0, 0.0, 0, 1.0)


class TestCosts:
    def test_none_are_refused_in_one_line(self):
        with pytest.raises(PipelineError, match="costs is empty: expected what errors cost"):
            load_costs({}, ["a", "b"])

    def test_others_are_a_matrix(self):
        assert load_costs({"a": 5}, ["a", "b"]).tolist() == [[0, 5], [1, 0]]
