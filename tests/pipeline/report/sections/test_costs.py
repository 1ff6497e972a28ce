import numpy as np

from pipeline.report.sections.costs import describe_costs
from tests.pipeline.report.families import NAMES, find, make_family


def describe(costs: dict | None):
    results = {"good": make_family(wrong=0.1), "poor": make_family(wrong=0.4)}
    return describe_costs(find(results, costs=costs), results, NAMES)


def test_where_all_errors_cost_the_same_there_is_nothing_to_say():
    assert describe(None) is None


def test_every_family_has_what_its_answers_cost_the_best_first():
    said = describe({NAMES[0]: 3})
    assert said is not None
    assert [row["family"] for row in said["rows"]] == ["good", "poor"]
    assert said["rows"][0]["probable"] < said["rows"][1]["probable"]
    assert said["confusion"].startswith("<svg")


def test_an_error_so_dear_that_nothing_else_is_answered_changes_most_answers():
    said = describe({NAMES[0]: 10_000})
    assert said is not None
    for row in said["rows"]:
        assert row["changed"] > 0
        assert row["least"] <= row["probable"]
        assert np.isfinite(row["p"])
