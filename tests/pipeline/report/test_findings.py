import dataclasses

import numpy as np
import pytest

from pipeline.evaluation.decisions import compare_decisions
from pipeline.evaluation.ensemble import ENSEMBLE
from pipeline.evaluation.measures import make_cost_matrix
from pipeline.evaluation.temperature import apply_temperature
from pipeline.runtime.errors import PipelineError
from tests.pipeline.report.families import LABELS, NAMES, VAL_LABELS, find, make_family
from tests.results import guess, make_probabilities, make_results


def test_validation_chooses_and_test_accuracy_ranks():
    results = {
        "lucky": make_family(wrong=0.0, val_wrong=0.5),
        "solid": make_family(wrong=0.2, val_wrong=0.1, seed=1),
        "poor": make_family(wrong=0.9, seed=2),
    }
    findings = find(results)
    assert findings.chosen == "solid"
    assert findings.ranked == ["lucky", "solid", "poor"]
    assert set(findings.summary["family"]) == {*results, ENSEMBLE}
    assert set(findings.comparisons["family"]) == {"lucky", "poor", ENSEMBLE}
    assert findings.curves["family"].unique().tolist() == list(results)
    assert findings.issues["split"].isin(["test", "val"]).all()


class TestTrainingImages:
    """Whose out-of-fold predictions say which labels of training images look wrong."""

    def make(self, *, val_wrong: float, has_folds: bool, seed: int):
        family = make_family(wrong=0.1, val_wrong=val_wrong, seed=seed)
        table = make_family(wrong=0.05, seed=seed).predictions
        return dataclasses.replace(family, train_predictions=table if has_folds else table.head(0))

    def test_without_any_they_are_not_searched(self):
        findings = find({"a": self.make(val_wrong=0.1, has_folds=False, seed=1)})
        assert findings.fold_family == ""
        assert findings.issues["split"].isin(["test", "val"]).all()

    def test_those_of_the_chosen_family_count_if_it_has_any(self):
        results = {
            "a": self.make(val_wrong=0.3, has_folds=True, seed=1),
            "b": self.make(val_wrong=0.1, has_folds=True, seed=2),
        }
        findings = find(results)
        assert (findings.chosen, findings.fold_family) == ("b", "b")
        assert "train" in set(findings.issues["split"])

    def test_else_those_of_the_best_on_val_that_has(self):
        results = {
            "a": self.make(val_wrong=0.3, has_folds=True, seed=1),
            "b": self.make(val_wrong=0.05, has_folds=False, seed=2),
            "c": self.make(val_wrong=0.2, has_folds=True, seed=3),
        }
        findings = find(results)
        assert (findings.chosen, findings.fold_family) == ("b", "c")


def test_a_single_family_has_no_ensemble():
    findings = find({"only": make_family(wrong=0.1)})
    assert findings.ensemble is None
    assert findings.comparisons.empty
    assert (findings.chosen, findings.ranked) == ("only", ["only"])


def make_constant(answer: int):
    """Always the same answer."""
    test, val = (make_probabilities(np.full(len(labels), answer), 3) for labels in (LABELS, VAL_LABELS))
    return make_results(NAMES, (LABELS, test), (VAL_LABELS, val))


class TestGuessing:
    def test_who_always_gives_the_same_answer_is_no_better_and_the_classes_that_lack_are_named(self):
        findings = find({"always": make_constant(1), "knows": make_family(wrong=0.8, val_wrong=0.9)}, dog=101)
        assert (findings.guessing.label, findings.guessing.measure) == ("dog", "accuracy")
        assert findings.guessing.accuracy == pytest.approx(1 / 3)
        assert findings.chosen == "always"
        assert findings.unpredicted == ["cat", "emu"]
        assert not findings.guessing.versus["always"].is_better

    def test_a_family_that_knows_the_classes_is_better(self):
        findings = find({"knows": make_family(wrong=0.1)})
        assert findings.guessing.versus["knows"].is_better
        assert findings.unpredicted == []


class TestChoosing:
    def test_unequal_classes_are_chosen_among_by_balanced_accuracy(self):
        results = {"always": make_constant(0), "knows": make_family(wrong=0.3)}
        findings = find(results, cat=301)
        assert (findings.guessing.measure, findings.chosen) == ("balanced_accuracy", "knows")
        chosen = findings.summary.set_index("family")["chosen"].to_dict()
        assert chosen == {"always": False, "knows": True, ENSEMBLE: False}

    def test_families_are_compared_by_the_same_measure(self):
        results = {"knows": make_family(wrong=0.1), "other": make_family(wrong=0.4, seed=3)}
        row = find(results, "log_loss").comparisons.set_index("family").loc["other"]
        losses = [results[name].metrics["test_loss_calibrated"] for name in ("other", "knows")]
        assert row["difference"] == pytest.approx(losses[1] - losses[0], abs=1e-4)

    def test_costs_need_classes_that_there_are(self):
        with pytest.raises(PipelineError, match="no class 'cow'"):
            find({"knows": make_family(wrong=0.1)}, "cost", costs={"cow": 5})

    def test_by_log_loss_the_probabilities_count_that_predict_gives(self):
        """The first is right more often, and far too sure of it: calibrated, it is the better one, and nobody beats it."""
        test, val = (
            (labels, guess(labels, 3, wrong=0.1, confidence=0.9999, seed=len(labels)))
            for labels in (LABELS, VAL_LABELS)
        )
        results = {"sure": make_results(NAMES, test, val), "modest": make_family(wrong=0.4, seed=3)}
        table = find(results, "log_loss").summary.set_index("family")
        assert table.loc["sure", "val_loss"] > table.loc["modest", "val_loss"]
        assert table.loc["sure", "val_loss_calibrated"] < table.loc["modest", "val_loss_calibrated"]
        assert table.loc["sure", "chosen"]
        assert not find(results, "log_loss").comparisons.set_index("family").loc["modest", "difference"] > 0

    def test_the_family_whose_cheapest_answers_cost_least_is_chosen(self):
        """One misses cats, the other dogs; cats are dear, so that both call all a cat that may be one."""

        def blind(number: int):
            test, val = (
                make_probabilities(np.where(labels == number, (labels + 1) % 3, labels), 3)
                for labels in (LABELS, VAL_LABELS)
            )
            return make_results(NAMES, (LABELS, test), (VAL_LABELS, val))

        results = {"a": blind(0), "b": blind(1)}
        findings = find(results, "cost", costs={"cat": 9})
        costs = findings.summary.set_index("family")["val_cost"].dropna().to_dict()
        matrix = make_cost_matrix({"cat": 9}, NAMES)
        for name, number in (("a", 0), ("b", 1)):
            answers = make_probabilities(np.where(number == VAL_LABELS, (VAL_LABELS + 1) % 3, VAL_LABELS), 3)
            least = compare_decisions(
                VAL_LABELS, apply_temperature(answers, results[name].metrics["temperature"]), matrix
            ).least
            assert costs[name] == pytest.approx(least, abs=1e-5)
        assert findings.chosen == min(costs, key=costs.get)
