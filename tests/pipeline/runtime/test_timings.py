import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.runtime.files import compute_sha256
from pipeline.runtime.timings import (
    load_last_digits,
    load_readings,
    read_peak_memory,
    record_last_digits,
    record_readings,
    record_seconds,
)
from tests.conftest import ROOT

MODEL = Path("models/underfit.keras")
TIMINGS = Path("metrics/underfit/timings.json")


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    MODEL.parent.mkdir()
    MODEL.write_bytes(b"weights")


@pytest.fixture
def record(monkeypatch):
    """Times a block that takes this many seconds by a clock of its own."""
    now = [0.0]
    monkeypatch.setattr("pipeline.runtime.timings.time.perf_counter", lambda: now[0])

    def time_block(key: str, seconds: float = 1.0) -> None:
        with record_seconds(key, "underfit", MODEL):
            now[0] += seconds

    return time_block


def readings() -> dict[str, Any]:
    return json.loads(TIMINGS.read_text())


class TestSeconds:
    def test_they_are_rounded_to_hundredths(self, record):
        record("train_seconds", 12.3456)
        assert readings()["train_seconds"] == 12.35

    def test_those_of_one_model_are_kept_together(self, record):
        record("train_seconds", 1.0)
        record("evaluate_test_seconds", 2.0)
        assert readings() == {"model": readings()["model"], "train_seconds": 1.0, "evaluate_test_seconds": 2.0}

    def test_later_ones_replace_earlier_ones(self, record):
        record("train_seconds", 1.0)
        record("train_seconds", 2.0)
        assert readings()["train_seconds"] == 2.0

    def test_those_of_another_model_are_dropped(self, record):
        record("train_seconds")
        MODEL.write_bytes(b"other weights")
        record("evaluate_test_seconds")
        assert readings().keys() == {"model", "evaluate_test_seconds"}

    def test_the_model_may_be_written_within_the_block(self):
        MODEL.unlink()
        with record_seconds("train_seconds", "underfit", MODEL):
            MODEL.write_bytes(b"new")
        assert "train_seconds" in readings()

    def test_those_of_processes_that_were_killed_are_added(self, monkeypatch):
        monkeypatch.setattr("pipeline.runtime.timings.time.perf_counter", lambda: 0.0)
        spent = [0.0]
        with record_seconds("train_seconds", "underfit", MODEL, before=lambda: spent[0]):
            spent[0] = 7.0  # as a checkpoint says that is read within the block
        assert readings()["train_seconds"] == 7.0

    def test_a_failure_is_not_timed(self):
        with pytest.raises(ZeroDivisionError), record_seconds("train_seconds", "underfit", MODEL):
            raise ZeroDivisionError
        assert not TIMINGS.exists()

    def test_they_are_loaded_for_the_very_model_only(self, record):
        record("train_seconds", 1.0)
        digest = readings()["model"]
        assert load_readings("underfit", digest) == {"train_seconds": 1.0}
        assert load_readings("underfit", "0" * 64) == {}
        assert load_readings("overfit", digest) == {}

    def test_a_damaged_file_is_replaced(self, record):
        TIMINGS.parent.mkdir(parents=True)
        TIMINGS.write_text('{"model": "ab')
        record("train_seconds")
        assert "train_seconds" in readings()


class TestOtherReadings:
    """Other readings than seconds, such as images per second."""

    def test_they_are_stored_unchanged(self):
        given = {"images_per_second_1": 63.4, "evaluate_peak_mb": 812.0}
        record_readings("underfit", MODEL, given)
        assert readings() == {"model": readings()["model"]} | given
        assert load_readings("underfit", readings()["model"]) == given

    def test_they_are_added_to_the_others_and_replace_only_those_of_the_same_name(self, record):
        record("train_seconds")
        record_readings("underfit", MODEL, {"images_per_second_1": 63.4})
        record_readings("underfit", MODEL, {"images_per_second_1": 71.0, "images_per_second_32": 900.5})
        assert readings().keys() == {"model", "train_seconds", "images_per_second_1", "images_per_second_32"}
        assert readings()["images_per_second_1"] == 71.0

    def test_those_of_another_model_are_dropped(self):
        record_readings("underfit", MODEL, {"images_per_second_1": 63.4})
        MODEL.write_bytes(b"other weights")
        record_readings("underfit", MODEL, {"evaluate_peak_mb": 812.0})
        assert readings().keys() == {"model", "evaluate_peak_mb"}

    def test_without_a_model_nothing_is_recorded(self):
        MODEL.unlink()
        with pytest.raises(FileNotFoundError):
            record_readings("underfit", MODEL, {"images_per_second_1": 63.4})
        assert not TIMINGS.exists()


class TestPeakMemory:
    CODE = "; ".join(  # holds this many MB for a moment, then frees them
        [
            "import sys",
            "from pipeline.runtime.timings import read_peak_memory",
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

    def test_it_is_in_mb_and_includes_what_has_been_freed(self):
        small, large = self.measure(0)[0], self.measure(200)[0]
        assert large - small == pytest.approx(200, abs=20)

    def test_memory_of_the_parent_process_does_not_count(self):
        small, block = self.measure(0)[0], bytearray(b"x") * (300 * 10**6)
        assert self.measure(0)[0] == pytest.approx(small, abs=20)
        assert len(block) == 300 * 10**6  # still held

    def test_reading_it_imports_nothing_heavy(self):
        assert self.measure(0)[1] == "False"

    def test_it_never_falls(self):
        first = read_peak_memory()
        assert read_peak_memory() >= first > 1


class TestLastDigits:
    """What decided them is kept beside the readings, which are numbers."""

    @pytest.fixture
    def say(self, monkeypatch):
        def call(description: str) -> dict[str, str]:
            monkeypatch.setattr("pipeline.runtime.timings.describe_configured", lambda: description)
            record_last_digits("underfit", MODEL)
            return load_last_digits("underfit", compute_sha256(MODEL))

        return call

    def test_each_environment_is_kept_once(self, say):
        say("one")
        say("one")
        assert sorted(say("other").values()) == ["one", "other"]

    def test_readings_stay_and_do_not_show_them(self, say):
        record_readings("underfit", MODEL, {"train_seconds": 2.0})
        say("one")
        record_readings("underfit", MODEL, {"evaluate_peak_mb": 3.0})
        assert load_readings("underfit", compute_sha256(MODEL)) == {"train_seconds": 2.0, "evaluate_peak_mb": 3.0}
        assert list(load_last_digits("underfit", compute_sha256(MODEL)).values()) == ["one"]

    def test_those_of_another_model_are_dropped(self, say):
        say("one")
        MODEL.write_bytes(b"other weights")
        assert load_last_digits("underfit", compute_sha256(MODEL)) == {}
        assert list(say("other").values()) == ["other"]
