import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import f1_score

from pipeline.evaluation.guessing import compare_with_guessing, guess, measure_guess
from pipeline.evaluation.measures import make_cost_matrix
from tests.results import make_probabilities

MEASURES = ["accuracy", "balanced_accuracy", "macro_f1", "log_loss", "roc_auc", "cost"]
PRIOR = np.array([0.02, 0.98])
RARE = np.array([0] * 5 + [1] * 245)  # labels: five of the rare class
COSTS = make_cost_matrix({"defect": 20}, ["defect", "normal"])


class TestGuess:
    def test_it_is_the_most_frequent_class_of_the_training_images(self):
        assert guess("accuracy", PRIOR).tolist() == [0, 1]

    def test_for_log_loss_the_prior(self):
        assert guess("log_loss", PRIOR).tolist() == PRIOR.tolist()

    def test_for_costs_the_answer_that_costs_least(self):
        assert guess("cost", PRIOR, COSTS).tolist() == [0, 1]
        assert guess("cost", PRIOR, make_cost_matrix({"defect": 200}, ["defect", "normal"])).tolist() == [1, 0]

    def test_the_macro_f1_of_drawing_from_the_prior_is_what_drawing_gives_on_average(self):
        labels, rng, prior = np.arange(300) % 3, np.random.default_rng(0), np.array([0.2, 0.3, 0.5])
        drawn = [f1_score(labels, rng.choice(3, 300, p=prior), average="macro") for _ in range(200)]
        assert measure_guess("macro_f1", labels, prior).mean() == pytest.approx(np.mean(drawn), abs=0.01)


class TestComparison:
    @pytest.mark.parametrize("measure", ["accuracy", "balanced_accuracy", "roc_auc", "cost"])
    def test_who_always_answers_the_same_is_no_better_than_guessing(self, measure):
        always = make_probabilities(np.ones(250, int), 2, 0.984)
        versus = compare_with_guessing(measure, RARE, always, PRIOR, COSTS)
        assert (versus.value, versus.p, versus.is_better, versus.images_needed) == (versus.guess, 1, False, None)

    @pytest.mark.parametrize("measure", MEASURES)
    def test_who_knows_the_classes_is_better(self, measure):
        labels = np.arange(60) % 2
        versus = compare_with_guessing(measure, labels, make_probabilities(labels, 2), np.array([0.5, 0.5]), COSTS)
        assert versus.is_better
        assert versus.value > versus.guess
        assert versus.images_needed < 60

    @pytest.mark.parametrize("measure", MEASURES)
    def test_noise_is_not(self, measure):
        rng = np.random.default_rng(0)
        labels, probabilities = rng.integers(0, 2, 60), rng.dirichlet([1, 1], 60)
        assert not compare_with_guessing(measure, labels, probabilities, np.array([0.5, 0.5]), COSTS).is_better

    def test_accuracy_can_be_below_that_of_guessing_where_balanced_accuracy_is_far_above(self):
        """Finds all of 25 defects among 250 images, with 40 false alarms."""
        labels = np.array([0] * 25 + [1] * 225)
        found = make_probabilities(np.array([0] * 65 + [1] * 185), 2)
        prior = np.array([0.1, 0.9])
        assert not compare_with_guessing("accuracy", labels, found, prior).is_better
        assert compare_with_guessing("balanced_accuracy", labels, found, prior).is_better

    def test_too_few_images_for_any_claim_say_how_many_would_do(self):
        labels = np.array([0, 1, 1, 1, 1])
        versus = compare_with_guessing("accuracy", labels, make_probabilities(labels, 2), np.array([0.2, 0.8]))
        assert (versus.value, versus.guess, versus.is_better) == (1, 0.8, False)
        assert versus.images_needed == pytest.approx(16, abs=2)

    def test_so_many_would_show_the_difference_in_four_of_five_tests(self):
        """Of 200 images, 150 right, where one answer is right for 140."""
        labels = np.array([0] * 140 + [1] * 60)
        found = make_probabilities(np.array([0] * 190 + [1] * 10), 2)
        versus = compare_with_guessing("accuracy", labels, found, np.array([0.7, 0.3]))
        assert not versus.is_better
        right = np.random.default_rng(1).binomial(versus.images_needed, 0.75, 1000)
        shown = sum(binomtest(int(count), versus.images_needed, 0.7).pvalue < 0.05 for count in right)
        assert 760 <= shown <= 840

    def test_which_of_equally_frequent_classes_guessing_answers_does_not_matter(self):
        """11 of 32 right, of eight classes: by chance it would be 4, and 11 or more in one of a thousand cases."""
        labels = np.arange(32) % 8
        answers = np.where(np.arange(32) < 11, labels, (labels + 1) % 8)
        for shift in range(8):
            shifted = make_probabilities((answers + shift) % 8, 8)
            versus = compare_with_guessing("accuracy", (labels + shift) % 8, shifted, np.full(8, 1 / 8))
            assert versus.is_better
            assert versus.p == pytest.approx(0.004, abs=0.002)

    def test_who_answers_as_the_test_images_are_mixed_and_knows_nothing_is_not_better(self):
        """Training images are of other shares than those of test: always answering class 0 would be right for one in 60."""
        labels = np.array([0] + [1] * 30 + [2] * 30)
        answers = 1 + np.arange(61) % 2
        versus = compare_with_guessing("accuracy", labels, make_probabilities(answers, 3), np.full(3, 1 / 3))
        assert (versus.is_better, versus.is_dealt) == (False, True)
        assert versus.guess == pytest.approx(30 / 61, abs=0.02)

    def test_knowing_something_is_not_enough_where_one_answer_does_as_well(self):
        """72 of 100 right, where always answering class 1 is right for 70."""
        labels = np.array([0] * 30 + [1] * 70)
        answers = np.array([0] * 16 + [1] * 14 + [0] * 14 + [1] * 56)
        versus = compare_with_guessing("accuracy", labels, make_probabilities(answers, 2), np.array([0.3, 0.7]))
        assert (versus.value, versus.guess, versus.is_better, versus.is_dealt) == (0.72, 0.7, False, False)
        assert compare_with_guessing(
            "balanced_accuracy", labels, make_probabilities(answers, 2), np.array([0.3, 0.7])
        ).is_better
