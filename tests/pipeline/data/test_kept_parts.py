from pathlib import Path

import numpy as np
import pytest

from pipeline.data.kept_parts import NOTHING_KEPT, open_parts

NUMBERS = {"a": np.arange(6, dtype=np.float16).reshape(2, 3), "empty": np.zeros((0, 4), np.int64)}
REST = [["猫/\ud800.png", 1, 0.1, True, None], {"reason": ""}]


def test_a_part_comes_back_as_it_was_with_the_types_of_its_numbers(tmp_path):
    open_parts(tmp_path / "measured", "key").save("one", NUMBERS, REST)
    loaded = open_parts(tmp_path / "measured", "key").load("one")
    assert loaded is not None
    arrays, rest = loaded
    assert rest == REST
    assert arrays.keys() == NUMBERS.keys()
    for name, array in NUMBERS.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)


def test_one_that_was_not_saved_is_none(tmp_path):
    assert open_parts(tmp_path / "measured", "key").load("one") is None


def test_parts_of_another_key_are_gone(tmp_path):
    open_parts(tmp_path / "measured", "key").save("one", NUMBERS)
    assert open_parts(tmp_path / "measured", "other").load("one") is None
    assert open_parts(tmp_path / "measured", "key").load("one") is None


def test_without_a_key_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parts = open_parts(Path("measured"), None)
    parts.save("one", NUMBERS)
    assert parts.load("one") is None
    parts.remove()
    assert list(tmp_path.iterdir()) == []
    assert parts is NOTHING_KEPT


def test_removed_they_leave_nothing(tmp_path):
    parts = open_parts(tmp_path / "measured", "key")
    parts.save("one", NUMBERS)
    parts.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left", [0, 100, -30])
def test_a_part_that_is_cut_off_counts_as_none(tmp_path, left):
    parts = open_parts(tmp_path / "measured", "key")
    parts.save("one", NUMBERS, REST)
    file = next((tmp_path / "measured.partial").glob("*.npz"))
    file.write_bytes(file.read_bytes()[:left])
    assert parts.load("one") is None


def test_objects_that_could_run_code_are_neither_written_nor_read(tmp_path):
    parts = open_parts(tmp_path / "measured", "key")
    with pytest.raises(ValueError, match="allow_pickle"):
        parts.save("one", {"a": np.array([print], object)})
    np.savez(tmp_path / "measured.partial" / "two.npz", a=np.array([print], object), rest=np.zeros(2, np.uint8))
    assert parts.load("two") is None
