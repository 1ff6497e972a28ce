import json

import pytest

from pipeline.config.sections import Evaluate
from pipeline.data.manifest import save_table
from pipeline.evaluation.measures import pick_measure
from pipeline.report.choice import find_chosen
from pipeline.runtime.errors import PipelineError
from tests.pipeline.report.families import NAMES, find, make_family

FAMILIES = {
    "lucky": make_family(wrong=0.0, val_wrong=0.5),
    "solid": make_family(wrong=0.2, val_wrong=0.1, seed=1),
    "poor": make_family(wrong=0.9, seed=2),
}
IMAGES = dict.fromkeys(NAMES, 10)


@pytest.fixture
def evaluations(tmp_path):
    for family, result in FAMILIES.items():
        (tmp_path / family).mkdir()
        (tmp_path / family / "metrics.json").write_text(json.dumps(result.metrics))
        save_table(result.val_predictions, tmp_path / family / "val_predictions.csv")
    return tmp_path


def make_rules(**changes) -> Evaluate:
    return Evaluate(
        **{"outside_path": None, "choose_by": None, "costs": {}, "label_folds": 0, "coverage": 0.9, "false_alarms": 0.1}
        | changes
    )


def test_it_is_the_family_that_the_report_chooses(evaluations):
    assert find_chosen(list(FAMILIES), IMAGES, make_rules(), evaluations) == find(FAMILIES).chosen == "solid"


@pytest.mark.parametrize(
    "rules", [make_rules(choose_by="log_loss"), make_rules(choose_by="cost", costs={NAMES[0]: 9.0})], ids=str
)
def test_by_whatever_measure(evaluations, rules):
    assert pick_measure(rules.choose_by, IMAGES) == rules.choose_by
    assert find_chosen(["lucky", "poor"], IMAGES, rules, evaluations) == "lucky"


def test_a_family_that_is_not_evaluated_is_said(evaluations):
    with pytest.raises(PipelineError, match=r"other/metrics\.json is not here: .* run `dvc repro evaluate@other`"):
        find_chosen(["solid", "other"], IMAGES, make_rules(), evaluations)
