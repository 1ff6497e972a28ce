import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss, roc_auc_score

from pipeline.evaluation.measures import (
    compute_p,
    count_images_needed,
    make_cost_matrix,
    measure_images,
    pick_measure,
)
from pipeline.runtime.errors import PipelineError
from tests.results import make_probabilities

NAMES = ["cat", "dog", "owl"]


def draw(images: int, *, know: float = 0.4, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels of unequal classes, and probabilities that know something of them."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, images, p=np.arange(1, classes + 1) / np.arange(1, classes + 1).sum())
    probabilities = rng.dirichlet(np.ones(classes), images)
    probabilities[np.arange(images), labels] += know
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


class TestPicking:
    def test_balanced_accuracy_where_the_largest_class_has_more_than_three_times_the_images_of_the_smallest(self):
        assert pick_measure(None, {"cat": 30, "dog": 10}) == "accuracy"
        assert pick_measure(None, {"cat": 31, "dog": 10}) == "balanced_accuracy"

    def test_what_the_user_names_holds_in_any_case(self):
        assert pick_measure("accuracy", {"cat": 300, "dog": 5}) == "accuracy"
        assert pick_measure("roc_auc", {"cat": 10, "dog": 10}) == "roc_auc"


class TestMeasures:
    LABELS, PROBABILITIES = draw(240)

    @pytest.mark.parametrize(
        ("measure", "expected"),
        [
            ("accuracy", lambda y, p: (p.argmax(axis=1) == y).mean()),
            ("balanced_accuracy", lambda y, p: balanced_accuracy_score(y, p.argmax(axis=1))),
            ("macro_f1", lambda y, p: f1_score(y, p.argmax(axis=1), average="macro")),
            ("log_loss", lambda y, p: -log_loss(y, p)),
            ("roc_auc", lambda y, p: roc_auc_score(y, p, multi_class="ovr")),
        ],
    )
    def test_the_mean_over_images_is_the_measure(self, measure, expected):
        parts = measure_images(measure, self.LABELS, self.PROBABILITIES)
        assert parts.shape == self.LABELS.shape
        assert parts.mean() == pytest.approx(expected(self.LABELS, self.PROBABILITIES), abs=1e-12)

    @pytest.mark.parametrize("measure", ["macro_f1", "roc_auc", "balanced_accuracy"])
    def test_contributions_spread_as_the_measure_does_over_samples_of_the_images(self, measure):
        rng, spread = np.random.default_rng(1), measure_images(measure, self.LABELS, self.PROBABILITIES).std()
        rows = rng.integers(0, 240, (300, 240))
        drawn = [measure_images(measure, self.LABELS[row], self.PROBABILITIES[row]).mean() for row in rows]
        assert spread / np.sqrt(240) == pytest.approx(np.std(drawn), rel=0.2)

    def test_ties_count_half_in_the_roc_auc(self):
        parts = measure_images("roc_auc", self.LABELS, np.full((240, 3), 1 / 3))
        assert parts.mean() == pytest.approx(0.5)

    def test_a_class_without_images_takes_no_part(self):
        labels = np.array([0, 0, 1, 1])
        table = make_probabilities([0, 2, 1, 1], 3)
        assert measure_images("balanced_accuracy", labels, table).mean() == 0.75
        assert measure_images("roc_auc", labels, table).mean() == pytest.approx(
            np.mean([roc_auc_score(labels == number, table[:, number]) for number in (0, 1)])
        )

    def test_one_class_alone_has_an_roc_auc_of_one_half(self):
        assert measure_images("roc_auc", np.zeros(4, int), make_probabilities([0, 1, 0, 0], 2)).tolist() == [0.5] * 4


class TestCosts:
    def test_an_error_costs_one_unless_it_is_said(self):
        matrix = make_cost_matrix({"cat": 5, "dog": {"owl": 2.5}}, NAMES)
        assert matrix.tolist() == [[0, 5, 5], [1, 0, 2.5], [1, 1, 0]]

    @pytest.mark.parametrize("costs", [{"cow": 5}, {"cat": {"cow": 5}}])
    def test_a_name_that_is_no_class_is_refused(self, costs):
        with pytest.raises(PipelineError, match=r"evaluate\.costs: no class 'cow': expected one of cat, dog, owl"):
            make_cost_matrix(costs, NAMES)

    def test_the_mean_cost_counts_negative(self):
        matrix = make_cost_matrix({"cat": 5}, NAMES)
        parts = measure_images("cost", np.array([0, 1, 2]), make_probabilities([1, 1, 0], 3), matrix)
        assert parts.tolist() == [-5, 0, -1]


class TestDifferences:
    def test_of_six_images_that_differ_all_must_speak_for_one(self):
        assert compute_p(np.ones(6), np.zeros(6)) == pytest.approx(2 / 2**6, abs=0.006)
        assert compute_p(np.ones(5), np.zeros(5)) > 0.05

    def test_images_that_do_not_differ_do_not_matter(self):
        more = np.concatenate([np.ones(8), np.full(500, 0.25)])
        less = np.concatenate([np.zeros(8), np.full(500, 0.25)])
        assert compute_p(more, less) == compute_p(more[:8], less[:8])

    def test_no_difference_has_a_p_of_one(self):
        assert compute_p(np.ones(5), np.ones(5)) == 1
        assert compute_p(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1

    def test_many_images_and_few_agree(self):
        rng = np.random.default_rng(3)
        first, second = rng.normal(0.06, 1, 1001), np.zeros(1001)
        assert compute_p(first, second) == pytest.approx(compute_p(first[:1000], second[:1000]), abs=0.03)

    def test_under_no_difference_one_in_twenty_is_below_one_in_twenty(self):
        rng = np.random.default_rng(4)
        found = [compute_p(rng.random(40), rng.random(40)) < 0.05 for _ in range(200)]
        assert 2 <= sum(found) <= 20

    def test_so_many_images_show_a_difference_in_four_of_five_samples(self):
        """The promise of `count_images_needed`, by simulation."""
        rng = np.random.default_rng(5)
        needed = count_images_needed(*(np.r_[np.ones(30), np.zeros(70)], np.r_[np.zeros(80), np.ones(20)]))
        differences = np.r_[np.ones(30), np.zeros(50), -np.ones(20)]
        found = [compute_p(rng.choice(differences, needed), np.zeros(needed)) < 0.05 for _ in range(80)]
        assert 0.7 <= np.mean(found) <= 0.9

    def test_no_number_of_images_shows_a_difference_that_is_none(self):
        assert count_images_needed(np.ones(4), np.ones(4)) is None
