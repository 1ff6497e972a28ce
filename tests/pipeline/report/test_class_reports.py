import numpy as np
import pytest
from sklearn.metrics import classification_report

from pipeline.evaluation.metrics import make_class_table
from pipeline.report.class_reports import make_class_report
from tests.results import guess

NAMES = ["cat", "dog", "emu", "fox"]


@pytest.mark.parametrize("counts", [(20, 20, 20, 20), (50, 7, 2, 1), (30, 30, 0, 5)], ids=["equal", "unequal", "empty"])
def test_it_is_the_report_of_scikit_learn(counts):
    labels = np.repeat(np.arange(4), counts)
    probabilities = guess(labels, 4, wrong=0.4)
    predicted = probabilities.argmax(axis=1)
    accuracy = float((predicted == labels).mean())
    report = make_class_report(make_class_table(labels, probabilities, NAMES), accuracy)
    expected = classification_report(
        labels, predicted, labels=range(4), target_names=NAMES, output_dict=True, zero_division=0
    )
    for row in report["classes"]:
        check(row, expected[row["label"]])
        assert row["support"] == expected[row["label"]]["support"]
    check(report["macro"], expected["macro avg"])
    check(report["weighted"], expected["weighted avg"])
    assert (report["accuracy"], report["support"]) == (accuracy, len(labels))


def check(row: dict, expected: dict) -> None:
    for name, key in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
        assert row[name] == pytest.approx(expected[key], abs=1e-6)
