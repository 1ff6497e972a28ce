from pipeline.report.sections.refusals import describe_refusals
from tests.pipeline.report.families import make_family


def test_the_score_that_a_family_refuses_by_comes_first():
    said = describe_refusals({"one": make_family(wrong=0.1)}, ["one"])
    assert said["kinds"] == ["noise"]
    assert [(row["score"], row["is_used"], row["alarms"]) for row in said["rows"]] == [
        ("distance", True, 0.05),
        ("confidence", False, 0.04),
    ]
    assert said["rows"][0]["found"] == {"noise": (0.99, 0.9)}
