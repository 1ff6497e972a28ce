"""What to do where DVC itself fails: it says what happened, as [Errno 28] after all stages have ended, and no more.

It logs its errors. Here is one more listener, which adds a line after them; and a filter of warnings where nothing failed.
"""

import errno
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.runtime.refusals import explain, find_full

_STATUS = re.compile(r"exited with (-?\d+)")
_SAID = (errno.ENOENT,)  # DVC's own words are enough
_SHELL = 128  # a shell adds it to the signal that ended a command
_BY_SIGNAL = {
    2: "it was interrupted: run again",
    6: "it crashed (signal 6), perhaps as memory ran out: close other programs, and run again",
    9: "it was killed (signal 9), probably as memory ran out: close other programs, and run again; finished stages are kept",
    11: "it crashed (signal 11): run it alone to see where, with `python -X faulthandler`",
    15: "it was ended by somebody (signal 15): run again; finished stages are kept",
}


class _Listener(logging.Handler):
    """Keeps the first line of advice."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.advice: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.advice is None:
            error = record.exc_info[1] if record.exc_info else None
            self.advice = advise(error, record.getMessage())


def advise(error: BaseException | None, said: str = "") -> str | None:
    """What to do about an error of DVC's; None if it says so itself."""
    causes: list[BaseException] = []
    while error is not None and error not in causes:
        causes.append(error)
        error = error.__cause__ or error.__context__
    for text in (said, *map(str, causes)):
        if found := _STATUS.search(text):
            status = int(found[1])
            return _BY_SIGNAL.get(-status if status < 0 else status - _SHELL)
    places = (_find_cache(), Path(os.environ.get("DVC_SITE_CACHE_DIR", "/var/tmp")))  # noqa: S108 - as DVC does
    refused = (explain(cause, *places) for cause in causes if getattr(cause, "errno", None) not in _SAID)
    return next(filter(None, refused), None) or (find_full(*places) if causes else None)


def _find_cache() -> Path:
    from dvc.config import Config, ConfigError

    try:
        return Path(Config.from_cwd().get("cache", {}).get("dir") or ".dvc/cache")
    except (ConfigError, OSError, AttributeError):
        return Path(".dvc/cache")


@contextmanager
def advising() -> Iterator[None]:
    """While DVC runs; says the advice at the end."""
    listener, logger = _Listener(), logging.getLogger("dvc")
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)
        if listener.advice:
            print(f"error: {listener.advice}", file=sys.stderr)


def expect_new_outputs() -> None:
    """Of a family that the last run did not have, DVC warns for each output that it can't be checked out ("No file hash info
    found"), before it runs what makes it. In a run that is no news: not said."""
    for module in ("dvc_data.index.checkout", "dvc_data.hashfile.checkout"):
        logging.getLogger(module).addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("No file hash info found")
