"""What the page says of each class: the whole classification report of every family, for train and for test."""

from typing import Any

from pipeline.evaluation.results import Results
from pipeline.report.class_reports import make_class_report


def describe_class_reports(results: dict[str, Results], families: list[str]) -> dict[str, Any]:
    """Family to split to its report, see `make_class_report`. families: the best first."""
    return {"class_reports": {family: _describe(results[family]) for family in families}}


def _describe(result: Results) -> dict[str, Any]:
    metrics = result.metrics
    return {
        "train": make_class_report(result.classes_train, metrics["train_accuracy"]),
        "test": make_class_report(result.classes, metrics["test_accuracy"]),
    }
