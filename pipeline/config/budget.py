"""The time that a run may take, as a parameter: `budget`. What to do with it is a plan, which `dvc exp run` makes before DVC
begins (pipeline.doctor.plan) and sets as parameters, so that results depend on parameters alone."""

from pathlib import Path

from pipeline.config.reader import load_params
from pipeline.config.sections import Budget, Params
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import PARAMS


def name_plan(budget: Budget, digest: str) -> str:
    """What `budget.plan` says of a plan with this digest for this budget, such as good-15-3f9a0c61."""
    return f"{budget.preset}-{budget.minutes:g}-{digest[:8]}"


def load_planned(file: Path = PARAMS) -> Params:
    """As `load_params`. Raises PipelineError, too, for a budget without a plan, or with one for another budget."""
    params = load_params(file)
    budget = params.budget
    if budget.minutes is not None and not (budget.plan or "").startswith(name_plan(budget, "")):
        raise PipelineError(
            f"budget.minutes is {budget.minutes:g}, for which parameters have no plan: expected one in budget.plan, received "
            f"{budget.plan or 'null'}; `dvc exp run -S budget.minutes={budget.minutes:g}` makes one and runs it"
        )
    return params
