import math

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from pipeline.evaluation.calibration import BINS, compute_calibration, make_reliability_table
from pipeline.evaluation.temperature import apply_temperature, fit_temperature
from tests.pipeline.evaluation.made_predictions import EXTREMES, make_predictions


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
