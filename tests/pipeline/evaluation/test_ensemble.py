import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import softmax

from pipeline.evaluation.ensemble import fit_weights, mix
from pipeline.evaluation.metrics import compute_basic_metrics


def make_families(num_images: int, num_classes: int, families: list[str], seed: int = 0) -> dict[str, np.ndarray]:
    """Probabilities of families that are independent of each other."""
    rng = np.random.default_rng(seed)
    return {name: softmax(rng.normal(0, 2, (num_images, num_classes)), axis=1) for name in families}


def draw_labels(probabilities: np.ndarray, seed: int = 0) -> np.ndarray:
    """A class for each row, drawn with its probabilities."""
    below = probabilities.cumsum(axis=1)[:, :-1] < np.random.default_rng(seed).random((len(probabilities), 1))
    return below.sum(axis=1)


def compute_loss(labels: np.ndarray, probabilities: dict[str, np.ndarray], weights: dict[str, float]) -> float:
    return compute_basic_metrics(labels, mix(probabilities, weights))["loss"]


class TestWeights:
    @pytest.mark.parametrize("num_classes", [2, 5, 100])
    def test_they_recover_those_of_a_mixture_from_which_labels_are_drawn(self, num_classes):
        probabilities = make_families(10_000, num_classes, ["one", "two", "three"])
        truth = {"one": 0.6, "two": 0.3, "three": 0.1}
        weights = fit_weights(draw_labels(mix(probabilities, truth)), probabilities)
        assert weights == pytest.approx(truth, abs=0.03)

    def test_no_others_have_a_lower_loss(self):
        probabilities = make_families(200, 4, ["one", "two", "three"])
        labels = draw_labels(mix(probabilities, {"one": 0.5, "two": 0.4, "three": 0.1}))

        def loss(weights: np.ndarray) -> float:
            return compute_loss(labels, probabilities, dict(zip(probabilities, weights, strict=True)))

        best = minimize(
            loss,
            np.full(3, 1 / 3),
            method="SLSQP",
            bounds=[(0, 1)] * 3,
            constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
            options={"eps": 1e-3},
        )
        assert compute_loss(labels, probabilities, fit_weights(labels, probabilities)) <= best.fun + 1e-5

    def test_similar_families_get_good_weights_too(self):
        base = make_families(300, 4, ["one"])["one"]
        noise = make_families(300, 4, ["two", "three"], seed=1)
        probabilities = {"one": base} | {name: 0.98 * base + 0.02 * table for name, table in noise.items()}
        labels = draw_labels(base)
        found = compute_loss(labels, probabilities, fit_weights(labels, probabilities))
        for corner in np.eye(3):
            assert found <= compute_loss(labels, probabilities, dict(zip(probabilities, corner, strict=True))) + 1e-4

    def test_an_example_by_hand(self):
        # Both are always certain: the first is correct on three images, the second on the fourth only.
        certain = np.array([[1.0, 0.0]] * 3 + [[0.0, 1.0]])
        weights = fit_weights(np.zeros(4, int), {"mostly": certain, "seldom": certain[:, ::-1]})
        assert weights == pytest.approx({"mostly": 0.75, "seldom": 0.25}, abs=1e-4)

    def test_a_family_that_is_always_worse_has_weight_zero(self):
        labels = np.array([0, 1, 0, 1])
        good, bad = np.full((4, 2), 0.1), np.full((4, 2), 0.5)
        good[np.arange(4), labels] = 0.9
        assert fit_weights(labels, {"bad": bad, "good": good}) == {"bad": 0.0, "good": 1.0}

    @pytest.mark.parametrize("count", [1, 2, 3, 7])
    def test_equal_families_have_equal_weights(self, count):
        table = make_families(50, 3, ["same"])["same"]
        weights = fit_weights(draw_labels(table), {f"family {i}": table for i in range(count)})
        assert list(weights) == [f"family {i}" for i in range(count)]
        assert set(weights.values()) == {round(1 / count, 4)}

    @pytest.mark.parametrize("count", [1, 2, 3, 6, 7])
    def test_they_sum_to_one_but_for_the_fifth_digit_of_each(self, count):
        probabilities = make_families(100, 4, [f"family {i}" for i in range(count)])
        weights = fit_weights(draw_labels(mix(probabilities, dict.fromkeys(probabilities, 1 / count))), probabilities)
        assert sum(weights.values()) == pytest.approx(1, abs=0.5e-4 * count + 1e-9)
        assert all(type(weight) is float and 0 <= weight <= 1 for weight in weights.values())

    @pytest.mark.parametrize("predicted", [[0, 1, 2], [1, 2, 0], [0, 0, 0]], ids=["perfect", "wrong", "one class"])
    def test_probabilities_of_zero_and_one(self, predicted):
        certain = np.eye(3, dtype=np.float32)[predicted]
        assert fit_weights(np.arange(3), {"one": certain, "two": certain}) == {"one": 0.5, "two": 0.5}

    def test_one_image_goes_to_the_family_that_is_more_confident_of_it(self):
        weights = fit_weights(np.array([0]), {"unsure": np.array([[0.5, 0.5]]), "sure": np.array([[0.9, 0.1]])})
        assert weights == {"unsure": 0.0, "sure": 1.0}

    def test_the_order_of_the_families_does_not_matter(self):
        probabilities = make_families(200, 4, ["one", "two", "three"])
        labels = draw_labels(probabilities["one"])
        in_reverse = dict(reversed(probabilities.items()))
        assert fit_weights(labels, in_reverse) == pytest.approx(fit_weights(labels, probabilities), abs=1e-4)


class TestMix:
    def test_an_example_by_hand(self):
        mixed = mix({"one": np.array([[1.0, 0.0]]), "two": np.array([[0.2, 0.8]])}, {"one": 0.25, "two": 0.75})
        np.testing.assert_allclose(mixed, [[0.4, 0.6]])

    def test_weights_are_matched_by_family_not_by_position(self):
        probabilities = make_families(5, 3, ["one", "two"])
        weights = {"two": 0.9, "one": 0.1}
        np.testing.assert_allclose(mix(probabilities, weights), 0.1 * probabilities["one"] + 0.9 * probabilities["two"])

    @pytest.mark.parametrize(
        "weights", [{"one": 0.3333, "two": 0.3333, "three": 0.3333}, {"one": 1, "two": 0, "three": 0}]
    )
    def test_rows_are_float64_probabilities(self, weights):
        probabilities = {
            name: table.astype(np.float32) for name, table in make_families(50, 100, ["one", "two", "three"]).items()
        }
        mixed = mix(probabilities, weights)
        assert mixed.dtype == np.float64
        assert mixed.shape == (50, 100)
        np.testing.assert_allclose(mixed.sum(axis=1), 1)

    def test_a_single_family_is_unchanged(self):
        probabilities = make_families(5, 3, ["one"])
        np.testing.assert_allclose(mix(probabilities, {"one": 1.0}), probabilities["one"])
