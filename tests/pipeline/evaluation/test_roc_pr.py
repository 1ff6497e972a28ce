from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import auc, average_precision_score, roc_auc_score, roc_curve

from pipeline.evaluation.roc_pr import MEAN, make_pr_table, make_roc_table

TABLES = {
    make_roc_table: ["label", "false_positive_rate", "true_positive_rate"],
    make_pr_table: ["label", "recall", "precision"],
}
both = pytest.mark.parametrize("make_table", TABLES)


def make_predictions(num_images: int, num_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and float32 probabilities that lean towards them."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num_images) % num_classes
    scores = rng.exponential(1, (num_images, num_classes))
    scores[np.arange(num_images), labels] += 1
    return labels, (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


def make_two(scores: list[float], labels: list[int]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Arguments for two classes, cat and dog; the scores are for dog."""
    probability = np.array(scores)
    return np.array(labels), np.stack([1 - probability, probability], axis=1), ["cat", "dog"]


def get_curve(table: pd.DataFrame, label: str) -> list[list[Any]]:
    return table[table["label"] == label].drop(columns="label").to_numpy().tolist()


def get_best_precisions(is_class: np.ndarray, score: np.ndarray) -> dict[float, float]:
    """Recall to the highest precision at that recall or more, counted at every threshold."""
    points = [(is_class[score >= t].sum() / is_class.sum(), is_class[score >= t].mean()) for t in np.unique(score)]
    return {recall: max(p for r, p in points if r >= recall) for recall, _ in points}


def count_rates(is_class: np.ndarray, is_predicted: np.ndarray) -> tuple[float, float]:
    """False and true positive rate, five digits."""
    return round(float(is_predicted[~is_class].mean()), 5), round(float(is_predicted[is_class].mean()), 5)


def measure_gap(curve: np.ndarray, point: tuple[float, float]) -> float:
    """Distance of a point from a polyline."""
    starts, steps = curve[:-1], np.diff(curve, axis=0)
    along = ((np.array(point) - starts) * steps).sum(axis=1) / (steps**2).sum(axis=1)
    nearest = starts + along.clip(0, 1)[:, None] * steps
    return float(np.linalg.norm(nearest - point, axis=1).min())


class TestRoc:
    def test_an_example_by_hand(self):
        # From the highest score down: dog, cat, dog, cat.
        table = make_roc_table(*make_two([0.9, 0.7, 0.6, 0.2], [1, 0, 1, 0]))
        assert get_curve(table, "dog") == [[0, 0], [0, 0.5], [0.5, 0.5], [0.5, 1], [1, 1]]

    @pytest.mark.parametrize(("num_images", "num_classes"), [(40, 2), (50, 3)])
    def test_every_threshold_of_a_short_curve_is_on_it(self, num_images, num_classes):
        labels, probabilities = make_predictions(num_images, num_classes)
        table = make_roc_table(labels, probabilities, list("abc")[:num_classes])
        for number, name in enumerate("abc"[:num_classes]):
            curve, score = np.array(get_curve(table, name)), probabilities[:, number]
            points = [count_rates(labels == number, score >= threshold) for threshold in np.unique(score)]
            assert curve[[0, -1]].tolist() == [[0, 0], [1, 1]]
            assert {tuple(point) for point in curve[1:]} <= set(points)
            assert max(measure_gap(curve, point) for point in points) < 2e-5

    def test_a_long_curve_is_reduced_to_sixty_points_with_the_same_ends_and_area(self):
        labels, probabilities = make_predictions(6000, 3)
        table = make_roc_table(labels, probabilities, list("abc"))
        for number, name in enumerate("abc"):
            curve = np.array(get_curve(table, name))
            whole = np.stack(roc_curve(labels == number, probabilities[:, number])[:2], axis=1).round(5)
            assert len(curve) <= 60 < len(whole)
            assert {tuple(point) for point in curve} <= {tuple(point) for point in whole}
            assert curve[[0, -1]].tolist() == [[0, 0], [1, 1]]
            assert auc(*curve.T) == pytest.approx(roc_auc_score(labels == number, probabilities[:, number]), abs=2e-3)

    def test_the_area_under_the_mean_is_the_mean_of_the_areas(self):
        labels, probabilities = make_predictions(2000, 5)
        mean = np.array(get_curve(make_roc_table(labels, probabilities, list("abcde")), MEAN))
        expected = np.mean([roc_auc_score(labels == n, probabilities[:, n]) for n in range(5)])
        assert auc(*mean.T) == pytest.approx(expected, abs=2e-3)

    def test_perfect_predictions_rise_at_once(self):
        table = make_roc_table(*make_two([1.0, 1.0, 0.0], [1, 1, 0]))
        assert get_curve(table, "dog") == [[0, 0], [0, 1], [1, 1]]
        assert {height for _, height in get_curve(table, MEAN)} == {1.0}

    def test_uninformative_scores_give_the_diagonal(self):
        table = make_roc_table(*make_two([0.5, 0.5, 0.5], [1, 1, 0]))
        assert get_curve(table, "dog") == [[0, 0], [1, 1]]
        mean = np.array(get_curve(table, MEAN))
        np.testing.assert_allclose(mean[:, 0], mean[:, 1])


class TestPrecisionAndRecall:
    def test_an_example_by_hand(self):
        # From the highest score down: dog, cat, dog, cat. One of one, then two of three.
        table = make_pr_table(*make_two([0.9, 0.7, 0.6, 0.2], [1, 0, 1, 0]))
        assert get_curve(table, "dog") == [[0, 1], [0.5, 1], [1, 0.66667]]

    def test_no_point_has_a_precision_that_no_threshold_reaches(self):
        # From the highest score down: cat, dog, dog. Two of three at best.
        table = make_pr_table(*make_two([0.9, 0.7, 0.6], [0, 1, 1]))
        assert max(precision for _, precision in get_curve(table, "dog")) == 0.66667

    @pytest.mark.parametrize(("num_images", "num_classes"), [(20, 2), (50, 3)])
    def test_precision_is_the_highest_at_that_recall_or_more(self, num_images, num_classes):
        labels, probabilities = make_predictions(num_images, num_classes)
        table = make_pr_table(labels, probabilities, list("abc")[:num_classes])
        for number, name in enumerate("abc"[:num_classes]):
            best = get_best_precisions(labels == number, probabilities[:, number])
            expected = [[recall, best[recall]] for recall in sorted(best)]
            if expected[0][0] > 0:
                expected.insert(0, [0, expected[0][1]])
            np.testing.assert_allclose(get_curve(table, name), expected, atol=1e-5)

    def test_it_falls_monotonically_from_recall_0_to_1_in_at_most_sixty_points(self):
        labels, probabilities = make_predictions(6000, 3)
        table = make_pr_table(labels, probabilities, list("abc"))
        for label in ("a", "b", "c", MEAN):
            curve = np.array(get_curve(table, label))
            assert len(curve) <= 60
            assert (curve[0, 0], curve[-1, 0]) == (0, 1)
            assert (np.diff(curve[:, 0]) > 0).all()
            assert (np.diff(curve[:, 1]) <= 0).all()

    def test_perfect_predictions_have_a_precision_of_one_everywhere(self):
        table = make_pr_table(np.arange(3), np.eye(3), list("abc"))
        assert set(table["precision"]) == {1.0}

    def test_uninformative_scores_have_the_frequency_of_the_class_as_precision(self):
        table = make_pr_table(*make_two([0.5, 0.5, 0.5, 0.5], [1, 0, 0, 0]))
        assert get_curve(table, "dog") == [[0, 0.25], [1, 0.25]]

    def test_the_area_below_the_mean_is_about_the_mean_average_precision(self):
        """A step holds up to its recall; a straight line between points would promise 0.861 instead of 0.704 here."""
        labels = np.array([1] + [0] * 18 + [1])
        dog = np.linspace(0.95, 0.05, 20)
        table = make_pr_table(labels, np.stack([1 - dog, dog], axis=1), ["cat", "dog"])
        mean = table[table["label"] == MEAN]
        expected = (average_precision_score(labels, dog) + average_precision_score(1 - labels, 1 - dog)) / 2
        area = (np.diff(mean["recall"]) * mean["precision"].to_numpy()[1:]).sum()
        assert area == pytest.approx(expected, abs=0.05)


def find_height(at: np.ndarray, curve: pd.DataFrame, x: str, y: str) -> np.ndarray:
    """Of ROC curves by straight lines; precision is that of the next recall."""
    if y == "precision":
        return curve[y].to_numpy()[np.searchsorted(curve[x], at - 1e-6)]
    return np.interp(at, curve[x], curve[y])


class TestBoth:
    @both
    def test_the_mean_is_over_the_classes_at_the_same_positions(self, make_table):
        labels, probabilities = make_predictions(40, 3)
        table = make_table(labels, probabilities, list("abc"))
        x, y = TABLES[make_table][1:]
        mean = table[table["label"] == MEAN]
        curves = [table[table["label"] == name] for name in "abc"]
        heights = np.mean([find_height(mean[x].to_numpy(), curve, x, y) for curve in curves], axis=0)
        np.testing.assert_allclose(mean[x], np.linspace(0, 1, len(mean)), atol=1e-5)
        # Next to a step, a position rounded to five digits could be on its other side.
        close = np.min([np.abs(mean[x].to_numpy()[:, None] - curve[x].to_numpy()).min(axis=1) for curve in curves], 0)
        inner = close > 1e-4
        assert inner.sum() > 30
        np.testing.assert_allclose(mean[y][inner], heights[inner], atol=1e-4)

    @both
    @pytest.mark.parametrize("labels", [[0, 0, 1, 1], [1, 0, 1, 0]])
    def test_a_class_without_images_has_no_curve(self, make_table, labels):
        _, probabilities = make_predictions(4, 3)
        table = make_table(np.array(labels), probabilities, ["cat", "dog", "emu"])
        assert list(dict.fromkeys(table["label"])) == ["cat", "dog", MEAN]

    @both
    @pytest.mark.parametrize(
        ("labels", "probabilities"),
        [([1], [[0.2, 0.8]]), ([1], [[1.0, 0.0]]), ([1, 1], [[0.2, 0.8], [0.6, 0.4]])],
        ids=["one image", "one image, wrong", "one class"],
    )
    def test_images_of_a_single_class_give_no_curve(self, make_table, labels, probabilities):
        table = make_table(np.array(labels), np.array(probabilities, np.float32), ["cat", "dog"])
        assert table.empty
        assert list(table.columns) == TABLES[make_table]

    @both
    @pytest.mark.parametrize(("num_images", "num_classes"), [(2, 2), (100, 100), (300, 100)])
    def test_one_image_per_class_is_enough(self, make_table, num_images, num_classes):
        names = [f"class {number}" for number in range(num_classes)]
        table = make_table(*make_predictions(num_images, num_classes), names)
        assert list(table.columns) == TABLES[make_table]
        assert list(dict.fromkeys(table["label"])) == [*names, MEAN]
        values = table[TABLES[make_table][1:]].to_numpy(float)
        assert values.min() >= 0
        assert values.max() <= 1

    @both
    def test_a_model_that_always_predicts_the_same_class_has_curves_for_all(self, make_table):
        table = make_table(np.array([0, 1, 2]), np.eye(3, dtype=np.float32)[[0, 0, 0]], list("abc"))
        assert list(dict.fromkeys(table["label"])) == ["a", "b", "c", MEAN]
        assert table.notna().all(axis=None)

    @both
    @pytest.mark.parametrize("names", [["NA", "007"], ["mean", "nan"]])
    def test_classes_may_have_any_name(self, make_table, names):
        table = make_table(*make_two([0.9, 0.2], [1, 0])[:2], names)
        assert list(dict.fromkeys(table["label"])) == [*names, MEAN]
