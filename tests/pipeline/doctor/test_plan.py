import json
from dataclasses import replace

import pytest

from pipeline.config.reader import check_params, read_params
from pipeline.doctor import plan as module
from pipeline.doctor.minutes import Estimate, estimate_run
from pipeline.doctor.plan import choose, make_plan, scale
from pipeline.doctor.plan_file import load_plan
from pipeline.doctor.rungs import LADDERS, SIZE, TUNED
from pipeline.doctor.speed import Speed
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import PLAN
from tests.pipeline.doctor.measured import make_trials

# An image takes 10 ms to embed and 4 ms in fine-tuning.
SPEED = Speed(TUNED, start=2.0, begin=2.0, embed=0.01, head=0.001, tail=0.004, num_features=1904, stem_share=0.75)


@pytest.fixture
def measured():
    """What was to be measured."""
    return []


@pytest.fixture
def plan(project, monkeypatch, one_core, measured):  # noqa: ARG001
    """Makes a plan for 770 scenes, on a machine of that speed; how often it was measured."""

    def measure(request):
        measured.append(request)
        return {TUNED: SPEED, "efficientnet_lite0": replace(SPEED, tail=0.0)}, ""

    monkeypatch.setattr(module, "measure_speeds", measure)
    monkeypatch.setattr(module, "try_pictures", lambda *_: make_trials(10))

    def make(**values):
        found = make_plan({f"budget.{name}": value for name, value in values.items()})
        return found, len(measured)

    return make


def test_a_large_budget_takes_the_best_rung(plan):
    found, _ = plan(minutes=30)
    assert found.settings[:-1] == LADDERS["good"][0].settings
    assert found.settings[-1].startswith("budget.plan=good-30-")
    assert found.predicted < 30
    assert not any("better" in line for line in found.lines)


def test_less_time_is_less_training_and_says_what_comes_next(plan):
    all_of_it, _ = plan(minutes=30)
    less, _ = plan(minutes=0.99 * all_of_it.predicted)
    assert less.predicted <= 0.99 * all_of_it.predicted
    assert less.settings[:-1] == LADDERS["good"][1].settings
    assert less.lines[-1].startswith("better, but ")
    assert str(LADDERS["good"][0]) in less.lines[-1]


def test_the_same_budget_and_pictures_measure_nothing_and_give_the_same_bytes(plan):
    first, _ = plan(minutes=2)
    before = PLAN.read_bytes()
    assert plan(minutes=2) == (first, 1)
    assert PLAN.read_bytes() == before
    assert plan(minutes=3)[1] == 2
    PLAN.unlink()
    again, count = plan(minutes=2)
    assert (again.settings, count) == (first.settings, 3)


def test_a_smaller_side_is_measured_only_where_no_larger_one_fits(plan, measured):
    sides = list(dict.fromkeys(rung.measured_size for rung in LADDERS["best"]))
    plan(minutes=60, preset="best")
    assert [request.overrides[f"recipes.{TUNED}.input_size"] for request in measured] == sides[:1]
    measured.clear()
    with pytest.raises(PipelineError):
        plan(minutes=0.01, preset="best")
    assert [request.overrides[f"recipes.{TUNED}.input_size"] for request in measured] == sides


def test_other_pictures_are_another_plan(plan, project):
    plan(minutes=2)
    project.set(sources__scenes__images_per_class=200)
    assert plan(minutes=2)[1] == 2


def test_a_parameter_that_changes_no_time_keeps_the_plan(plan, project):
    plan(minutes=2)
    project.set(train__dropout=0.3)
    assert plan(minutes=2)[1] == 1


def test_what_a_plan_sets_keeps_it_too(plan, project):
    first, _ = plan(minutes=2)
    project.set(families=["efficientnet_lite0"], embed__views=0, budget__minutes=2.0, budget__plan="good-2-x")
    assert plan(minutes=2) == (first, 1)


@pytest.mark.parametrize("preset", LADDERS)
def test_too_small_a_budget_says_the_least(plan, preset):
    with pytest.raises(
        PipelineError, match=r"^budget.minutes 0.01 is too small for anything: expected ([\d.]+) or more"
    ):
        plan(minutes=0.01, preset=preset)
    assert not PLAN.exists()


def test_the_least_that_it_says_is_enough(plan):
    with pytest.raises(PipelineError) as caught:
        plan(minutes=0.01)
    least = float(str(caught.value).partition("expected ")[2].split()[0])
    assert "frozen" in plan(minutes=least)[0].lines[0]


def test_without_a_budget_there_is_no_plan(plan):
    with pytest.raises(PipelineError, match=r"^budget.minutes is null: expected the minutes of a run"):
        plan()


def test_pictures_that_only_a_download_can_count_are_said(plan, project):
    project.set(data__source="archive", data__path="https://example.invalid/pictures.zip")
    with pytest.raises(PipelineError, match="which only a download can tell"):
        plan(minutes=5)


def test_pictures_that_cant_be_read_are_said(plan, project):
    project.set(data__source="folder", data__path="/nowhere")
    with pytest.raises(PipelineError, match="/nowhere"):
        plan(minutes=5)


def test_a_measurement_that_fails_is_said(plan, monkeypatch):
    monkeypatch.setattr(module, "measure_speeds", lambda _: ({}, "no memory"))
    with pytest.raises(PipelineError, match=r"^the measurement for a plan ended before its end: no memory"):
        plan(minutes=5)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"key": 1}'])
def test_a_file_that_is_no_plan_is_made_anew(plan, content):
    PLAN.parent.mkdir()
    PLAN.write_text(content)
    found, _ = plan(minutes=2)
    assert load_plan(found.key) == found
    assert json.loads(PLAN.read_text())["settings"] == found.settings


def test_the_first_rung_that_fits_is_chosen():
    ladder = LADDERS["fast"][:3]
    times = dict(zip(ladder, (300.0, 100.0, 50.0), strict=True))
    (rung, _), better = choose(ladder, lambda rung: Estimate(data=times[rung]), 2)
    assert (rung, better[0]) == (ladder[1], ladder[0])


def test_pictures_whose_mirror_images_are_wrong_are_not_averaged_with_them(plan, project):
    found, _ = plan(minutes=60, preset="best")
    assert "evaluate.tta=flip" in found.settings
    assert "mirror images averaged" in found.lines[0]
    project.set(train__augment__flip="none")
    PLAN.unlink()
    found, _ = plan(minutes=60, preset="best")
    assert "evaluate.tta=flip" not in found.settings
    assert "for 8 epochs, 192 px" in found.lines[0]


def test_features_of_a_smaller_side_take_less_by_the_area_and_small_maps_as_long_as_before():
    small, whole = scale(SPEED, 0.5), scale(SPEED)
    assert (small.embed, small.tail, small.head) == (pytest.approx(whole.embed / 4), whole.tail, whole.head)


def test_minutes_are_slower_than_the_seconds_that_were_measured():
    whole = scale(SPEED)
    assert SPEED.embed < whole.embed < 1.2 * SPEED.embed
    assert SPEED.tail < whole.tail < 1.2 * SPEED.tail


@pytest.mark.parametrize("name", LADDERS)
def test_a_ladder_becomes_cheaper_from_its_first_rung_to_its_last(project, name):  # noqa: ARG001
    def estimate(rung):
        params = check_params(read_params(), rung.overrides)
        speeds = dict.fromkeys(rung.families, scale(SPEED, rung.size / SIZE))
        return estimate_run(params, {"train": 40_000, "val": 10_000, "test": 10_000}, 10, make_trials(10), speeds, 2)

    seconds = [estimate(rung).seconds for rung in LADDERS[name]]
    assert seconds[0] == max(seconds)
    assert seconds[-1] == min(seconds)
