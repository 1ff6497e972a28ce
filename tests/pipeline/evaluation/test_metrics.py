import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, top_k_accuracy_score

from pipeline.evaluation.metrics import (
    compute_areas,
    compute_basic_metrics,
    compute_classification_metrics,
    compute_label_metrics,
    compute_top_accuracy,
    judge_fit,
    make_class_table,
    make_confusion_table,
    make_prediction_table,
)

NAMES = ["cat", "dog", "emu"]
# Two cats, three dogs, no emu; one cat is classified as a dog, one dog as an emu.
LABELS, PREDICTED = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 2])
PROBABILITIES = np.array(
    [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.5, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]], np.float32
)
SIZES = pytest.mark.parametrize(("num_images", "num_classes"), [(200, 2), (500, 7), (1000, 100)])


def make_predictions(num_images: int, num_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and float32 probabilities that lean towards them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, num_images)
    scores = rng.exponential(1, (num_images, num_classes))
    scores[np.arange(num_images), labels] += 1
    return labels, (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


def count_pairs(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """The confusion matrix, true by predicted, counted image by image."""
    matrix = np.zeros((num_classes, num_classes), int)
    for pair in zip(labels, predicted, strict=True):
        matrix[pair] += 1
    return matrix


class TestBasicMetrics:
    @SIZES
    def test_accuracy_and_loss_are_means_over_the_images(self, num_images, num_classes):
        labels, probabilities = make_predictions(num_images, num_classes)
        exact = probabilities.astype(np.float64)
        metrics = compute_basic_metrics(labels, probabilities)
        hits = sum(int(row.argmax()) == label for row, label in zip(exact, labels, strict=True))
        assert metrics["accuracy"] == round(hits / num_images, 6)
        expected = log_loss(labels, exact / exact.sum(axis=1, keepdims=True), labels=np.arange(num_classes))
        assert metrics["loss"] == pytest.approx(expected, abs=2e-6)

    def test_an_example_by_hand(self):
        loss = -(3 * math.log(0.5) + 2 * math.log(0.25)) / 5
        f1 = (2 / 3 + 2 / 3 + 0) / 3  # cat: precision 1, recall ½. dog: ⅔ and ⅔. emu: no true positive
        expected = {"accuracy": 0.6, "loss": loss, "macro_f1": f1}
        assert compute_basic_metrics(LABELS, PROBABILITIES) == pytest.approx(expected, abs=1e-6)

    def test_perfect_predictions(self):
        metrics = compute_basic_metrics(np.arange(3), np.eye(3, dtype=np.float32))
        assert metrics == {"accuracy": 1.0, "loss": 0.0, "macro_f1": 1.0}

    def test_a_probability_of_zero_for_the_true_class_has_a_large_but_finite_loss(self):
        probabilities = np.array([[0.0, 1.0]], np.float32)
        assert compute_basic_metrics(np.array([0]), probabilities)["loss"] == pytest.approx(-math.log(1e-7), abs=1e-5)

    def test_a_class_that_is_never_predicted_has_an_f1_of_zero(self):
        always_first = np.tile(np.array([1.0, 0.0], np.float32), (4, 1))
        metrics = compute_basic_metrics(np.array([0, 0, 1, 1]), always_first)
        assert metrics["macro_f1"] == pytest.approx((2 / 3 + 0) / 2, abs=1e-6)

    def test_a_class_without_images_counts_in_macro_f1(self):
        probabilities = np.eye(4, dtype=np.float32)[[0, 1, 2]]
        assert compute_basic_metrics(np.arange(3), probabilities)["macro_f1"] == 0.75

    def test_of_equal_probabilities_the_first_class_is_predicted(self):
        assert compute_basic_metrics(np.array([0, 1]), np.full((2, 2), 0.5, np.float32))["accuracy"] == 0.5

    def test_one_image_is_enough(self):
        assert compute_basic_metrics(np.array([1]), np.array([[0.2, 0.8]], np.float32))["accuracy"] == 1.0

    def test_they_are_floats_of_six_digits(self):
        for value in compute_basic_metrics(*make_predictions(7, 3)).values():
            assert type(value) is float
            assert value == round(value, 6)


# Where metrics are undefined: labels, the classes predicted with certainty, the number of classes.
EXTREMES = {
    "perfect": ([0, 1, 2], [0, 1, 2], 3),
    "always_wrong": ([0, 1, 2], [1, 2, 0], 3),
    "one_class_only": ([0, 0, 1, 2], [0, 0, 0, 0], 3),
    "two_classes": ([0, 0, 1, 1], [0, 1, 1, 1], 2),
    "one_class_without_images": ([0, 0, 1, 1], [0, 2, 1, 1], 3),
    "images_of_one_class": ([1, 1, 1], [1, 1, 0], 2),
    "one_image_correct": ([1], [1], 2),
    "one_image_wrong": ([1], [0], 2),
    "hundred_classes_one_image_each": (list(range(100)), list(range(50)) * 2, 100),
    "hundred_classes_one_image": ([7], [7], 100),
}


def make_certain(case: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels and float32 probabilities of exactly 0 and 1."""
    labels, predicted, num_classes = EXTREMES[case]
    return np.array(labels), np.eye(num_classes, dtype=np.float32)[predicted]


def compute_by_formula(matrix: np.ndarray) -> dict[str, float]:
    """The metrics that a confusion matrix determines, where all are defined."""
    true, predicted, hits, n = matrix.sum(axis=1), matrix.sum(axis=0), np.diag(matrix), matrix.sum()
    recall, precision, f1 = hits / true, hits / np.maximum(predicted, 1), 2 * hits / (true + predicted)
    chance = (true * predicted).sum() / n**2
    spread = (n**2 - (predicted**2).sum()) * (n**2 - (true**2).sum())
    return {
        "balanced_accuracy": recall.mean(),
        "macro_precision": precision.mean(),
        "macro_recall": recall.mean(),
        "weighted_precision": (precision * true).sum() / n,
        "weighted_recall": hits.sum() / n,
        "weighted_f1": (f1 * true).sum() / n,
        "kappa": (hits.sum() / n - chance) / (1 - chance),
        "mcc": (hits.sum() * n - (true * predicted).sum()) / math.sqrt(spread),
    }


class TestClassificationMetrics:
    @SIZES
    def test_those_of_the_predicted_classes_follow_their_formulas(self, num_images, num_classes):
        labels, probabilities = make_predictions(num_images, num_classes)
        assert len(set(labels)) == num_classes
        expected = compute_by_formula(count_pairs(labels, probabilities.argmax(axis=1), num_classes))
        found = compute_label_metrics(labels, probabilities.argmax(axis=1), num_classes)
        assert found == pytest.approx(expected, abs=1e-9)
        rounded = compute_classification_metrics(labels, probabilities)
        assert {name: rounded[name] for name in expected} == pytest.approx(expected, abs=1e-6)

    def test_an_example_by_hand(self):
        # Cats: 1 of 2. Dogs: 2 of 3. By chance: 2/5 of the labels are cats, 1/5 of the predictions; dogs 3/5 and 3/5.
        metrics = compute_classification_metrics(LABELS, PROBABILITIES)
        chance = 2 / 5 * 1 / 5 + 3 / 5 * 3 / 5
        assert metrics["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2, abs=1e-6)
        assert metrics["macro_recall"] == pytest.approx((1 / 2 + 2 / 3 + 0) / 3, abs=1e-6)
        assert metrics["macro_precision"] == pytest.approx((1 + 2 / 3 + 0) / 3, abs=1e-6)
        assert metrics["weighted_recall"] == 0.6
        assert metrics["weighted_precision"] == pytest.approx((2 * 1 + 3 * 2 / 3) / 5, abs=1e-6)
        assert metrics["weighted_f1"] == pytest.approx((2 * 2 / 3 + 3 * 2 / 3) / 5, abs=1e-6)
        assert metrics["kappa"] == pytest.approx((0.6 - chance) / (1 - chance), abs=1e-6)
        spread = (25 - (1 + 9 + 1)) * (25 - (4 + 9))  # of the predictions, and of the labels
        assert metrics["mcc"] == pytest.approx((3 * 5 - (2 * 1 + 3 * 3)) / math.sqrt(spread), abs=1e-6)

    def test_the_areas_are_means_over_the_classes_for_which_they_are_defined(self):
        areas = compute_areas(LABELS, PROBABILITIES)
        metrics = compute_classification_metrics(LABELS, PROBABILITIES)
        for name in ("roc_auc", "pr_auc"):
            cat, dog, emu = areas[name]
            assert emu is None
            assert metrics[name] == pytest.approx((cat + dog) / 2, abs=1e-6)

    @pytest.mark.parametrize(
        ("num_classes", "missing"), [(2, {"top2", "top5"}), (3, {"top5"}), (5, {"top5"}), (6, set())]
    )
    def test_top_2_and_top_5_need_more_classes_than_that(self, num_classes, missing):
        metrics = compute_classification_metrics(*make_predictions(50, num_classes))
        assert {top for top in ("top2", "top5") if metrics[f"{top}_accuracy"] is None} == missing

    def test_perfect_predictions(self):
        metrics = compute_classification_metrics(*make_certain("perfect"))
        assert [name for name, value in metrics.items() if value is None] == ["top5_accuracy"]  # there are 3 classes
        assert {value for value in metrics.values() if value is not None} == {1.0}
        assert len(metrics) == 12

    @pytest.mark.parametrize(
        ("case", "missing"),
        [
            ("perfect", set()),
            ("always_wrong", set()),
            ("one_class_only", {"mcc"}),
            ("two_classes", set()),
            ("one_class_without_images", set()),
            ("images_of_one_class", {"mcc", "roc_auc", "pr_auc"}),
            ("one_image_correct", {"kappa", "mcc", "roc_auc", "pr_auc"}),
            ("one_image_wrong", {"mcc", "roc_auc", "pr_auc"}),
            ("hundred_classes_one_image_each", set()),
            ("hundred_classes_one_image", {"kappa", "mcc", "roc_auc", "pr_auc"}),
        ],
    )
    def test_what_is_undefined_is_none_and_all_else_a_float(self, case, missing):
        labels, probabilities = make_certain(case)
        metrics = compute_classification_metrics(labels, probabilities)
        tops = {f"top{top}_accuracy" for top in (2, 5) if probabilities.shape[1] <= top}
        assert {name for name, value in metrics.items() if value is None} == missing | tops
        for value in metrics.values():
            assert value is None or (type(value) is float and -1 <= value <= 1 and value == round(value, 6))

    def test_a_model_that_always_predicts_the_same_class_agrees_by_chance(self):
        metrics = compute_classification_metrics(*make_certain("one_class_only"))
        assert metrics["kappa"] == 0
        assert metrics["balanced_accuracy"] == round(1 / 3, 6)
        assert metrics["roc_auc"] == 0.5

    def test_a_class_without_images_counts_in_all_means_but_balanced_accuracy(self):
        metrics = compute_classification_metrics(*make_certain("one_class_without_images"))
        assert metrics["balanced_accuracy"] == 0.75
        assert metrics["macro_recall"] == 0.5


class TestTopAccuracy:
    PROBABILITIES = np.array([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6], [0.2, 0.7, 0.1]])

    @pytest.mark.parametrize(("top", "expected"), [(1, 0.0), (2, 2 / 3), (3, 1.0)])
    def test_an_example_by_hand(self, top, expected):
        labels = np.array([1, 1, 2])  # second, second, last
        assert compute_top_accuracy(labels, self.PROBABILITIES, top) == pytest.approx(expected)

    @pytest.mark.parametrize("top", [2, 5])
    def test_without_equal_probabilities_it_is_that_of_scikit_learn(self, top):
        labels, probabilities = make_predictions(500, 7)
        expected = top_k_accuracy_score(labels, probabilities, k=top, labels=np.arange(7))
        assert compute_top_accuracy(labels, probabilities, top) == pytest.approx(expected)

    @pytest.mark.parametrize(("top", "expected"), [(1, 1 / 4), (2, 1 / 2), (4, 1.0)])
    def test_of_equal_probabilities_the_first_class_counts(self, top, expected):
        assert compute_top_accuracy(np.arange(4), np.full((4, 4), 0.25, np.float32), top) == expected

    def test_top_1_is_the_accuracy(self):
        labels, probabilities = make_predictions(200, 7)
        expected = compute_basic_metrics(labels, probabilities)["accuracy"]
        assert compute_top_accuracy(labels, probabilities, 1) == pytest.approx(expected)


class TestAreas:
    def test_an_example_by_hand(self):
        # For cats: .5 and .2 for the cats, .4 and .1 for the dogs: 3 of 4 pairs are in order; precision 1 of 1, then 2 of 3.
        labels, score = np.array([0, 0, 1, 1]), np.array([0.5, 0.2, 0.4, 0.1])
        areas = compute_areas(labels, np.stack([score, 1 - score], axis=1))
        assert areas["roc_auc"] == [0.75, 0.75]
        assert areas["pr_auc"] == [round(0.5 * 1 + 0.5 * 2 / 3, 6)] * 2

    @pytest.mark.parametrize(("num_images", "num_classes"), [(40, 2), (90, 5)])
    def test_the_roc_auc_is_the_share_of_pairs_in_order(self, num_images, num_classes):
        labels, probabilities = make_predictions(num_images, num_classes)
        for number, found in enumerate(compute_areas(labels, probabilities)["roc_auc"]):
            scores = probabilities[:, number]
            pairs = [(a, b) for a in scores[labels == number] for b in scores[labels != number]]
            assert found == pytest.approx(np.mean([(a > b) + 0.5 * (a == b) for a, b in pairs]), abs=1e-6)

    def test_of_uninformative_probabilities_they_are_a_half_and_the_share_of_the_class(self):
        areas = compute_areas(np.array([0, 1, 1, 1]), np.full((4, 2), 0.5))
        assert areas == {"roc_auc": [0.5, 0.5], "pr_auc": [0.25, 0.75]}

    def test_a_class_with_none_or_all_of_the_images_has_none(self):
        assert compute_areas(np.array([1, 1]), np.full((2, 3), 1 / 3)) == {"roc_auc": [None] * 3, "pr_auc": [None] * 3}


class TestVerdict:
    @pytest.mark.parametrize(
        ("train", "val", "num_classes", "verdict"),
        [
            (0.95, 0.90, 5, "balanced"),
            (1.00, 0.80, 5, "overfitted"),
            (0.40, 0.38, 5, "underfitted"),
            (0.50, 0.30, 5, "both"),
            (0.60, 0.90, 5, "balanced"),
            (0.70, 0.70, 2, "underfitted"),
            (0.70, 0.70, 5, "balanced"),
            (0.50, 0.50, 100, "underfitted"),
            (0.51, 0.51, 100, "balanced"),
        ],
    )
    def test_the_rule(self, train, val, num_classes, verdict):
        assert judge_fit(train, val, 1 / num_classes) == verdict

    @pytest.mark.parametrize("hundredths", [77, 80, 85, 90, 100])
    def test_exactly_a_tenth_above_validation_is_not_overfitted(self, hundredths):
        assert judge_fit(hundredths / 100, (hundredths - 10) / 100, 0.5) == "balanced"
        assert judge_fit(hundredths / 100, (hundredths - 11) / 100, 0.5) == "overfitted"

    @pytest.mark.parametrize("num_classes", [2, 3, 5, 7, 10, 13, 100])
    def test_exactly_halfway_from_chance_is_not_underfitted(self, num_classes):
        half = round((1 + 1 / num_classes) / 2, 6)
        assert judge_fit(half, half, 1 / num_classes) == "balanced"
        assert judge_fit(half - 1e-5, half, 1 / num_classes) == "underfitted"

    def test_who_always_answers_the_most_frequent_class_is_underfitted(self):
        assert judge_fit(0.984, 0.984, 0.984) == "underfitted"


class TestClassTable:
    def test_an_example_by_hand(self):
        table = make_class_table(LABELS, PROBABILITIES, NAMES)
        assert list(table.columns) == ["label", "precision", "recall", "f1", "support", "roc_auc", "pr_auc"]
        third = round(2 / 3, 6)
        assert table[["label", "precision", "recall", "f1", "support"]].to_numpy().tolist() == [
            ["cat", 1.0, 0.5, third, 2],
            ["dog", third, third, third, 3],
            ["emu", 0.0, 0.0, 0.0, 0],
        ]
        # Of six pairs of a cat and a dog, three are in order for cats and three tied; for dogs two in order, three tied.
        assert table["roc_auc"].tolist()[:2] == [0.75, round((2 + 3 / 2) / 6, 6)]

    def test_scores_follow_from_the_counts(self):
        labels, probabilities = make_predictions(300, 3)
        matrix = count_pairs(labels, probabilities.argmax(axis=1), 3)
        table = make_class_table(labels, probabilities, NAMES)
        hits, true, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
        np.testing.assert_allclose(table["precision"], hits / predicted, atol=1e-6)
        np.testing.assert_allclose(table["recall"], hits / true, atol=1e-6)
        np.testing.assert_allclose(table["f1"], 2 * hits / (true + predicted), atol=1e-6)
        assert table["support"].tolist() == true.tolist()

    def test_the_areas_are_those_of_each_class(self):
        labels, probabilities = make_predictions(300, 3)
        table, areas = make_class_table(labels, probabilities, NAMES), compute_areas(labels, probabilities)
        assert table[["roc_auc", "pr_auc"]].to_dict("list") == areas

    @pytest.mark.parametrize(
        ("labels", "empty"), [([0, 0, 1, 1, 1], [False, False, True]), ([1, 1, 1, 1, 1], [True, True, True])]
    )
    def test_a_class_with_none_or_all_of_the_images_has_no_areas(self, labels, empty):
        table = make_class_table(np.array(labels), PROBABILITIES, NAMES)
        for name in ("roc_auc", "pr_auc"):
            assert table[name].isna().tolist() == empty
            assert table[name].dtype == np.float64

    def test_a_class_that_is_never_predicted_has_scores_of_zero(self):
        always_first = np.tile(np.array([1.0, 0.0], np.float32), (2, 1))
        table = make_class_table(np.array([0, 1]), always_first, ["cat", "dog"]).set_index("label")
        expected = {"precision": 0, "recall": 0, "f1": 0, "support": 1, "roc_auc": 0.5, "pr_auc": 0.5}
        assert table.loc["dog"].to_dict() == expected

    @pytest.mark.parametrize("case", EXTREMES)
    def test_all_else_is_finite(self, case):
        labels, probabilities = make_certain(case)
        names = [f"class {number}" for number in range(probabilities.shape[1])]
        table = make_class_table(labels, probabilities, names)
        assert table["label"].tolist() == names
        assert table["support"].sum() == len(labels)
        assert np.isfinite(table[["precision", "recall", "f1"]]).all(axis=None)


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
        predicted = probabilities.argmax(axis=1)
        table = make_confusion_table(labels, predicted, [f"class {number}" for number in range(20)])
        assert len(table) == 400
        assert table["images"].sum() == 500
        assert (table["images"].to_numpy().reshape(20, 20) == count_pairs(labels, predicted, 20)).all()

    def test_shares_of_a_true_class_sum_to_one(self):
        labels, probabilities = make_predictions(500, 7)
        table = make_confusion_table(labels, probabilities.argmax(axis=1), list("abcdefg"))
        np.testing.assert_allclose(table.groupby("label")["share"].sum(), 1, atol=1e-5)


class TestPredictionTable:
    IDS, FILES = [f"id{i}" for i in range(5)], [f"{i}.png" for i in range(5)]

    def make(self) -> pd.DataFrame:
        return make_prediction_table(self.IDS, self.FILES, LABELS, PROBABILITIES, NAMES)

    def test_it_has_one_row_per_image_and_one_column_per_class(self):
        table = self.make()
        classes = [f"p:{name}" for name in NAMES]
        assert list(table.columns) == ["image_id", "name", "label", "predicted", "confidence", *classes]
        np.testing.assert_array_equal(table[classes], PROBABILITIES)

    def test_images_and_classes_are_named(self):
        table = self.make()
        assert table["image_id"].tolist() == self.IDS
        assert table["name"].tolist() == self.FILES
        assert table["label"].tolist() == ["cat", "cat", "dog", "dog", "dog"]
        assert table["predicted"].tolist() == ["cat", "dog", "dog", "dog", "emu"]

    def test_confidence_is_the_probability_of_the_predicted_class(self):
        assert self.make()["confidence"].tolist() == [0.5] * 5

    def test_classes_may_be_named_like_columns(self):
        table = make_prediction_table(self.IDS, self.FILES, LABELS, PROBABILITIES, ["label", "name", "confidence"])
        assert table.columns.is_unique
        assert table["label"].tolist() == ["label", "label", "name", "name", "name"]
