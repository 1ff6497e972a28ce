import numpy as np
import pandas as pd
import pytest

from pipeline.report.label_issues import LABEL_COLUMNS, find_held_out_suspects, find_label_issues
from tests.pipeline.report.pictures import CAT, DOG, NAMES, get_numbers
from tests.results import make_probabilities, make_results, tabulate


class TestLabelIssues:
    """A family that knows its classes well, and data in which the test has flipped some labels."""

    def flipped(self, num_classes: int, rows: list[int], count: int = 120, names: list[str] = NAMES):
        truth = np.arange(count) % num_classes
        labels = truth.copy()
        labels[rows] = (truth[rows] + 1) % num_classes
        confidence = np.random.default_rng(0).uniform(0.85, 0.95, count)
        confidence[rows] = np.linspace(0.96, 0.99, len(rows))
        return labels, make_probabilities(truth, len(names), confidence)

    def test_flipped_labels_are_found_in_test_and_val(self):
        issues = find_label_issues(make_results(NAMES, self.flipped(3, [4, 50, 77]), self.flipped(3, [9, 100])))
        found = {split: sorted(get_numbers(part.to_dict("records"))) for split, part in issues.groupby("split")}
        assert found == {"test": [4, 50, 77], "val": [9, 100]}
        assert list(issues.columns) == LABEL_COLUMNS

    def test_each_has_its_label_and_the_one_it_should_have(self):
        labels, probabilities = self.flipped(3, [30])
        row = find_label_issues(make_results(NAMES, (labels, probabilities), self.flipped(3, []))).iloc[0]
        assert (row["name"], row["label"], row["suggested"]) == ("test/dog/30.png", "dog", "cat")
        assert row["label_probability"] == pytest.approx(probabilities[30, DOG], abs=1e-6)
        assert row["suggested_probability"] == pytest.approx(probabilities[30, CAT], abs=1e-6)

    def test_what_a_person_says_of_them_is_blank(self):
        issues = find_label_issues(make_results(NAMES, self.flipped(3, [4])))
        assert LABEL_COLUMNS[-1] == "correct_label"
        assert set(issues["correct_label"]) == {""}

    def test_those_of_train_come_from_the_folds(self):
        folds = make_results(
            NAMES, self.flipped(3, []), train_predictions=tabulate("train", *self.flipped(3, [8]), NAMES)
        )
        issues = find_label_issues(make_results(NAMES, self.flipped(3, [4])), folds)
        train = issues[issues["split"] == "train"]
        assert get_numbers(train.to_dict("records")) == [8]
        assert set(issues["split"]) == {"test", "val", "train"}

    def test_a_cross_validation_searches_train_and_val(self):
        predictions = tabulate("x", *self.flipped(3, [4, 50]), NAMES)
        split = ["val" if i % 4 == 0 else "train" for i in range(len(predictions))]
        issues = find_held_out_suspects(predictions, pd.DataFrame({"name": predictions["name"], "split": split}))
        assert dict(zip(get_numbers(issues.to_dict("records")), issues["split"], strict=True)) == {
            4: "val",
            50: "train",
        }

    def test_the_least_probable_label_comes_first(self):
        issues = find_label_issues(make_results(NAMES, self.flipped(3, [4, 50, 77, 90]), self.flipped(3, [9, 100])))
        assert issues["label_probability"].is_monotonic_increasing
        assert issues.index.tolist() == list(range(6))

    def test_sound_labels_are_not_suspected(self):
        issues = find_label_issues(make_results(NAMES, self.flipped(3, [])))
        assert issues.empty
        assert list(issues.columns) == LABEL_COLUMNS

    def test_two_classes_are_enough(self):
        names = ["cat", "NA"]
        issues = find_label_issues(make_results(names, self.flipped(2, [4, 51], names=names)))
        assert sorted(get_numbers(issues[issues["split"] == "test"].to_dict("records"))) == [4, 51]
        assert set(issues["label"]) == {"cat", "NA"}

    def test_a_class_may_have_no_images(self):
        issues = find_label_issues(make_results(NAMES, self.flipped(2, [4, 51]), self.flipped(3, [7])))
        found = {split: sorted(get_numbers(part.to_dict("records"))) for split, part in issues.groupby("split")}
        assert found == {"test": [4, 51], "val": [7]}

    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_a_handful_of_images_is_enough(self, count):
        assert list(find_label_issues(make_results(NAMES, self.flipped(3, [], count=count))).columns) == LABEL_COLUMNS
