import pytest

from pipeline.config.reader import load_params
from pipeline.doctor.measure import measure_wait
from pipeline.doctor.speed import Request, measure_speeds
from tests.conftest import ROOT


@pytest.mark.usefixtures("tensorflow")
@pytest.mark.parametrize(
    ("family", "fields"),
    [
        ("linear_svm", {"product", "sweep"}),
        ("underfit", {"begin", "step", "parameters"}),
        pytest.param(
            "efficientnet_lite0",
            {"begin", "embed", "head", "product", "num_features", "parameters"},
            marks=pytest.mark.ci,
        ),
    ],
)
def test_a_family_of_each_kind_is_measured(project, family, fields, monkeypatch):
    from pipeline.doctor import steps

    monkeypatch.setattr(steps, "_PER_FAMILY", 0.0)
    project.set(sources__scenes__image_size=32, recipes__efficientnet_lite0__input_size=32, train__batch_size=4)
    speed = steps.measure_family(family, load_params(), 3)
    found = {name for name in vars(speed) if name not in ("family", "start", "peak") and getattr(speed, name)}
    assert found == fields
    assert all(getattr(speed, name) > 0 for name in found)


@pytest.fixture
def request_(project, monkeypatch):  # noqa: ARG001 - its params.yaml is read
    """A request for a process that finds this code."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def make(*families, seconds=60.0, **overrides):
        return Request(list(families), {name.replace("__", "."): v for name, v in overrides.items()}, seconds, 3)

    return make


@pytest.mark.ci
def test_a_process_of_its_own_measures_until_the_time_is_over(request_):
    speeds, trouble = measure_speeds(request_("linear_svm", "underfit", "overfit", seconds=0.05))
    assert trouble == ""
    assert "overfit" not in speeds
    assert all(speed.start > 0 and speed.peak > 10**8 for speed in speeds.values())


def test_a_wait_for_the_cores_is_a_factor_of_one_or_more():
    assert measure_wait(0.01) >= 1.0


def test_why_it_failed_is_one_line(request_):
    speeds, trouble = measure_speeds(request_("underfit", train__dropout=5.0))
    assert speeds == {}
    assert "train.dropout: expected less than or equal to 0.9" in trouble
    assert "\n" not in trouble


@pytest.mark.ci
@pytest.mark.usefixtures("tensorflow")
def test_of_a_family_with_a_cut_so_are_the_activations_there(project, monkeypatch):
    from pipeline.doctor import steps

    monkeypatch.setattr(steps, "_PER_FAMILY", 0.0)
    project.set(sources__scenes__image_size=32, recipes__efficientnet_lite0__input_size=64)
    speed = steps.measure_family("efficientnet_lite0_fine_tuned", load_params(), 3)
    assert speed.cut_numbers == 2 * 2 * 192
    assert speed.tail > 0
    assert speed.stem_share == pytest.approx(0.75, abs=0.05)
