import pytest

from pipeline.config.budget import load_planned, name_plan
from pipeline.config.sections import Budget
from pipeline.runtime.errors import PipelineError


def test_without_a_budget_there_is_no_plan(project):
    assert load_planned().budget.minutes is None
    project.set(budget__preset="best")
    assert load_planned().budget.preset == "best"


def test_a_params_yaml_from_before_has_none(project):
    text = (project.folder / "params.yaml").read_text()
    head, rest = text.split("budget:", 1)
    (project.folder / "params.yaml").write_text(head + "data:" + rest.split("\ndata:", 1)[1])
    assert load_planned().budget == Budget()


def test_a_plan_is_named_after_its_budget(project):
    budget = Budget(minutes=7.5, preset="fast")
    assert name_plan(budget, "0123456789") == "fast-7.5-01234567"
    project.set(budget__minutes=7.5, budget__preset="fast", budget__plan=name_plan(budget, "0123456789"))
    assert load_planned().budget.minutes == 7.5


@pytest.mark.parametrize("plan", [None, "good-15-01234567", "fast-1-01234567", "fast-155-01234567"])
def test_a_budget_without_its_own_plan_is_refused_with_the_command_that_makes_one(project, plan):
    project.set(budget__minutes=15, budget__preset="fast", budget__plan=plan)
    with pytest.raises(PipelineError, match=r"^budget.minutes is 15, .*`dvc exp run -S budget.minutes=15` makes one"):
        load_planned()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("minutes", 0, "greater than 0"),
        ("minutes", "soon", "a valid number"),
        ("preset", "great", "'fast', 'good' or 'best'"),
    ],
)
def test_a_wrong_budget_is_one_line(project, name, value, expected):
    project.set(**{f"budget__{name}": value})
    with pytest.raises(PipelineError, match=rf"^budget.{name}: expected .*{expected}, received {value!r}"):
        load_planned()
