import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score

from pipeline.evaluation.intervals import (
    compare_pairs,
    compute_accuracy_interval,
    compute_class_intervals,
    correct_holm,
)


def compute_wilson(hits: int, images: int) -> tuple[float, float]:
    """The formula from 1927."""
    z, share = norm.ppf(0.975), hits / images
    centre = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    half = z / (1 + z**2 / images) * math.sqrt(share * (1 - share) / images + z**2 / (4 * images**2))
    return centre - half, centre + half


def make_predicted(num_images: int, num_classes: int, accuracy: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predicted classes: about `accuracy` of them correct, the others at random."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num_images) % num_classes
    guesses = rng.integers(0, num_classes, num_images)
    return labels, np.where(rng.random(num_images) < accuracy, labels, guesses)


def compare_families(hits: dict[str, np.ndarray], reference: str) -> pd.DataFrame:
    """Every other family with one."""
    return compare_pairs(hits, [(family, reference) for family in hits if family != reference])


def make_hits(only_family: int, only_reference: int, both: int, neither: int) -> dict[str, np.ndarray]:
    """Which images "other" and "best" classify correctly."""
    counts = (only_family, only_reference, both, neither)
    patterns = {"other": (True, False, True, False), "best": (False, True, True, False)}
    return {family: np.repeat(pattern, counts) for family, pattern in patterns.items()}


class TestAccuracyInterval:
    @pytest.mark.parametrize(
        ("hits", "images"), [(0, 1), (1, 1), (0, 20), (20, 20), (10, 20), (7, 9), (950, 1000), (1, 100_000)]
    )
    def test_it_is_wilsons(self, hits, images):
        expected = np.clip(compute_wilson(hits, images), 0, 1)
        assert compute_accuracy_interval(hits, images) == pytest.approx(expected, abs=2e-6)

    def test_an_example_by_hand(self):
        # Ten of ten: 10 / (10 + 1.96²) to 1.
        assert compute_accuracy_interval(10, 10) == pytest.approx((10 / (10 + 1.959964**2), 1.0), abs=1e-6)

    def test_more_images_make_it_narrower(self):
        widths = [high - low for low, high in (compute_accuracy_interval(n // 2, n) for n in (10, 100, 1000))]
        assert widths == sorted(widths, reverse=True)

    @pytest.mark.parametrize(("hits", "images"), [(0, 1), (1, 1), (5, 10)])
    def test_its_ends_are_floats_on_both_sides_of_the_accuracy(self, hits, images):
        low, high = compute_accuracy_interval(hits, images)
        assert type(low) is type(high) is float
        assert 0 <= low <= hits / images <= high <= 1


class TestClassIntervals:
    @pytest.mark.parametrize(("num_images", "num_classes", "accuracy"), [(600, 2, 0.7), (1500, 5, 0.8)])
    def test_of_many_images_they_are_those_of_resampled_images(self, num_images, num_classes, accuracy):
        labels, predicted = make_predicted(num_images, num_classes, accuracy)
        classes, rng = np.arange(num_classes), np.random.default_rng(1)
        scores = []
        for _ in range(300):
            drawn = rng.integers(0, num_images, num_images)
            pair = labels[drawn], predicted[drawn]
            scores.append((f1_score(*pair, labels=classes, average="macro"), balanced_accuracy_score(*pair)))
        expected = np.quantile(scores, [0.025, 0.975], axis=0).T
        intervals = compute_class_intervals(confusion_matrix(labels, predicted, labels=classes))
        assert list(intervals) == ["macro_f1", "balanced_accuracy"]
        np.testing.assert_allclose(list(intervals.values()), expected, atol=0.012)

    @pytest.mark.parametrize("images", [[2, 2, 2], [10, 10], [20] * 5, [60, 3], [4] * 10])
    @pytest.mark.parametrize("accuracy", [0.95, 0.7])
    def test_nine_in_ten_or_more_hold_the_true_value(self, images, accuracy):
        """A model of this recall in every class; 400 test sets."""
        rng, classes = np.random.default_rng(0), len(images)
        chances = np.full((classes, classes), (1 - accuracy) / (classes - 1)) + np.eye(classes) * (
            accuracy - (1 - accuracy) / (classes - 1)
        )
        shares = np.array(images) / sum(images)
        f1 = np.mean(2 * shares * accuracy / (shares + shares @ chances))
        holds = []
        for _ in range(400):
            matrix = np.stack([rng.multinomial(n, row) for n, row in zip(images, chances, strict=True)])
            found = compute_class_intervals(matrix)
            pairs = ((found["balanced_accuracy"], accuracy), (found["macro_f1"], f1))
            holds.append([low - 1e-6 <= true <= high + 1e-6 for (low, high), true in pairs])
        assert (np.mean(holds, axis=0) >= 0.9).all()

    @pytest.mark.parametrize(("classes", "images"), [(2, 1), (3, 2), (5, 20)])
    @pytest.mark.parametrize("wrong", [0, 1])
    def test_of_equal_classes_balanced_accuracy_has_the_interval_of_accuracy(self, classes, images, wrong):
        matrix = images * np.eye(classes, dtype=int)
        matrix[0, :2] += np.array([-wrong, wrong])
        expected = compute_accuracy_interval(int(np.trace(matrix)), int(matrix.sum()))
        low, high = compute_class_intervals(matrix)["balanced_accuracy"]
        assert low == pytest.approx(expected[0], abs=0.02)
        assert high == pytest.approx(expected[1], abs=0.02)

    def test_a_class_of_few_images_makes_them_wide(self):
        wide, narrow = (compute_class_intervals(np.diag(counts)) for counts in ([60, 3], [32, 31]))
        assert wide["balanced_accuracy"][0] < narrow["balanced_accuracy"][0] - 0.1

    @pytest.mark.parametrize(
        ("num_images", "num_classes", "accuracy"),
        [(1, 2, 1.0), (2, 2, 0.0), (15, 5, 0.8), (60, 20, 0.8), (100, 100, 0.5), (1000, 100, 0.7), (500, 3, 0.9)],
    )
    def test_the_metric_itself_is_within(self, num_images, num_classes, accuracy):
        labels, predicted = make_predicted(num_images, num_classes, accuracy)
        matrix = confusion_matrix(labels, predicted, labels=np.arange(num_classes))
        recall = np.diag(matrix)[matrix.sum(axis=1) > 0] / matrix.sum(axis=1)[matrix.sum(axis=1) > 0]
        f1 = f1_score(labels, predicted, labels=np.arange(num_classes), average="macro", zero_division=0)
        for name, value in {"macro_f1": f1, "balanced_accuracy": recall.mean()}.items():
            low, high = compute_class_intervals(matrix)[name]
            assert 0 <= low <= round(value, 6) <= high <= 1

    def test_a_class_without_test_images_counts_in_macro_f1_alone(self):
        intervals = compute_class_intervals(np.diag([10, 10, 10, 0]))
        assert intervals["macro_f1"][0] < 0.75 < intervals["macro_f1"][1]
        assert intervals["balanced_accuracy"] == compute_accuracy_interval(30, 30)

    def test_a_model_that_always_predicts_the_same_class(self):
        intervals = compute_class_intervals(np.array([[50, 0], [50, 0]]))
        for name, value in (("macro_f1", (2 / 3 + 0) / 2), ("balanced_accuracy", 0.5)):
            assert value - 0.11 < intervals[name][0] < value < intervals[name][1] < value + 0.11

    def test_nothing_correct(self):
        intervals = compute_class_intervals(np.array([[0, 5], [5, 0]]))
        assert intervals["macro_f1"] == intervals["balanced_accuracy"] == compute_accuracy_interval(0, 10)


class TestComparison:
    def test_an_example_by_hand(self):
        # McNemar's exact test uses the seven images that only one classifies correctly: at most one head in seven tosses.
        table = compare_families(make_hits(only_family=1, only_reference=6, both=20, neither=3), "best")
        p = 2 * (math.comb(7, 0) + math.comb(7, 1)) / 2**7
        assert table.to_dict("records") == [
            {
                "family": "other",
                "only_family": 1,
                "only_reference": 6,
                "difference": round(-5 / 30, 6),
                "p": p,
                "p_corrected": p,
                "distinguishable": False,
                "images_needed": 66,
                "reference": "best",
            }
        ]

    def test_which_is_better_is_the_sign_of_the_difference(self):
        hits = make_hits(only_family=10, only_reference=0, both=5, neither=5)
        better, worse = compare_families(hits, "best").iloc[0], compare_families(hits, "other").iloc[0]
        assert better["difference"] == -worse["difference"] == 0.5
        assert better["p"] == worse["p"] == round(2 / 2**10, 8)
        assert better["distinguishable"]

    def test_images_that_both_or_neither_classify_correctly_make_no_difference(self):
        few = compare_families(make_hits(1, 6, 0, 0), "best").iloc[0]
        many = compare_families(make_hits(1, 6, 1000, 1000), "best").iloc[0]
        assert few["p"] == many["p"]

    def test_more_families_need_more_evidence_each(self):
        pair = make_hits(only_family=0, only_reference=6, both=4, neither=0)  # p = 2 / 64
        alone = compare_families(pair, "best").iloc[0]
        among = compare_families(pair | {"third": pair["other"], "same": pair["best"]}, "best")
        assert alone["distinguishable"]
        assert among["family"].tolist() == ["other", "third", "same"]
        assert among["p"].tolist() == [0.03125, 0.03125, 1.0]
        assert among["p_corrected"].tolist() == [0.09375, 0.09375, 1.0]
        assert not among["distinguishable"].any()

    def test_families_with_the_same_predictions_are_indistinguishable(self):
        right = np.array([True, False, True])
        table = compare_families({"one": right, "two": right, "three": right}, "two")
        assert table["family"].tolist() == ["one", "three"]
        assert (table[["only_family", "only_reference", "difference"]] == 0).all(axis=None)
        assert (table[["p", "p_corrected"]] == 1).all(axis=None)
        assert not table["distinguishable"].any()

    def test_one_image_is_no_evidence(self):
        table = compare_families({"right": np.array([True]), "wrong": np.array([False])}, "right")
        assert table[["only_reference", "difference", "p"]].to_numpy().tolist() == [[1, -1, 1]]

    def test_a_single_family_gives_an_empty_table(self):
        table = compare_families({"alone": np.array([True, False])}, "alone")
        assert len(table) == 0
        assert list(table.columns) == [
            "family",
            "only_family",
            "only_reference",
            "difference",
            "p",
            "p_corrected",
            "distinguishable",
            "images_needed",
            "reference",
        ]


class TestHolm:
    def test_an_example_by_hand(self):
        # Sorted: 0.005 · 4, 0.01 · 3, 0.03 · 2, and 0.04 · 1, which must not be below the one before.
        corrected = correct_holm(np.array([0.01, 0.04, 0.03, 0.005]))
        np.testing.assert_allclose(corrected, [0.03, 0.06, 0.06, 0.02])

    def test_nothing_is_above_one(self):
        assert correct_holm(np.array([0.6, 0.5, 1.0])).tolist() == [1.0, 1.0, 1.0]

    def test_equal_ones_stay_equal(self):
        np.testing.assert_allclose(correct_holm(np.full(5, 0.01)), np.full(5, 0.05))

    @pytest.mark.parametrize("p", [[], [0.03]])
    def test_one_comparison_or_none_needs_no_correction(self, p):
        assert correct_holm(np.array(p)).tolist() == p

    def test_the_input_is_not_changed(self):
        p = np.array([0.02, 0.01])
        correct_holm(p)
        assert p.tolist() == [0.02, 0.01]
