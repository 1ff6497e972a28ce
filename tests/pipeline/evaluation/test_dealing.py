import numpy as np
import pytest

from pipeline.evaluation.dealing import deal_answers
from pipeline.evaluation.measures import make_cost_matrix, measure_images
from tests.results import make_probabilities

MEASURES = ["accuracy", "balanced_accuracy", "macro_f1", "cost"]
COSTS = make_cost_matrix({"a": 5, "b": {"c": 2}}, ["a", "b", "c"])


def make_answers(images: int, share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels of three unequal classes, and answers of which about `share` are right."""
    rng = np.random.default_rng(seed)
    labels, others = rng.choice(3, images, p=[0.2, 0.3, 0.5]), rng.choice(3, images, p=[0.5, 0.3, 0.2])
    return labels, np.where(rng.random(images) < share, labels, others)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("images", [30, 1000, 1001, 3000])
class TestDealtAnswers:
    def test_mean_and_spread_are_those_of_shuffled_answers(self, measure, images):
        labels, answers = make_answers(images, 0.2)
        rng = np.random.default_rng(1)
        deals = [make_probabilities(rng.permutation(answers), 3) for _ in range(400)]
        values = [measure_images(measure, labels, dealt, COSTS).mean() for dealt in deals]
        found = deal_answers(measure, labels, make_probabilities(answers, 3), COSTS)
        assert found.mean == pytest.approx(np.mean(values), abs=4 * found.spread / 20)
        assert found.spread == pytest.approx(np.std(values), rel=0.15)

    def test_p_of_answers_that_know_something_is_low_and_of_others_is_not(self, measure, images):
        for share, is_low in ((0.7, True), (0.0, False)):
            labels, answers = make_answers(images, share)
            probabilities = make_probabilities(answers, 3)
            value = measure_images(measure, labels, probabilities, COSTS).mean()
            assert (deal_answers(measure, labels, probabilities, COSTS).compute_p(value) < 0.01) == is_low


def test_an_example_by_hand():
    """Two of each class: of the 6 ways to deal two answers of each, one hits all four images, four hit two, one hits none."""
    labels = np.array([0, 0, 1, 1])
    found = deal_answers("accuracy", labels, make_probabilities(labels, 2))
    shares = [np.mean(np.isclose(found.draws, value)) for value in (0, 0.5, 1)]
    assert shares == pytest.approx([1 / 6, 4 / 6, 1 / 6], abs=0.02)
    assert found.mean == pytest.approx(0.5)
    assert found.compute_p(1.0) == pytest.approx(2 / 6, abs=0.03)
    assert found.compute_p(0.5) == 1


@pytest.mark.ci
def test_the_level_of_the_test_holds():
    """Of answers that have nothing to do with the labels, p is below 0.05 in at most about 5 % of cases."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        labels, answers = rng.choice(4, 80, p=[0.4, 0.3, 0.2, 0.1]), rng.choice(4, 80)
        dealt = deal_answers("balanced_accuracy", labels, make_probabilities(answers, 4))
        value = measure_images("balanced_accuracy", labels, make_probabilities(answers, 4)).mean()
        found.append(dealt.compute_p(value) < 0.05)
    assert np.mean(found) < 0.08


@pytest.mark.parametrize("images", [10, 2000])
def test_one_answer_for_all_can_be_dealt_in_one_way(images):
    labels = np.arange(images) % 2
    found = deal_answers("accuracy", labels, make_probabilities(np.zeros(images, int), 2))
    assert (found.mean, found.spread, found.compute_p(0.5)) == (0.5, 0, 1)


def test_many_classes_are_drawn_in_parts(monkeypatch):
    labels, answers = make_answers(60, 0.3)
    monkeypatch.setattr("pipeline.evaluation.dealing._CELLS", 9 * 1000)
    found = deal_answers("accuracy", labels, make_probabilities(answers, 3))
    assert len(found.draws) == 9_999
    assert found.draws.mean() == pytest.approx(found.mean, abs=found.spread / 25)


@pytest.mark.parametrize("measure", ["log_loss", "roc_auc"])
def test_probabilities_are_no_answers(measure):
    labels, answers = make_answers(30, 0.3)
    assert deal_answers(measure, labels, make_probabilities(answers, 3)) is None


def test_one_image_says_nothing():
    assert deal_answers("accuracy", np.array([0]), make_probabilities(np.array([0]), 2)) is None


@pytest.mark.ci
def test_images_needed_find_the_difference_in_four_of_five_test_sets():
    labels, answers = make_answers(300, 0.15, seed=1)
    probabilities = make_probabilities(answers, 3)
    found = deal_answers("accuracy", labels, probabilities)
    needed = found.count_images_needed(measure_images("accuracy", labels, probabilities))
    rng, is_found = np.random.default_rng(0), []
    for _ in range(200):
        drawn = rng.integers(0, 300, needed)
        value = measure_images("accuracy", labels[drawn], probabilities[drawn]).mean()
        is_found.append(deal_answers("accuracy", labels[drawn], probabilities[drawn]).compute_p(value) < 0.05)
    assert 0.7 < np.mean(is_found) < 0.9
