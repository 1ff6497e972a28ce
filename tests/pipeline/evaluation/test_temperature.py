import numpy as np
import pytest
from scipy.special import softmax

from pipeline.evaluation.metrics import compute_basic_metrics
from pipeline.evaluation.temperature import apply_temperature, fit_temperature
from tests.pipeline.evaluation.made_predictions import EXTREMES, make_logits, make_predictions


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

    def test_of_many_images_it_has_the_lowest_loss(self):
        labels, probabilities = make_predictions(2_000, 4, 2.0)
        found = fit_temperature(labels, probabilities)

        def loss(temperature: float) -> float:
            return compute_basic_metrics(labels, apply_temperature(probabilities, temperature))["loss"]

        assert loss(found) <= min(loss(temperature) for temperature in np.geomspace(0.05, 20, 200)) + 1e-4

    @pytest.mark.parametrize(("repeats", "tolerance"), [(1, 0.8), (25, 0.2), (1000, 0.005)])
    def test_an_example_by_hand(self, repeats, tolerance):
        """Odds of 9 to 1 for what is true in three of four cases: 9 ** (1 / temperature) = 3. Few images say less."""
        probabilities = np.tile([0.9, 0.1], (4 * repeats, 1))
        found = fit_temperature(np.tile([0, 0, 0, 1], repeats), probabilities)
        assert 2 - tolerance <= found <= 2.0

    @pytest.mark.parametrize("num_images", [1, 10, 40])
    @pytest.mark.parametrize("confidence", [0.9, 0.99])
    def test_few_images_that_are_all_right_make_nothing_certain(self, num_images, confidence):
        """A model that is as sure as it should be: no mistake among so few is no reason for more."""
        probabilities = np.tile([confidence, 1 - confidence], (num_images, 1))
        assert 0.4 < fit_temperature(np.zeros(num_images, int), probabilities) <= 1

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
        labels, probabilities = EXTREMES["always_wrong"]
        assert fit_temperature(np.tile(labels, 200), np.tile(probabilities, (200, 1))) == pytest.approx(20, abs=1e-2)

    def test_it_has_four_digits(self):
        temperature = fit_temperature(*make_predictions(200, 4, 2.0))
        assert temperature == round(temperature, 4)
