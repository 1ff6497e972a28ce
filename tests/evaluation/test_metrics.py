import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, classification_report, confusion_matrix, f1_score, log_loss

from stages.evaluation.metrics import (
    compute_figures,
    make_class_table,
    make_confusion_table,
    make_prediction_table,
)

NAMES = ["cat", "dog", "emu"]
# Two cats, three dogs, no emu; one cat is taken for a dog, one dog for an emu.
LABELS, PREDICTED = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 2])
PROBABILITIES = np.array(
    [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.5, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]], np.float32
)


def make_predictions(num_images: int, num_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and float32 probabilities that lean towards them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, num_images)
    scores = rng.exponential(1, (num_images, num_classes))
    scores[np.arange(num_images), labels] += 1
    return labels, (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


class TestFigures:
    @pytest.mark.parametrize(("num_images", "num_classes"), [(200, 2), (500, 7), (50, 100)])
    def test_they_are_those_of_scikit_learn(self, num_images, num_classes):
        labels, probabilities = make_predictions(num_images, num_classes)
        predicted, classes = probabilities.argmax(axis=1), np.arange(num_classes)
        exact = probabilities.astype(np.float64)
        expected = {
            "accuracy": accuracy_score(labels, predicted),
            "loss": log_loss(labels, exact / exact.sum(axis=1, keepdims=True), labels=classes),
            "macro_f1": f1_score(labels, predicted, labels=classes, average="macro", zero_division=0),
        }
        assert compute_figures(labels, probabilities) == pytest.approx(expected, abs=2e-6)

    def test_an_example_by_hand(self):
        loss = -(3 * math.log(0.5) + 2 * math.log(0.25)) / 5
        f1 = (2 / 3 + 2 / 3 + 0) / 3  # cat: precision 1, recall ½. dog: ⅔ and ⅔. emu: never right
        expected = {"accuracy": 0.6, "loss": loss, "macro_f1": f1}
        assert compute_figures(LABELS, PROBABILITIES) == pytest.approx(expected, abs=1e-6)

    def test_perfect_predictions(self):
        figures = compute_figures(np.arange(3), np.eye(3, dtype=np.float32))
        assert figures == {"accuracy": 1.0, "loss": 0.0, "macro_f1": 1.0}

    def test_a_probability_of_zero_for_the_truth_costs_much_but_not_everything(self):
        probabilities = np.array([[0.0, 1.0]], np.float32)
        assert compute_figures(np.array([0]), probabilities)["loss"] == pytest.approx(-math.log(1e-7), abs=1e-5)

    def test_a_class_that_is_never_predicted_has_an_f1_of_zero(self):
        always_first = np.tile(np.array([1.0, 0.0], np.float32), (4, 1))
        figures = compute_figures(np.array([0, 0, 1, 1]), always_first)
        assert figures["macro_f1"] == pytest.approx((2 / 3 + 0) / 2, abs=1e-6)

    def test_a_class_without_test_images_counts_in_macro_f1(self):
        probabilities = np.eye(4, dtype=np.float32)[[0, 1, 2]]
        assert compute_figures(np.arange(3), probabilities)["macro_f1"] == 0.75

    def test_of_equal_probabilities_the_first_counts(self):
        assert compute_figures(np.array([0, 1]), np.full((2, 2), 0.5, np.float32))["accuracy"] == 0.5

    def test_one_image_is_enough(self):
        assert compute_figures(np.array([1]), np.array([[0.2, 0.8]], np.float32))["accuracy"] == 1.0

    def test_they_are_plain_numbers_of_six_digits(self):
        for value in compute_figures(*make_predictions(7, 3)).values():
            assert type(value) is float
            assert value == round(value, 6)


class TestClassTable:
    def test_it_is_scikit_learns_report(self):
        labels, probabilities = make_predictions(300, 3)
        predicted = probabilities.argmax(axis=1)
        report = classification_report(labels, predicted, target_names=NAMES, output_dict=True)
        for row in make_class_table(labels, predicted, NAMES).to_dict("records"):
            expected = report[row["label"]]
            assert row["precision"] == pytest.approx(expected["precision"], abs=1e-6)
            assert row["recall"] == pytest.approx(expected["recall"], abs=1e-6)
            assert row["f1"] == pytest.approx(expected["f1-score"], abs=1e-6)
            assert row["support"] == expected["support"]

    def test_an_example_by_hand(self):
        table = make_class_table(LABELS, PREDICTED, NAMES)
        assert list(table.columns) == ["label", "precision", "recall", "f1", "support"]
        third = round(2 / 3, 6)
        assert table.to_numpy().tolist() == [
            ["cat", 1.0, 0.5, third, 2],
            ["dog", third, third, third, 3],
            ["emu", 0.0, 0.0, 0.0, 0],
        ]

    def test_a_class_that_is_never_predicted_gets_zeros(self):
        table = make_class_table(np.array([0, 1]), np.array([0, 0]), ["cat", "dog"]).set_index("label")
        assert table.loc["dog"].to_dict() == {"precision": 0, "recall": 0, "f1": 0, "support": 1}


class TestConfusionTable:
    def test_an_example_by_hand(self):
        table = make_confusion_table(LABELS, PREDICTED, NAMES)
        third, two_thirds = round(1 / 3, 6), round(2 / 3, 6)
        assert table.to_numpy().tolist() == [
            ["cat", "cat", 1, 0.5],
            ["cat", "dog", 1, 0.5],
            ["cat", "emu", 0, 0.0],
            ["dog", "cat", 0, 0.0],
            ["dog", "dog", 2, two_thirds],
            ["dog", "emu", 1, third],
            ["emu", "cat", 0, 0.0],
            ["emu", "dog", 0, 0.0],
            ["emu", "emu", 0, 0.0],
        ]

    def test_it_has_every_pair_of_classes_and_every_image_once(self):
        labels, probabilities = make_predictions(500, 20)
        names = [f"class {number}" for number in range(20)]
        table = make_confusion_table(labels, probabilities.argmax(axis=1), names)
        assert len(table) == 400
        assert table["images"].sum() == 500
        matrix = confusion_matrix(labels, probabilities.argmax(axis=1), labels=np.arange(20))
        assert (table["images"].to_numpy().reshape(20, 20) == matrix).all()

    def test_shares_of_a_true_class_sum_to_one(self):
        labels, probabilities = make_predictions(500, 7)
        table = make_confusion_table(labels, probabilities.argmax(axis=1), list("abcdefg"))
        np.testing.assert_allclose(table.groupby("label")["share"].sum(), 1, atol=1e-5)


class TestPredictionTable:
    IDS, FILES = [f"id{i}" for i in range(5)], [f"{i}.png" for i in range(5)]

    def make(self):
        return make_prediction_table(self.IDS, self.FILES, LABELS, PROBABILITIES, NAMES)

    def test_it_has_a_row_an_image_and_a_column_a_class(self):
        table = self.make()
        classes = [f"p:{name}" for name in NAMES]
        assert list(table.columns) == ["image_id", "name", "label", "predicted", "confidence", *classes]
        np.testing.assert_array_equal(table[classes], PROBABILITIES)

    def test_names_and_classes_stand_for_numbers(self):
        table = self.make()
        assert table["image_id"].tolist() == self.IDS
        assert table["name"].tolist() == self.FILES
        assert table["label"].tolist() == ["cat", "cat", "dog", "dog", "dog"]
        assert table["predicted"].tolist() == ["cat", "dog", "dog", "dog", "emu"]

    def test_confidence_is_the_probability_of_what_was_predicted(self):
        assert self.make()["confidence"].tolist() == [0.5] * 5

    def test_classes_named_like_columns_take_no_ones_place(self):
        table = make_prediction_table(self.IDS, self.FILES, LABELS, PROBABILITIES, ["label", "name", "confidence"])
        assert table.columns.is_unique
        assert table["label"].tolist() == ["label", "label", "name", "name", "name"]
