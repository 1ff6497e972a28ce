"""How every verb starts and fails: --help from its docstring, one line instead of a traceback."""

import argparse
import errno
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool

from stages.errors import PipelineError


def run_verb(verb: Callable[[], None], doc: str | None, arguments: list[str] | None = None) -> None:
    """Runs a stage that takes no options but --help. Exits with 1 and one line on stderr where a user can mend it."""
    name = f"python -m {sys.modules['__main__'].__spec__.name}" if sys.modules["__main__"].__spec__ else None
    parser = argparse.ArgumentParser(
        prog=name, description=textwrap.dedent(doc or ""), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args(arguments)
    sys.exit(report_errors(verb))


def report_errors(verb: Callable[[], None]) -> int:
    """Calls `verb`; returns the exit status, having said in one line on stderr what went wrong."""
    try:
        verb()
    except PipelineError as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing half-written was kept", 130)
    except BrokenProcessPool:
        return _fail("a worker process was killed, most likely for want of memory: lower preprocess.num_workers", 1)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = f" while writing {error.filename}" if error.filename else ""
            return _fail(f"the disk is full{where}: free some space and run again; nothing half-written was kept", 1)
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return _fail(f"no permission: {error.filename or error}: change its mode or its owner", 1)
        raise
    return 0


def _fail(message: str, status: int) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return status
