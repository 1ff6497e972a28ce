import numpy as np

from pipeline.report.sections.class_reports import describe_class_reports
from tests.results import make_probabilities, make_results

NAMES = ["cat", "dog"]
LABELS = np.arange(4) % 2


def test_every_family_has_a_report_of_train_and_of_test():
    right, wrong = (make_probabilities(labels, 2) for labels in (LABELS, 1 - LABELS))
    result = make_results(NAMES, (LABELS, wrong), (LABELS, right))  # training is as validation
    said = describe_class_reports({"one": result, "other": result}, ["other", "one"])["class_reports"]
    assert list(said) == ["other", "one"]
    for reports in said.values():
        assert (reports["train"]["accuracy"], reports["test"]["accuracy"]) == (1, 0)
        assert [row["recall"] for row in reports["train"]["classes"]] == [1, 1]
        assert [row["recall"] for row in reports["test"]["classes"]] == [0, 0]
