"""What the system refused, said in one line."""

import errno
import io
import os
import resource
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.embeddings import EmbeddingWriter
from pipeline.runtime.files import folder_aside, remove, write_aside
from pipeline.runtime.refusals import describe_full_disk, explain, find_full


def caused(error: Exception, cause: BaseException, *, said: bool = True) -> Exception:
    """An error that was raised because of another one, or while it was handled."""
    if said:
        error.__cause__ = cause
    else:
        error.__context__ = cause
    return error


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "error",
    [
        FULL,
        OSError(errno.EDQUOT, "Quota exceeded"),
        OSError("158720 requested and 10208 written"),  # NumPy
        OSError("Can't write data (file write failed: errno = 28, error message = 'No space left on device')"),  # HDF5
        sqlite3.OperationalError("database or disk is full"),
        RuntimeError("a.tfrecord; No space left on device"),  # TensorFlow
        caused(ValueError("can't save"), FULL),
        caused(ValueError("can't save"), FULL, said=False),
        caused(ValueError("can't save"), caused(KeyError("x"), FULL)),
    ],
)
def test_a_full_disk_is_recognised_whoever_says_it(error):
    line = explain(error)
    assert line is not None
    assert line.startswith("the disk is full")
    assert "free some space and run again: finished stages are kept" in line
    assert "stages.doctor` says how much a run needs" in line


@pytest.mark.parametrize(
    "error",
    [MemoryError(), OSError(errno.ENOMEM, "Cannot allocate memory"), RuntimeError("can't start new thread")],
)
def test_too_little_memory_is_recognised(error):
    assert str(explain(error)).startswith("out of memory")


@pytest.mark.parametrize("said", ["attempt to write a readonly database", "unable to open database file"])
def test_a_database_that_cannot_be_written_is_recognised(said):
    line = explain(caused(ValueError("unexpected"), sqlite3.OperationalError(said)))
    assert str(line).startswith("no permission: a disk is read-only, or ")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EROFS, "no permission (a/b): the disk is read-only: mount it writable"),
        (errno.EACCES, "no permission (a/b): change the mode or the owner"),
        (errno.EFBIG, "the file is larger than this user may write (a/b): raise the limit"),
        (errno.EMFILE, "too many open files (a/b): raise the limit"),
        (errno.EIO, "a disk or the network failed (a/b), which said 'Input/output error': check it, or mount it anew"),
        (errno.ESTALE, "a disk or the network failed (a/b), which said "),
        (errno.ETIMEDOUT, "a disk or the network failed (a/b), which said "),
        (errno.ENOTCONN, "a disk or the network failed (a/b), which said "),
    ],
)
def test_other_refusals_say_what_to_do(number, said):
    assert str(explain(OSError(number, "no", "a/b"))).startswith(said)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a bug"),
        OSError(errno.EBADF, "a bug"),
        caused(KeyError("a bug"), FileNotFoundError(errno.ENOENT, "No such file", "a"), said=False),
        caused(KeyError("a bug"), PermissionError(errno.EACCES, "Permission denied", "a")),
    ],
)
def test_a_bug_is_none_even_if_a_missing_file_came_before_it(error):
    assert explain(error) is None


def test_errors_that_cause_each_other_end():
    one, two = ValueError("a"), ValueError("b")
    one.__cause__, two.__cause__ = two, one
    assert explain(one) is None


def test_a_full_disk_is_found_where_an_error_does_not_name_it(monkeypatch, tmp_path):
    rooms = {tmp_path: 0.02}
    monkeypatch.setattr("pipeline.runtime.refusals._measure_room", lambda folder: rooms.get(folder, 1e6))
    assert str(find_full(tmp_path)).startswith(f"the disk is full (0.0 MB free in {tmp_path}): ")
    assert find_full() is None


def test_the_room_that_is_left_is_said_of_the_fullest_place(monkeypatch, tmp_path):
    rooms = {tmp_path: 3e6, Path.cwd(): 2e12}
    monkeypatch.setattr("pipeline.runtime.refusals._measure_room", lambda folder: rooms.get(folder, 1e12) / 1e6)
    assert f"the disk is full (3.0 MB free in {tmp_path}): " in describe_full_disk("", (tmp_path / "not" / "there",))
    assert describe_full_disk("params.yaml").startswith("the disk is full (params.yaml): ")


@pytest.mark.parametrize("aside", [write_aside, folder_aside])
def test_a_full_disk_is_said_with_the_output_that_was_being_written(tmp_path, aside):
    def fill() -> None:
        with aside(tmp_path / "data.csv"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"data\.csv") as caught:
        fill()
    assert f"the disk is full ({tmp_path / 'data.csv'}" in str(explain(caught.value))
    assert list(tmp_path.iterdir()) == []


def test_features_have_the_bytes_of_numpy(tmp_path):
    features, labels = np.random.default_rng(0).normal(size=(5, 3)), np.arange(5)
    EmbeddingWriter(tmp_path, "float32").write("val", 0, [(features[:3], labels[:3]), (features[3:], labels[3:])])
    for name, array in [("val-view000-00000", features.astype("float32")), ("val-labels", labels)]:
        expected = io.BytesIO()
        np.save(expected, array)
        assert (tmp_path / f"{name}.npy").read_bytes() == expected.getvalue()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_features_on_a_full_disk_end_in_one_line(tmp_path, monkeypatch):
    written = tmp_path / "val-view000-00000.npy.partial"
    monkeypatch.setattr("pipeline.runtime.files.remove", lambda path: path == written or remove(path))
    written.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        EmbeddingWriter(tmp_path, "float32").write("val", 0, [(np.zeros((50_000, 3)), np.arange(50_000))])
    assert str(explain(caught.value)).startswith("the disk is full")


def test_a_limit_on_the_size_of_files_is_said(tmp_path):
    code = (
        "from pathlib import Path; from pipeline.runtime.cli import report_errors\n"
        "from pipeline.runtime.files import write_aside\n"
        "def verb():\n"
        "    with write_aside(Path('a.csv')) as partial: partial.write_bytes(bytes(9999))\n"
        "raise SystemExit(report_errors(verb))"
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "error: the file is larger than this user may write (a.csv): raise the limit, `ulimit -f unlimited`\n",
    )
    assert list(tmp_path.iterdir()) == []
