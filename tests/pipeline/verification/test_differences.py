import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.verification.differences import describe_first_difference


def compare(folder: Path, mine: bytes, theirs: bytes, suffix: str = ".csv") -> str:
    for name, content in (("mine", mine), ("theirs", theirs)):
        (folder / name).write_bytes(content)
    return describe_first_difference(folder / "mine", folder / "theirs", suffix)


def save_array(folder: Path, name: str, array: np.ndarray) -> bytes:
    np.save(folder / f"{name}.npy", array)
    return (folder / f"{name}.npy").read_bytes()


def save_archive(folder: Path, **members: bytes) -> bytes:
    with zipfile.ZipFile(folder / "archive", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return (folder / "archive").read_bytes()


class TestTexts:
    def test_the_first_line_that_differs_is_shown(self, tmp_path):
        said = compare(tmp_path, b"a,b\n1,2\n3,4\n5,6\n", b"a,b\n1,2\n3,5\n5,7\n")
        assert said == "line 3: '3,4' instead of '3,5'"

    def test_of_a_long_line_the_part_that_differs(self, tmp_path):
        said = compare(tmp_path, b"x" * 500 + b"new" + b"y" * 500, b"x" * 500 + b"old" + b"y" * 500)
        assert said.startswith("line 1: …'xxxx")
        assert "xnewy" in said
        assert "xoldy" in said
        assert len(said) < 150

    @pytest.mark.parametrize(
        ("mine", "theirs", "said"),
        [(b"a\nb\n", b"a\n", "line 2: 'b' instead of nothing"), (b"", b"a\n", "line 1: nothing instead of 'a'")],
    )
    def test_a_line_more_or_less(self, tmp_path, mine, theirs, said):
        assert compare(tmp_path, mine, theirs) == said

    @pytest.mark.parametrize(
        ("mine", "theirs", "said"),
        [(b"a\n", b"a", "byte 1"), (b"a\0b", b"a\0c", "byte 2"), (b"ab\xff", b"ab\xfe", "byte 2")],
    )
    def test_what_is_no_line_of_text_is_a_byte(self, tmp_path, mine, theirs, said):
        assert compare(tmp_path, mine, theirs, ".tfrecord") == said

    def test_a_byte_far_into_a_file_is_counted_from_its_start(self, tmp_path):
        start = b"\0" * (3 << 20)
        assert compare(tmp_path, start + b"a", start + b"b") == "byte 3,145,728"


class TestArrays:
    def test_the_first_row_and_the_largest_difference(self, tmp_path):
        old = np.arange(12, dtype="float32").reshape(4, 3)
        new = old.copy()
        new[1, 2] += 0.25
        new[3, 0] -= 0.5
        said = compare(tmp_path, save_array(tmp_path, "new", new), save_array(tmp_path, "old", old), ".npy")
        assert said == "row 1 (2 of 4 rows), by 0.5 at most"

    def test_not_a_number_is_the_same_as_not_a_number(self, tmp_path):
        old, new = np.array([np.nan, 1.0, 2.0]), np.array([np.nan, 1.0, 3.0])
        said = compare(tmp_path, save_array(tmp_path, "new", new), save_array(tmp_path, "old", old), ".npy")
        assert said == "row 2 (1 of 3 rows), by 1 at most"

    def test_another_shape_or_kind_is_said(self, tmp_path):
        new, old = np.zeros((2, 3), "float16"), np.zeros((2, 4), "float32")
        said = compare(tmp_path, save_array(tmp_path, "new", new), save_array(tmp_path, "old", old), ".npy")
        assert said == "float16 (2, 3) instead of float32 (2, 4)"

    def test_a_zero_of_another_sign_is_a_byte(self, tmp_path):
        new, old = np.array([-0.0]), np.array([0.0])
        said = compare(tmp_path, save_array(tmp_path, "new", new), save_array(tmp_path, "old", old), ".npy")
        assert said == "byte 135"

    def test_a_damaged_one_is_a_byte(self, tmp_path):
        assert compare(tmp_path, b"half", save_array(tmp_path, "old", np.zeros(3)), ".npy") == "byte 0"


class TestModels:
    def test_the_first_member_that_differs(self, tmp_path):
        new = save_archive(tmp_path, config=b"same", weights=b"abcd", z=b"1")
        old = save_archive(tmp_path, config=b"same", weights=b"abxd", z=b"2")
        assert compare(tmp_path, new, old, ".keras") == "member weights: byte 2"

    def test_a_member_more_or_less(self, tmp_path):
        more, fewer = save_archive(tmp_path, a=b"1", b=b"2"), save_archive(tmp_path, a=b"1")
        assert compare(tmp_path, more, fewer, ".keras") == "member b is new"
        assert compare(tmp_path, fewer, more, ".keras") == "member b is missing"

    def test_one_that_is_no_archive_is_a_byte(self, tmp_path):
        assert compare(tmp_path, b"PK", save_archive(tmp_path, a=b"1"), ".keras") == "byte 2"
