import json
from collections.abc import Callable, Iterable
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import pytest

from pipeline.evaluation.latency import measure_rate, record_costs


class Model:
    """A model that records its calls, and advances the clock by the seconds that each is to take."""

    def __init__(self, seconds: Iterable[float]) -> None:
        self.now, self.given = 0.0, []
        self._seconds = iter(seconds)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.given.append(images)
        self.now += next(self._seconds)
        return images


@pytest.fixture
def make_model(monkeypatch) -> Callable[..., Model]:
    """A model and its clock. seconds: of every call, or of one after the other."""

    def make(seconds: float | Iterable[float]) -> Model:
        model = Model(repeat(seconds) if isinstance(seconds, float) else seconds)
        monkeypatch.setattr("pipeline.evaluation.latency.time.perf_counter", lambda: model.now)
        return model

    return make


class TestRate:
    @pytest.mark.parametrize(
        ("seconds", "batch_size", "rate"), [(0.125, 1, 8.0), (0.125, 32, 256.0), (0.5, 1, 2.0), (0.03, 1, 33.3)]
    )
    def test_it_is_in_images_per_second(self, make_model, seconds, batch_size, rate):
        assert measure_rate(make_model(seconds), 8, batch_size) == rate

    @pytest.mark.parametrize(
        ("seconds", "calls"),
        [
            (10.0, 5),  # five at least
            (0.125, 5),
            (0.0625, 7),  # 0.4 s at least
            (0.015625, 26),
            (0.0009765625, 200),  # two hundred at most
        ],
    )
    def test_it_takes_as_many_calls_as_a_stable_median_needs_after_two_for_warm_up(self, make_model, seconds, calls):
        model = make_model(seconds)
        measure_rate(model, 8, 1)
        assert len(model.given) == 2 + calls

    def test_the_warm_up_does_not_count(self, make_model):
        assert measure_rate(make_model(chain([9.0, 9.0], repeat(0.125))), 8, 1) == 8.0

    def test_a_single_slow_call_does_not_count(self, make_model):
        assert measure_rate(make_model(chain([0.125, 0.125, 9.0, 0.125, 0.125, 9.0], repeat(0.125))), 8, 1) == 8.0

    @pytest.mark.parametrize(("image_size", "batch_size"), [(8, 1), (16, 32)])
    def test_the_model_gets_batches_of_images(self, make_model, image_size, batch_size):
        model = make_model(0.125)
        measure_rate(model, image_size, batch_size)
        assert {(images.shape, images.dtype) for images in model.given} == {
            ((batch_size, image_size, image_size, 3), np.dtype("uint8"))
        }
        assert np.ptp(model.given[0]) > 100


def test_speed_and_memory_are_recorded_with_the_model(make_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("model.keras").write_bytes(b"weights")
    record_costs("underfit", make_model(0.125), Path("model.keras"), 8)
    readings = json.loads(Path("metrics/underfit/timings.json").read_text())
    assert readings.keys() == {
        "model",
        "images_per_second_1",
        "images_per_second_32",
        "evaluate_peak_mb",
        "last_digits",
    }
    assert (readings["images_per_second_1"], readings["images_per_second_32"]) == (8.0, 256.0)
    assert readings["evaluate_peak_mb"] > 1
