import json
import time
from pathlib import Path

import pytest

from pipeline.runtime.timings import load_readings, record_readings, record_seconds

MODEL = Path("models/underfit.keras")
TIMINGS = Path("metrics/underfit/timings.json")


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    MODEL.parent.mkdir()
    MODEL.write_bytes(b"weights")


def record(key: str, seconds: float = 0.0) -> None:
    with record_seconds(key, "underfit", MODEL):
        time.sleep(seconds)


def readings() -> dict:
    return json.loads(TIMINGS.read_text())


def test_a_reading_is_in_seconds():
    record("train_seconds", 0.05)
    assert 0.05 <= readings()["train_seconds"] < 5


def test_readings_of_one_model_stand_together():
    record("train_seconds")
    record("evaluate_test_seconds")
    assert readings().keys() == {"model", "train_seconds", "evaluate_test_seconds"}


def test_a_later_reading_takes_the_place_of_an_earlier_one():
    record("train_seconds", 0.05)
    record("train_seconds")
    assert readings()["train_seconds"] < 0.05


def test_readings_of_another_model_are_forgotten():
    record("train_seconds")
    MODEL.write_bytes(b"other weights")
    record("evaluate_test_seconds")
    assert readings().keys() == {"model", "evaluate_test_seconds"}


def test_the_model_may_be_made_while_the_clock_runs():
    MODEL.unlink()
    with record_seconds("train_seconds", "underfit", MODEL):
        MODEL.write_bytes(b"new")
    assert "train_seconds" in readings()


def test_a_failure_is_not_timed():
    with pytest.raises(ZeroDivisionError), record_seconds("train_seconds", "underfit", MODEL):
        raise ZeroDivisionError
    assert not TIMINGS.exists()


def test_readings_are_shown_for_the_very_model_only():
    record("train_seconds")
    digest = readings()["model"]
    assert load_readings("underfit", digest).keys() == {"train_seconds"}
    assert load_readings("underfit", "0" * 64) == {}
    assert load_readings("overfit", digest) == {}


def test_a_damaged_file_is_no_obstacle():
    TIMINGS.parent.mkdir(parents=True)
    TIMINGS.write_text('{"model": "ab')
    record("train_seconds")
    assert "train_seconds" in readings()


class TestOtherReadings:
    """Of another kind than seconds, such as images a second."""

    def test_they_stand_as_they_are_given(self):
        record_readings("underfit", MODEL, {"images_per_second_1": 63.4, "evaluate_peak_mb": 812.0})
        given = {"images_per_second_1": 63.4, "evaluate_peak_mb": 812.0}
        assert readings() == {"model": readings()["model"]} | given
        assert load_readings("underfit", readings()["model"]) == given

    def test_they_are_added_to_what_is_there_and_replace_their_own_name_only(self):
        record("train_seconds")
        record_readings("underfit", MODEL, {"images_per_second_1": 63.4})
        record_readings("underfit", MODEL, {"images_per_second_1": 71.0, "images_per_second_32": 900.5})
        assert readings().keys() == {"model", "train_seconds", "images_per_second_1", "images_per_second_32"}
        assert readings()["images_per_second_1"] == 71.0

    def test_those_of_another_model_are_forgotten(self):
        record_readings("underfit", MODEL, {"images_per_second_1": 63.4})
        MODEL.write_bytes(b"other weights")
        record_readings("underfit", MODEL, {"evaluate_peak_mb": 812.0})
        assert readings().keys() == {"model", "evaluate_peak_mb"}

    def test_without_the_model_there_is_nothing_to_record_for(self):
        MODEL.unlink()
        with pytest.raises(FileNotFoundError):
            record_readings("underfit", MODEL, {"images_per_second_1": 63.4})
        assert not TIMINGS.exists()
