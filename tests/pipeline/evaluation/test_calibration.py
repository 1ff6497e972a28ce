import math

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import brier_score_loss

from pipeline.evaluation.calibration import (
    BINS,
    apply_temperature,
    compute_calibration,
    fit_temperature,
    make_reliability_table,
)
from pipeline.evaluation.metrics import compute_basic_metrics


def make_logits(num_images: int, num_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and logits whose softmax are the probabilities with which the labels were drawn."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (num_images, num_classes))
    below = softmax(logits, axis=1).cumsum(axis=1)[:, :-1] < rng.random((num_images, 1))
    return below.sum(axis=1), logits


def make_predictions(num_images: int, num_classes: int, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels and float32 probabilities of a model that is overconfident where sharpness is above 1."""
    labels, logits = make_logits(num_images, num_classes)
    return labels, softmax(sharpness * logits, axis=1).astype(np.float32)


def make_certain(labels: list[int], predicted: list[int], num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and float32 probabilities of exactly 0 and 1."""
    return np.array(labels), np.eye(num_classes, dtype=np.float32)[predicted]


# All correct, none correct, always the same class, a class without images, one image, one image per class, uninformative.
EXTREMES = {
    "perfect": make_certain([0, 1, 2, 0], [0, 1, 2, 0], 3),
    "always_wrong": make_certain([0, 1, 2, 0], [1, 2, 0, 1], 3),
    "one_class_only": make_certain([0, 1, 2, 0], [0, 0, 0, 0], 3),
    "one_class_without_images": make_certain([0, 0, 1, 1], [0, 1, 1, 1], 4),
    "one_image_correct": make_certain([1], [1], 2),
    "one_image_wrong": make_certain([1], [0], 2),
    "hundred_classes_one_image_each": make_certain(list(range(100)), list(range(50)) * 2, 100),
    "uninformative": (np.array([0, 1, 1]), np.full((3, 2), 0.5, np.float32)),
}


class TestApplyTemperature:
    def test_an_example_by_hand(self):
        scaled = apply_temperature(np.array([[0.8, 0.2], [0.1, 0.9]]), 2.0)  # the roots: 2 to 1, 1 to 3
        np.testing.assert_allclose(scaled, [[2 / 3, 1 / 3], [1 / 4, 3 / 4]])

    @pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
    def test_it_divides_the_logits(self, temperature):
        _, logits = make_logits(50, 4)
        scaled = apply_temperature(softmax(logits, axis=1), temperature)
        np.testing.assert_allclose(scaled, softmax(logits / temperature, axis=1), atol=1e-6)

    def test_at_one_nothing_changes(self):
        _, probabilities = make_predictions(50, 4, 1.0)
        np.testing.assert_allclose(apply_temperature(probabilities, 1.0), probabilities, atol=1e-6)

    @pytest.mark.parametrize("temperature", [0.05, 0.5, 2.0, 20.0])
    def test_the_order_of_the_classes_is_preserved(self, temperature):
        _, probabilities = make_predictions(50, 4, 1.0)
        scaled = apply_temperature(probabilities, temperature)
        np.testing.assert_array_equal(scaled.argsort(axis=1), probabilities.argsort(axis=1))

    def test_above_one_confidence_falls_and_below_it_rises(self):
        probabilities = np.array([[0.7, 0.3]])
        colder, warmer = apply_temperature(probabilities, 0.5), apply_temperature(probabilities, 2.0)
        assert warmer[0, 0] < 0.7 < colder[0, 0]

    @pytest.mark.parametrize("temperature", [0.05, 1.0, 20.0])
    @pytest.mark.parametrize("case", EXTREMES)
    def test_rows_are_float64_probabilities_even_from_zeros_and_ones(self, case, temperature):
        probabilities = EXTREMES[case][1]
        scaled = apply_temperature(probabilities, temperature)
        assert scaled.dtype == np.float64
        assert scaled.shape == probabilities.shape
        assert (scaled >= 0).all()
        np.testing.assert_allclose(scaled.sum(axis=1), 1)


class TestFitTemperature:
    @pytest.mark.parametrize("sharpness", [0.4, 1.0, 2.5])
    @pytest.mark.parametrize("num_classes", [2, 5, 100])
    def test_it_recovers_the_factor_of_the_logits(self, num_classes, sharpness):
        labels, probabilities = make_predictions(10_000, num_classes, sharpness)
        assert fit_temperature(labels, probabilities) == pytest.approx(sharpness, rel=0.06)

    def test_no_other_temperature_has_a_lower_loss(self):
        labels, probabilities = make_predictions(200, 4, 2.0)
        found = fit_temperature(labels, probabilities)

        def loss(temperature: float) -> float:
            return compute_basic_metrics(labels, apply_temperature(probabilities, temperature))["loss"]

        assert loss(found) <= min(loss(temperature) for temperature in np.geomspace(0.05, 20, 200))

    def test_an_example_by_hand(self):
        # Odds of 9 to 1 for what is true in three of four cases: 9 ** (1 / temperature) = 3.
        probabilities = np.tile([0.9, 0.1], (4, 1))
        assert fit_temperature(np.array([0, 0, 0, 1]), probabilities) == pytest.approx(2.0, abs=1e-3)

    @pytest.mark.parametrize("case", EXTREMES)
    def test_it_never_increases_the_loss_and_is_within_bounds(self, case):
        labels, probabilities = EXTREMES[case]
        temperature = fit_temperature(labels, probabilities)
        assert type(temperature) is float
        assert 0.05 <= temperature <= 20
        calibrated = apply_temperature(probabilities, temperature)
        before, after = (compute_basic_metrics(labels, table)["loss"] for table in (probabilities, calibrated))
        assert after <= before + 1e-6

    def test_where_it_makes_no_difference_it_is_one(self):
        assert fit_temperature(*EXTREMES["uninformative"]) == 1.0

    def test_a_model_that_is_always_wrong_gets_the_highest(self):
        assert fit_temperature(*EXTREMES["always_wrong"]) == pytest.approx(20, abs=1e-2)

    def test_it_has_four_digits(self):
        temperature = fit_temperature(*make_predictions(200, 4, 2.0))
        assert temperature == round(temperature, 4)


class TestCalibrationMetrics:
    def test_an_example_by_hand(self):
        # Two images in the bin of 0.6, one correct: a gap of 0.1. Two in the bin of 0.9, both correct: a gap of 0.1 as well.
        probabilities = np.array([[0.6, 0.4], [0.6, 0.4], [0.9, 0.1], [0.9, 0.1]])
        metrics = compute_calibration(np.array([0, 1, 0, 0]), probabilities)
        assert metrics["ece"] == pytest.approx((2 * 0.1 + 2 * 0.1) / 4, abs=1e-6)
        assert metrics["brier"] == pytest.approx((2 * 0.4**2 + 2 * 0.6**2 + 2 * 2 * 0.1**2) / 4, abs=1e-6)

    def test_low_and_high_confidence_do_not_cancel_out_between_bins(self):
        probabilities = np.array([[0.6, 0.4], [0.9, 0.1]])  # 0.4 too low, 0.9 too high
        assert compute_calibration(np.array([0, 1]), probabilities)["ece"] == pytest.approx((0.4 + 0.9) / 2, abs=1e-6)

    @pytest.mark.parametrize(("num_images", "num_classes"), [(200, 2), (500, 7), (300, 100)])
    def test_the_brier_score_is_that_of_scikit_learn(self, num_images, num_classes):
        labels, probabilities = make_predictions(num_images, num_classes, 1.5)
        exact = probabilities.astype(np.float64)
        exact /= exact.sum(axis=1, keepdims=True)
        expected = brier_score_loss(labels, exact, labels=np.arange(num_classes), scale_by_half=False)
        assert compute_calibration(labels, probabilities)["brier"] == pytest.approx(expected, abs=2e-6)

    @pytest.mark.parametrize(
        ("case", "ece", "brier"),
        [
            ("perfect", 0.0, 0.0),
            ("always_wrong", 1.0, 2.0),
            ("one_class_only", 0.5, 1.0),
            ("one_class_without_images", 0.25, 0.5),
            ("one_image_correct", 0.0, 0.0),
            ("one_image_wrong", 1.0, 2.0),
            ("hundred_classes_one_image_each", 0.5, 1.0),
            (
                "uninformative",
                1 / 6,
                0.5,
            ),  # of equal probabilities the first counts: a third is correct at a confidence of a half
        ],
    )
    def test_extremes(self, case, ece, brier):
        assert compute_calibration(*EXTREMES[case]) == {"ece": round(ece, 6), "brier": brier}

    def test_the_temperature_improves_both(self):
        labels, probabilities = make_predictions(4000, 5, 2.5)
        before = compute_calibration(labels, probabilities)
        after = compute_calibration(labels, apply_temperature(probabilities, fit_temperature(labels, probabilities)))
        assert before["ece"] > 0.1
        assert after["ece"] < 0.03
        assert after["brier"] < before["brier"]

    def test_they_are_floats_of_six_digits(self):
        for value in compute_calibration(*make_predictions(7, 3, 1.0)).values():
            assert type(value) is float
            assert value == round(value, 6)


class TestReliabilityTable:
    def test_an_example_by_hand(self):
        # 8/15 ≤ 0.55 < 9/15 and 14/15 ≤ 0.95, 1.0: two bins have images.
        probabilities = np.array([[0.55, 0.45], [0.55, 0.45], [0.05, 0.95], [0.0, 1.0], [0.05, 0.95], [0.05, 0.95]])
        table = make_reliability_table(np.array([0, 1, 1, 1, 1, 0]), probabilities)
        assert list(table.columns) == ["low", "high", "images", "confidence", "accuracy"]
        assert table.to_numpy().tolist() == [
            [0.533333, 0.6, 2, 0.55, 0.5],
            [0.933333, 1.0, 4, 0.9625, 0.75],
        ]

    def test_each_row_has_the_means_of_its_bin(self):
        labels, probabilities = make_predictions(1000, 3, 1.5)
        confidence, hits = probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == labels
        for row in make_reliability_table(labels, probabilities).to_dict("records"):
            within = (confidence >= row["low"]) & (confidence < row["high"])
            assert row["images"] == within.sum()
            assert row["confidence"] == pytest.approx(confidence[within].mean(), abs=1e-6)
            assert row["accuracy"] == pytest.approx(hits[within].mean(), abs=1e-6)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("number", range(8, BINS))
    def test_a_confidence_just_above_an_edge_belongs_to_the_bin_above(self, number, dtype):
        edge = math.nextafter(number / BINS, 1) if dtype is np.float64 else np.nextafter(np.float32(number / BINS), 1)
        table = make_reliability_table(np.array([0]), np.array([[edge, 1 - edge]], dtype))
        assert table["low"].tolist() == [round(number / BINS, 6)]

    def test_certainty_is_in_the_last_bin_even_if_rounded_above_one(self):
        above = np.array([[np.nextafter(np.float32(1), np.float32(2)), 0], [1, 0]], np.float32)
        table = make_reliability_table(np.array([0, 0]), above)
        assert table[["low", "high", "images"]].to_numpy().tolist() == [[0.933333, 1.0, 2]]

    @pytest.mark.parametrize("case", EXTREMES)
    def test_every_image_counts_once_and_no_row_is_empty(self, case):
        labels, probabilities = EXTREMES[case]
        table = make_reliability_table(labels, probabilities)
        assert table["images"].sum() == len(labels)
        assert (table["images"] > 0).all()
        assert table[["confidence", "accuracy"]].to_numpy().min() >= 0
        assert table[["confidence", "accuracy"]].to_numpy().max() <= 1
