"""What a person should know before a run."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pipeline.runtime.errors import PipelineError


@dataclass(frozen=True)
class Finding:
    """text: what is wrong, and what to change, in one line. stops: whether a run would end there."""

    text: str
    stops: bool = False


def find_refusal(check: Callable[[], object]) -> list[Finding]:
    """Calls `check`; what it refuses, as a finding."""
    try:
        check()
    except PipelineError as error:
        return [Finding(str(error), stops=True)]
    except OSError as error:
        return [Finding(f"{error.filename}: {error.strerror}: change the mode or the owner", stops=True)]
    return []


@contextmanager
def collect_warnings(logger: str) -> Iterator[list[Finding]]:
    """What a package's modules warn of within the block, each once, as findings and not on stderr. logger: its name."""
    found: list[Finding] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            finding = Finding(record.getMessage())
            if finding not in found:
                found.append(finding)

    source, collector = logging.getLogger(logger), Collector(logging.WARNING)
    source.addHandler(collector)
    propagates, source.propagate = source.propagate, False
    try:
        yield found
    finally:
        source.removeHandler(collector)
        source.propagate = propagates
