import math

import numpy as np
import pytest

from pipeline.evaluation.conformal import SetRule
from pipeline.evaluation.intervals import compute_class_intervals
from pipeline.evaluation.measure import (
    compute_intervals,
    compute_metrics,
    make_calibration_table,
    make_test_class_table,
)
from pipeline.evaluation.metric_types import FamilyMetrics
from tests.results import make_probabilities

# Four images of two classes: certain to 0.9 (odds of 9 to 1), three of them correct.
LABELS = np.array([0, 0, 0, 1])
PROBABILITIES = np.tile(np.array([0.9, 0.1], np.float32), (4, 1))
PERFECT = np.array([0, 1]), np.eye(2, dtype=np.float32)
RULE = SetRule(0.9, threshold=0.3)
PREDICTED = {"train": PERFECT, "val": (LABELS, PROBABILITIES), "test": (LABELS, PROBABILITIES)}


class TestMetrics:
    METRICS = compute_metrics(PREDICTED, temperature=2.0, rule=RULE)

    def test_every_split_has_accuracy_loss_and_macro_f1(self):
        loss = -(3 * math.log(0.9) + math.log(0.1)) / 4
        f1 = (2 * 3 / (3 + 4) + 0) / 2
        for split in ("val", "test"):
            assert self.METRICS[f"{split}_accuracy"] == 0.75
            assert self.METRICS[f"{split}_loss"] == pytest.approx(loss, abs=1e-6)
            assert self.METRICS[f"{split}_macro_f1"] == pytest.approx(f1, abs=1e-6)
        assert [self.METRICS[f"train_{name}"] for name in ("accuracy", "loss", "macro_f1")] == [1.0, 0.0, 1.0]

    def test_it_has_the_metrics_that_the_report_reads_and_no_others(self):
        assert self.METRICS.keys() == FamilyMetrics.__required_keys__

    def test_val_has_what_families_are_chosen_by(self):
        assert (self.METRICS["val_balanced_accuracy"], self.METRICS["val_roc_auc"]) == (0.5, 0.5)

    def test_test_alone_has_all_others(self):
        assert self.METRICS["test_balanced_accuracy"] == 0.5
        assert self.METRICS["test_roc_auc"] == 0.5
        assert self.METRICS["test_mcc"] is None
        assert not [name for name in self.METRICS if name.startswith("train_") and name.endswith(("auc", "mcc"))]

    def test_calibration_is_measured_before_and_after(self):
        # At temperature 2 the odds are 3 to 1: 0.75, which is the accuracy.
        assert self.METRICS["test_ece"] == pytest.approx(0.9 - 0.75, abs=1e-6)
        assert self.METRICS["test_ece_calibrated"] == pytest.approx(0, abs=1e-6)
        assert self.METRICS["test_brier"] == pytest.approx((3 * 2 * 0.1**2 + 2 * 0.9**2) / 4, abs=1e-6)
        assert self.METRICS["test_brier_calibrated"] == pytest.approx((3 * 2 * 0.25**2 + 2 * 0.75**2) / 4, abs=1e-6)
        expected = -(3 * math.log(0.75) + math.log(0.25)) / 4
        assert self.METRICS["test_loss_calibrated"] == pytest.approx(expected, abs=1e-6)
        assert self.METRICS["temperature"] == 2.0

    def test_sets_are_made_from_calibrated_probabilities(self):
        # Odds of 9 to 1 are 0.1 for the second class, at temperature 2 they are 0.25, both below the threshold.
        assert [self.METRICS[f"test_set_{name}"] for name in ("coverage", "size", "single")] == [0.75, 1.0, 1.0]
        wider = compute_metrics(PREDICTED, temperature=2.0, rule=SetRule(0.99, threshold=0.25))
        assert [wider[f"test_set_{name}"] for name in ("coverage", "size", "single")] == [1.0, 2.0, 0.0]
        assert wider["asked_coverage"] == 0.99

    def test_a_class_of_the_test_images_has_its_own_share_of_sets(self):
        table = make_test_class_table(PREDICTED["test"], ["a", "b"], 2.0, RULE)
        assert table["label"].tolist() == ["a", "b"]
        assert table["set_coverage"].tolist() == [1.0, 0.0]
        assert table["recall"].tolist() == [1.0, 0.0]

    def test_unequal_classes_are_judged_by_balanced_accuracy(self):
        labels = np.array([0] * 3 + [1] * 97)
        knows, always = make_probabilities(labels, 2), make_probabilities(np.ones(100, int), 2)

        def judge(train: np.ndarray, val: np.ndarray) -> str:
            return compute_metrics({"train": (labels, train), "val": (labels, val), "test": (labels, val)}, 1.0, RULE)[
                "verdict"
            ]

        assert judge(knows, knows) == "balanced"
        assert judge(knows, always) == "overfitted"
        assert judge(always, always) == "underfitted"

    def test_the_verdict_compares_train_with_val(self):
        assert self.METRICS["verdict"] == "overfitted"
        assert compute_metrics(PREDICTED | {"val": PERFECT}, temperature=1.0, rule=RULE)["verdict"] == "balanced"

    def test_test_has_no_influence_on_the_verdict(self):
        always_wrong = PERFECT[0], PERFECT[1][::-1]
        assert (
            compute_metrics(PREDICTED | {"test": always_wrong}, temperature=2.0, rule=RULE)["verdict"] == "overfitted"
        )


class TestIntervals:
    def test_each_metric_has_a_lower_and_an_upper_end(self):
        intervals = compute_intervals(LABELS, PROBABILITIES)
        names = ("accuracy", "macro_f1", "balanced_accuracy")
        assert list(intervals) == [f"test_{name}_{end}" for name in names for end in ("low", "high")]
        # Wilson's, of 3 in 4: (3 + z²/2 ± z √(3·1/4 + z²/4)) / (4 + z²)
        z = 1.959964
        half = z * math.sqrt(3 / 4 + z**2 / 4)
        assert intervals["test_accuracy_low"] == pytest.approx((3 + z**2 / 2 - half) / (4 + z**2), abs=1e-5)
        assert intervals["test_accuracy_high"] == pytest.approx((3 + z**2 / 2 + half) / (4 + z**2), abs=1e-5)
        # Three images of a class and one of another are worth three, if both count alike.
        low, high = compute_class_intervals(np.array([[3, 0], [1, 0]]))["balanced_accuracy"]
        assert (intervals["test_balanced_accuracy_low"], intervals["test_balanced_accuracy_high"]) == (low, high)

    def test_perfect_predictions(self):
        intervals = compute_intervals(*PERFECT)
        assert {value for name, value in intervals.items() if name.endswith("_high")} == {1.0}
        assert all(0.3 < value < 0.7 for name, value in intervals.items() if name.endswith("_low"))


def test_the_calibration_table_has_the_bins_before_and_after():
    table = make_calibration_table(LABELS, PROBABILITIES, 2.0)
    assert table[["state", "images", "confidence", "accuracy"]].to_numpy().tolist() == [
        ["before", 4, 0.9, 0.75],
        ["after", 4, 0.75, 0.75],
    ]
