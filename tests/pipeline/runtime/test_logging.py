import logging

import pytest

from pipeline.runtime.logging import LEVEL_VARIABLE, configure_logging


@pytest.fixture(autouse=True)
def _as_it_was():
    """Logging is global: what a test configures goes with it."""
    root, loggers = logging.getLogger(), [logging.getLogger(name) for name in ("pipeline", "stages", "__main__")]
    handlers, levels = root.handlers[:], [logger.level for logger in loggers]
    yield
    root.handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def say_all() -> None:
    logger = logging.getLogger("pipeline.data.raw")
    logger.debug("opened %s", "a.tar")
    logger.info("12 files")
    logger.warning("1 is damaged")
    logging.getLogger("urllib3").info("connection made")


def test_work_is_described_on_stderr_and_stdout_stays_for_answers(capsys):
    configure_logging()
    say_all()
    said = capsys.readouterr()
    assert said.err == "12 files\nwarning: 1 is damaged\n"
    assert said.out == ""


def test_verbose_shows_debug_lines_of_our_own_modules_only(capsys):
    configure_logging(verbose=True)
    say_all()
    assert capsys.readouterr().err == "opened a.tar\n12 files\nwarning: 1 is damaged\n"


def test_the_environment_names_the_level(capsys, monkeypatch):
    monkeypatch.setenv(LEVEL_VARIABLE, "warning")
    configure_logging()
    say_all()
    assert capsys.readouterr().err == "warning: 1 is damaged\n"


def test_an_unknown_level_means_info(capsys, monkeypatch):
    monkeypatch.setenv(LEVEL_VARIABLE, "loud")
    configure_logging()
    say_all()
    assert capsys.readouterr().err.startswith("12 files\n")


def test_configured_twice_each_line_is_written_once(capsys):
    configure_logging()
    configure_logging()
    say_all()
    assert capsys.readouterr().err.count("12 files") == 1


@pytest.mark.parametrize("name", ["\x1b[31mred", "\x07", "\u202egpj", "a\rb", "\x9b2J"])
def test_no_name_controls_the_terminal(capsys, name):
    configure_logging()
    logging.getLogger("pipeline.anything").warning("%s is damaged", name)
    said = capsys.readouterr().err
    assert name not in said
    assert said.encode("utf-8").startswith(b"warning: ")


def test_nor_do_bytes_that_are_no_text():
    """Formatted, not logged: pytest would keep the record, and its workers can't send it."""
    configure_logging()
    record = logging.LogRecord("pipeline.anything", logging.WARNING, __file__, 1, "%s is damaged", ("\udcff",), None)
    own = [
        handler for handler in logging.getLogger().handlers if type(handler).__module__ == "pipeline.runtime.logging"
    ]
    assert [handler.format(record) for handler in own] == ["warning: \\udcff is damaged"]


def test_tables_keep_their_lines(capsys):
    configure_logging()
    logging.getLogger("pipeline.anything").info("timings:\n\ta\tb")
    assert capsys.readouterr().err == "timings:\n\ta\tb\n"
