import json

import pytest

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import CHOSEN
from stages.choose import choose
from tests.tfrecords import make_coloured_split, write_records


@pytest.fixture
def evaluated(project):
    """Of two families, the first is better on test, and the other one on val."""
    project.set(families=["underfit", "linear_svm"])
    write_records(class_names=["red", "green", "blue"], train=make_coloured_split(6, 16))
    for family, val, test in (("underfit", 0.5, 0.9), ("linear_svm", 0.7, 0.6)):
        folder = project.folder / "data/evaluations" / family
        folder.mkdir(parents=True)
        metrics = {"val_accuracy": val, "val_loss": 1.0, "val_macro_f1": 1 - val, "test_accuracy": test}
        (folder / "metrics.json").write_text(json.dumps(metrics))
    return project


def read() -> str:
    return json.loads(CHOSEN.read_text())["family"]


def test_validation_chooses(evaluated):  # noqa: ARG001
    choose()
    assert read() == "linear_svm"


def test_by_the_measure_that_the_user_names(evaluated):
    evaluated.set(evaluate__choose_by="macro_f1")
    choose()
    assert read() == "underfit"


def test_a_family_that_is_not_evaluated_is_said(evaluated):
    evaluated.set(families=["underfit", "overfit"])
    with pytest.raises(PipelineError, match="run `dvc repro evaluate@overfit`"):
        choose()


def test_evaluations_of_families_that_are_gone_are_removed_before_dvc_hashes_the_folder(evaluated):
    evaluated.set(families=["underfit"])
    choose()
    assert [path.name for path in (evaluated.folder / "data/evaluations").iterdir()] == ["underfit"]
