import re

import pytest

from pipeline.runtime.paths import PLAN
from stages.plan import main
from tests.conftest import ROOT


@pytest.mark.ci
def test_a_plan_is_measured_once_and_then_taken_as_it_is(project, monkeypatch, capsys):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    project.set(sources__scenes__images_per_class=20)
    assert main(["500"]) == 0
    out, err = capsys.readouterr()
    before = PLAN.read_bytes()
    assert out.startswith("plan for 500 minutes, good: efficientnet_lite0, fine-tuned for 4 epochs, 160 px")
    assert out.splitlines()[-1] == "to run it: dvc exp run -S budget.minutes=500"
    assert re.search(r"(?m)^in all  +[\d.]+ (s|min|h)  ", out)
    assert main(["-S", "budget.minutes=500"]) == 0
    assert capsys.readouterr().out == out
    assert PLAN.read_bytes() == before
    assert main(["--settings", "500"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "families=[efficientnet_lite0_fine_tuned]"
    assert "plan for 500 minutes" in err


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "error: budget.minutes is null: expected the minutes of a run, as `python -m stages.plan 15`"),
        (["0"], "error: budget.minutes: expected greater than 0, received 0"),
        (["soon"], "error: budget.minutes: expected a valid number"),
        (["5", "-S", "budget.preset=great"], "error: budget.preset: expected 'fast', 'good' or 'best'"),
        (["5", "--params", "none.yaml"], "error: none.yaml is not here"),
        (
            ["--cuts", "mobilnet_fine_tuned"],
            "error: --cuts: no family is called 'mobilnet_fine_tuned': did you mean mobilenet",
        ),
        (["5", "--cuts"], "error: --cuts plans nothing: expected neither MINUTES nor --settings beside it"),
        (["--cuts", "underfit", "-S", "train.dropout=2"], "error: train.dropout: expected less than or equal to 0.9"),
    ],
)
def test_what_it_cant_plan_is_one_line(words, line, capsys):
    assert main(words) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(line)
    assert err.count("\n") == 1
    assert not PLAN.exists()
