"""How every verb starts and fails: --help from its docstring, one line instead of a traceback."""

import argparse
import io
import os
import sys
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.lifetime import end_with_dvc
from pipeline.runtime.logging import configure_logging
from pipeline.runtime.refusals import explain
from pipeline.runtime.unseen import show_unseen


def run_verb(verb: Callable[[], None], doc: str | None) -> None:
    """Runs a stage that takes no options but --help. Exits with 1 and one line on stderr where a user can mend it."""
    configure(make_parser(verb.__name__, doc).parse_args())
    sys.exit(report_errors(verb))


def run_family_verb(verb: Callable[[str], None], doc: str | None) -> None:
    """Runs a stage for the family that the command line names; the verb checks that there is such a family."""
    parser = make_parser(verb.__name__, doc)
    parser.add_argument("family", metavar="FAMILY", help="a name under recipes in params.yaml")
    arguments = configure(parser.parse_args(read_words(verb.__name__)))
    sys.exit(report_errors(lambda: verb(arguments.family)))


def read_words(verb: str, count: int = 1) -> list[str]:
    """The words of the command line; where DVC runs a stage of this name and there are none, the item of its matrix instead.

    So no value of params.yaml is in a command that a shell reads: DVC quotes nothing that it puts there. count: the words that
    an item has, with dashes between them, such as overfit-3 of crossval@overfit-3.
    """
    stage, _, item = os.environ.get("DVC_STAGE", "").rpartition("dvc.yaml:")[2].partition("@")
    return sys.argv[1:] or (["--", *item.split("-", count - 1)] if stage == verb and item else [])


def make_parser(verb: str, doc: str | None) -> argparse.ArgumentParser:
    """A parser with --verbose, and --help from a verb's docstring."""
    parser = argparse.ArgumentParser(
        prog=f"python -m stages.{verb}",
        description=doc,
        epilog="All settings are in params.yaml.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="say more about the work, on stderr")
    return parser


def file_to_write(text: str) -> Path:
    """The type of an argument that names a file to write: refused before the work if it can't be one."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"expected the name of a file, received a folder: {text!r}")
    if blocked := next((str(above) for above in path.parents if above.exists() and not above.is_dir()), None):
        raise argparse.ArgumentTypeError(f"{blocked!r} is a file: expected a folder, for {text!r}")
    return path


def configure(arguments: argparse.Namespace) -> argparse.Namespace:
    """Sets up logging as a command line of `make_parser` asks for, and an end where DVC ends; returns it."""
    configure_logging(verbose=arguments.verbose)
    end_with_dvc()
    return arguments


def report_errors(verb: Callable[[], None]) -> int:
    """Calls `verb`; returns the exit status, having said in one line on stderr what went wrong."""
    try:
        verb()
    except PipelineError as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing half-written was kept", 130)
    except BrokenProcessPool:
        return _fail(
            "a worker process ended before its answer: killed, probably out of memory, or crashed; close other programs, "
            "or, in preprocess and examine, lower preprocess.num_workers",
            1,
        )
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        return _fail(message, 1)
    return 0


def report_answers(verb: Callable[[], None]) -> int:
    """The same for a verb that prints answers: names of any bytes can be printed, and a reader that has seen enough, as `head`
    has, is no error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return report_errors(verb)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # takes what Python flushes at exit
        return 0


def _fail(message: str, status: int) -> int:
    print(f"error: {show_unseen(' '.join(message.split()))}", file=sys.stderr, flush=True)
    return status
