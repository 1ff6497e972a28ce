"""What the program says of its work: one line per event on stderr. stdout is for answers that other programs read."""

import logging
import os
import sys
from typing import TextIO

from pipeline.runtime.unseen import show_unseen

# Whose lines are shown; those of libraries only from a warning on. "__main__" is the verb that is running.
_OWN = ("pipeline", "stages", "__main__")
LEVEL_VARIABLE = "IMAGE_PIPELINE_LOG"


class _StderrHandler(logging.StreamHandler):
    """Writes to whatever sys.stderr is when a line is written, so that tests and progress bars may replace it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr


class _Formatter(logging.Formatter):
    """The message alone, as a person reads it; from a warning on with its level before it. No name controls the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        text = show_unseen(super().format(record))
        return f"{record.levelname.lower()}: {text}" if record.levelno >= logging.WARNING else text


def configure_logging(*, verbose: bool = False) -> None:
    """Shows INFO and above, or the level that IMAGE_PIPELINE_LOG names (debug, info, warning, error); verbose: DEBUG."""
    name = "DEBUG" if verbose else os.environ.get(LEVEL_VARIABLE, "info").upper()
    level = logging.getLevelNamesMapping().get(name, logging.INFO)
    root = logging.getLogger()
    if not any(isinstance(handler, _StderrHandler) for handler in root.handlers):
        handler = _StderrHandler()
        handler.setFormatter(_Formatter())
        root.addHandler(handler)
    for logger in _OWN:
        logging.getLogger(logger).setLevel(level)
