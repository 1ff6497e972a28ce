"""On a clone with a plan, so that nothing is measured."""

import json
import sys
from pathlib import Path

import pytest

from pipeline.config.reader import load_params
from pipeline.doctor import plan as module
from pipeline.doctor.plan import make_plan
from pipeline.doctor.rungs import TUNED
from pipeline.doctor.speed import Speed
from pipeline.runtime.dvc_budget import ask_plan, describe_end, has_budget
from pipeline.runtime.dvc_command import add_plan, prepare
from pipeline.runtime.errors import PipelineError
from tests.clone import make_clone, run
from tests.pipeline.doctor.measured import make_trials

SPEED = Speed(TUNED, start=2.0, begin=2.0, embed=0.01, head=0.001, tail=0.004, num_features=1904)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a plan for 9 minutes."""
    folder = make_clone(tmp_path_factory.mktemp("budget") / "clone")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(module, "measure_speeds", lambda _: ({TUNED: SPEED}, ""))
        patch.setattr(module, "try_pictures", lambda *_: make_trials(10))
        make_plan({"budget.minutes": 9})
    return folder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("budget: {minutes: 9}", True),
        ("budget: {minutes: null}", False),
        ("budget: 3", False),
        ("[1]", False),
        ("a: [", False),
    ],
)
def test_a_budget_is_seen_and_what_is_none_is_left_to_the_check(tmp_path, text, expected):
    (tmp_path / "params.yaml").write_text(text)
    assert has_budget(tmp_path / "params.yaml") is expected


@pytest.mark.ci
def test_dvc_runs_with_what_the_plan_sets(clone, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["dvc", "exp", "run", "-S", "budget.minutes=9"])
    before = (clone / "params.yaml").read_bytes()
    assert prepare(clone, ("exp", "run"), ["budget.minutes=9"]) is True
    settings = sys.argv[6::2]
    assert settings == json.loads((clone / "metrics" / "plan.json").read_text())["settings"]
    assert sys.argv[5::2] == ["-S"] * len(settings)
    assert settings[0] == f"families=[{TUNED}]"
    assert "plan for 9 minutes, good" in capsys.readouterr().err
    assert (clone / "params.yaml").read_bytes() == before, "which DVC writes"


@pytest.mark.ci
def test_beside_the_workspace_it_plans_too_and_says_no_time_at_the_end(clone, monkeypatch):
    run(["git", "config", "user.name", "me"], clone)
    run(["git", "config", "user.email", "me@example.invalid"], clone)
    monkeypatch.setattr(sys, "argv", ["dvc", "exp", "run", "--queue", "-S", "budget.minutes=9"])
    assert prepare(clone, ("exp", "run"), ["budget.minutes=9"]) is False
    assert f"families=[{TUNED}]" in sys.argv


def test_without_a_budget_nothing_is_added(clone, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["dvc", "exp", "run", "-S", "train.dropout=0.1"])
    assert prepare(clone, ("exp", "run"), ["train.dropout=0.1"]) is False
    assert len(sys.argv) == 5


@pytest.mark.ci
def test_what_a_plan_decides_is_not_set_beside_it(clone):
    with pytest.raises(PipelineError, match=r"^budget.minutes decides families: expected no -S families beside it"):
        add_plan(clone, ["budget.minutes=9", "families=[overfit]"])


def test_a_sweep_has_no_single_plan(clone):
    with pytest.raises(PipelineError, match=r"a budget takes one set of parameters at a time: .* received 2 points"):
        add_plan(clone, ["budget.minutes=9", "train.dropout=0.1,0.2"])


def test_why_there_is_no_plan_is_one_line(clone, tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text((clone / "params.yaml").read_text().replace("{minutes: null", "{minutes: -1"))
    with pytest.raises(PipelineError, match=r"^budget.minutes: expected greater than 0, received -1$"):
        ask_plan(clone, file, [])


def test_repro_runs_parameters_with_their_plan_and_refuses_a_budget_without(clone):
    file = clone / "params.yaml"
    before = file.read_text()
    try:
        file.write_text(
            before.replace("{minutes: null, preset: good, plan: null}", "{minutes: 9, preset: good, plan: null}")
        )
        with pytest.raises(PipelineError, match=r"^budget.minutes is 9, .*`dvc exp run -S budget.minutes=9` makes one"):
            prepare(clone, ("repro",), [])
        file.write_text(file.read_text().replace("plan: null", "plan: good-9-0123abcd"))
        assert load_params(file).budget.plan == "good-9-0123abcd"
        assert prepare(clone, ("repro",), []) is False
    finally:
        file.write_text(before)


def test_the_end_says_how_long_it_took(clone, tmp_path):
    assert describe_end(clone, 120).startswith("took 2.0 minutes of 9; planned: ")
    assert describe_end(tmp_path, 120) == ""
