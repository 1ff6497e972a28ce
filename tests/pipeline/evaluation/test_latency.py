import subprocess
import sys
from collections.abc import Callable, Iterable
from itertools import chain, repeat

import numpy as np
import pytest

from pipeline.evaluation.latency import measure_rate, read_peak_memory
from tests.conftest import ROOT


class Model:
    """What is measured: notes each call, and moves the clock on by the seconds that it is said to take."""

    def __init__(self, seconds: Iterable[float]) -> None:
        self.now, self.given = 0.0, []
        self._seconds = iter(seconds)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.given.append(images)
        self.now += next(self._seconds)
        return images


@pytest.fixture
def make_model(monkeypatch) -> Callable[..., Model]:
    """A model by whose clock it is measured. seconds: of each call, or of one after the other."""

    def make(seconds: float | Iterable[float]) -> Model:
        model = Model(repeat(seconds) if isinstance(seconds, float) else seconds)
        monkeypatch.setattr("pipeline.evaluation.latency.time.perf_counter", lambda: model.now)
        return model

    return make


class TestRate:
    @pytest.mark.parametrize(
        ("seconds", "batch_size", "rate"), [(0.125, 1, 8.0), (0.125, 32, 256.0), (0.5, 1, 2.0), (0.03, 1, 33.3)]
    )
    def test_it_is_in_images_a_second(self, make_model, seconds, batch_size, rate):
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
    def test_it_takes_as_many_calls_as_a_steady_figure_needs_after_two_that_do_not_count(
        self, make_model, seconds, calls
    ):
        model = make_model(seconds)
        measure_rate(model, 8, 1)
        assert len(model.given) == 2 + calls

    def test_the_first_two_do_not_count(self, make_model):
        assert measure_rate(make_model(chain([9.0, 9.0], repeat(0.125))), 8, 1) == 8.0

    def test_a_hiccup_does_not_either(self, make_model):
        assert measure_rate(make_model(chain([0.125, 0.125, 9.0, 0.125, 0.125, 9.0], repeat(0.125))), 8, 1) == 8.0

    @pytest.mark.parametrize(("image_size", "batch_size"), [(8, 1), (16, 32)])
    def test_the_model_gets_batches_of_pictures_as_it_does_in_use(self, make_model, image_size, batch_size):
        model = make_model(0.125)
        measure_rate(model, image_size, batch_size)
        assert {(images.shape, images.dtype) for images in model.given} == {
            ((batch_size, image_size, image_size, 3), np.dtype("uint8"))
        }
        assert np.ptp(model.given[0]) > 100

    def test_the_real_clock_gives_a_figure_too(self):
        assert measure_rate(lambda images: images, 8, 1) > 0


class TestPeakMemory:
    CODE = "; ".join(  # holds so many MB for a moment, and lets go of them
        [
            "import sys",
            "from pipeline.evaluation.latency import read_peak_memory",
            "block = bytearray(b'x') * (int(sys.argv[1]) * 10**6)",
            "del block",
            "print(read_peak_memory(), 'tensorflow' in sys.modules or 'pandas' in sys.modules)",
        ]
    )

    def measure(self, megabytes: int) -> tuple[float, str]:
        done = subprocess.run(
            [sys.executable, "-c", self.CODE, str(megabytes)], cwd=ROOT, capture_output=True, text=True, check=True
        )
        peak, heavy = done.stdout.split()
        return float(peak), heavy

    def test_it_is_in_mb_and_remembers_what_has_been_freed(self):
        little, much = self.measure(0)[0], self.measure(200)[0]
        assert much - little == pytest.approx(200, abs=20)

    def test_what_the_process_held_that_started_this_one_does_not_count(self):
        little, block = self.measure(0)[0], bytearray(b"x") * (300 * 10**6)
        assert self.measure(0)[0] == pytest.approx(little, abs=20)
        assert len(block) == 300 * 10**6  # still there

    def test_reading_it_imports_nothing_heavy(self):
        assert self.measure(0)[1] == "False"

    def test_it_never_falls(self):
        first = read_peak_memory()
        assert read_peak_memory() >= first > 1
