"""What is said after DVC has failed."""

import errno
import logging
import sqlite3

import pytest

from pipeline.runtime.dvc_failures import advise, advising, expect_new_outputs


def failing(said: str, cause: Exception | None = None) -> Exception:
    error = ValueError(said)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            failing("failed to reproduce", OSError(errno.ENOSPC, "No space left on device", "dvc.lock")),
            "the disk is full (dvc",
        ),
        (
            failing("failed", OSError(errno.EROFS, "Read-only", "models")),
            "no permission (models): the disk is read-only",
        ),
        (failing("failed", PermissionError(errno.EACCES, "Permission denied", "models")), "no permission (models): "),
        (failing("failed to run: python -m stages.train a, exited with -9"), "it was killed (signal 9)"),
        (failing("failed to run: python -m stages.train a, exited with 137"), "it was killed (signal 9)"),
        (failing("failed", failing("failed to run: x, exited with -15")), "it was ended by somebody"),
        (failing("failed to run: x, exited with -6"), "it crashed (signal 6)"),
    ],
)
def test_what_dvc_does_not_say_is_added(error, said):
    assert str(advise(error)).startswith(said)


@pytest.mark.parametrize(
    "error",
    [
        failing("failed to run: x, exited with 1"),  # the stage said it
        failing("failed to run: x, exited with 255"),
        failing("output 'a' does not exist", FileNotFoundError(errno.ENOENT, "No such file", "a")),
        failing("a bug of DVC's"),
        None,
    ],
)
def test_nothing_is_added_to_what_is_said_already(error):
    assert advise(error, "failed") is None


def test_an_error_of_its_database_on_a_full_disk_is_explained(monkeypatch):
    monkeypatch.setattr("pipeline.runtime.refusals._measure_room", lambda _: 0.01)
    assert str(advise(sqlite3.OperationalError("disk I/O error"))).startswith("the disk is full (0.0 MB free in ")


def test_the_first_advice_comes_after_dvcs_own_lines(capsys):
    logger = logging.getLogger("dvc.repo")
    with advising():
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "dvc.lock")
        except OSError:
            logger.exception("failed")
        logger.error("failed again: exited with -9")
        logger.info("exited with -6")
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: the disk is full (dvc.lock")
    assert "run again" in last
    with advising():
        logger.error("something else")
    assert "run again" not in capsys.readouterr().err


def test_outputs_that_a_run_is_about_to_make_are_no_warning(caplog):
    logger = logging.getLogger("dvc_data.index.checkout")
    before = list(logger.filters)
    try:
        expect_new_outputs()
        logger.warning("No file hash info found for '%s'. It won't be created.", "models/new.keras")
        logger.warning("Some of the cache files do not exist")
    finally:
        logger.filters[:] = before
    assert caplog.messages == ["Some of the cache files do not exist"]
