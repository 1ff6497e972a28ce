from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.data.examination import NEAR_COLUMNS
from pipeline.evaluation.results import Results
from pipeline.report.findings import Findings
from pipeline.report.label_issues import LABEL_COLUMNS, find_label_issues
from pipeline.report.sections.data_issues import describe_data_issues, measure_without
from tests.pipeline.report.families import find
from tests.pipeline.report.pictures import CAT, DOG, NAMES, album, decode, make_result
from tests.results import guess, make_probabilities, make_results, tabulate


class TestWithout:
    def test_accuracy_is_that_of_the_images_that_are_left(self):
        labels = np.array([CAT] * 10)
        predictions = tabulate("test", labels, make_probabilities([CAT] * 6 + [DOG] * 4, 3), NAMES)
        names = predictions["name"].tolist()
        # of the near duplicates two of three are hits; of the suspects none; one image is both
        duplicates, suspects = {names[0], names[1], names[9]}, {names[8], names[9]}
        assert measure_without(predictions, suspects, duplicates) == {
            "all": 0.6,
            "without_near": pytest.approx(4 / 7),
            "without_issues": pytest.approx(6 / 8),
            "without_both": pytest.approx(4 / 6),
        }

    def test_where_no_image_is_left_there_is_no_accuracy(self):
        predictions = make_result((CAT, CAT, 0.9), (CAT, DOG, 0.9)).predictions
        first, second = predictions["name"]
        assert measure_without(predictions, {first}, {second}) == {
            "all": 0.5, "without_near": 1, "without_issues": 0, "without_both": None,
        }  # fmt: skip

    def test_names_of_other_splits_do_not_matter(self):
        predictions = make_result((CAT, CAT, 0.9), (CAT, DOG, 0.9)).predictions
        without = measure_without(predictions, {"val/cat/0.png"}, {"val/cat/1.png"})
        assert set(without.values()) == {0.5}


class TestSection:
    def make_issues(self, *names: tuple[str, str]) -> pd.DataFrame:
        rows = [(name, split, "cat", "dog", 0.1, 0.9, "") for name, split in names]
        return pd.DataFrame(rows, columns=LABEL_COLUMNS)

    def results(self, result: Results | None = None) -> dict[str, Results]:
        return {"one": result or make_result((CAT, CAT, 0.9), (CAT, CAT, 0.9), (CAT, CAT, 0.9))}

    def find(self, issues: pd.DataFrame, result: Results | None = None) -> Findings:
        return replace(find(self.results(result)), issues=issues)

    def test_pictures_that_are_only_similar_change_no_accuracy(self):
        columns = ("test", "cat", "train/cat/7.png", "cat")
        rows = [("test/cat/0.png", *columns, 0.899), ("test/cat/1.png", *columns, 0.9)]
        said = describe_data_issues(
            self.find(self.make_issues()), pd.DataFrame(rows, columns=NEAR_COLUMNS), self.results(), album
        )
        assert (said["num_near"]["test"], said["num_similar"]["test"]) == (1, 1)
        assert len(said["near"]) == 2

    def test_they_are_counted_by_split_and_shown_with_pictures(self):
        issues = self.make_issues(("test/cat/0.png", "test"), *[(f"val/cat/{i}.png", "val") for i in range(10)])
        near = pd.DataFrame(
            [
                ("test/cat/1.png", "test", "cat", "train/cat/7.png", "cat", 0.99),
                ("val/cat/3.png", "val", "cat", "train/dog/7.png", "dog", 0.97),
            ],
            columns=NEAR_COLUMNS,
        )
        result = make_result((CAT, DOG, 0.9), (CAT, CAT, 0.9), (CAT, CAT, 0.9))
        said = describe_data_issues(self.find(issues, result), near, {"one": result}, album)
        assert said["num_issues"] == {"test": 1, "val": 10, "train": 0}
        assert said["num_near"] == {"test": 1, "val": 1, "train": 0}
        assert said["num_near_other_label"] == 1
        assert len(said["issues"]) == 8
        assert said["without"] == [
            {"family": "one", "all": pytest.approx(2 / 3), "without_near": 0.5, "without_issues": 1, "without_both": 1}
        ]

    def test_near_duplicates_are_side_by_side(self):
        near = pd.DataFrame([("test/a.png", "test", "cat", "train/b.png", "cat", 0.99)], columns=NEAR_COLUMNS)
        said = describe_data_issues(self.find(self.make_issues()), near, self.results(), album)
        pair = decode(said["near"][0]["picture"]).astype(int)
        assert pair.shape == (8, 16, 3)
        assert abs(pair[:, :8] - album("test/a.png")).max() <= 2
        assert abs(pair[:, 8:] - album("train/b.png")).max() <= 2

    def test_without_issues_nothing_is_shown(self):
        nothing = pd.DataFrame(columns=NEAR_COLUMNS)
        said = describe_data_issues(self.find(self.make_issues()), nothing, self.results(), album)
        assert (said["issues"], said["near"], said["num_near_other_label"]) == ([], [], 0)


def test_a_good_family_is_not_made_worse_by_its_own_suspects():
    """As the note on the page says: accuracy without suspected labels is too high."""
    labels = np.arange(150) % 3
    result = make_results(NAMES, (labels, guess(labels, 3, wrong=0.1, confidence=0.95)))
    suspects = set(find_label_issues(result).query("split == 'test'")["name"])
    without = measure_without(result.predictions, suspects, set())
    assert suspects
    assert without["without_issues"] >= without["all"]
