"""Runs one of the five published studies as published: python -m stages.study A. --print only says what it would run.

A study has parts, of which one is run at a time: models (in the workspace, with the report), tuning and, of A, grid (both
beside the workspace, as experiments; `python -m stages.compare` compares them). docs/studies.md says what each study is.
"""

import argparse
import logging
import shlex
import subprocess
import sys

from pipeline.config.since_commit import describe_changes
from pipeline.config.studies import STUDIES, Pictures, list_lines
from pipeline.runtime.cli import configure, make_parser, report_answers, report_errors
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.processes import prefer_own_programs

logger = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Reads the command line; returns the exit status."""
    parser = make_parser("study", __doc__)
    parser.add_argument(
        "study", metavar="STUDY", help=", ".join(f"{key}: {value.title}" for key, value in STUDIES.items())
    )
    parser.add_argument(
        "data", metavar="PATH", nargs="?", help="pictures instead of the study's own; B's are not published"
    )
    parser.add_argument("--part", default="models", help="models (default), tuning (A, C, D) or grid (A)")
    parser.add_argument("--outside", metavar="FOLDER", help="of B: pictures that are in no split")
    parser.add_argument("--print", action="store_true", help="print the commands and run nothing")
    parser.add_argument(
        "-S", action="append", default=[], metavar="NAME=VALUE", help="one more setting, as of dvc exp run"
    )
    chosen = configure(parser.parse_args(arguments))
    return (report_answers if chosen.print else report_errors)(lambda: study(chosen))


def study(chosen: argparse.Namespace) -> None:
    pictures = Pictures(chosen.data or None, chosen.outside or None)
    commands = [line.words for line in list_lines(chosen.study.upper(), chosen.part, pictures)]
    commands = [[*command, *(word for setting in chosen.S for word in ("-S", setting))] for command in commands]
    if not chosen.print:
        check_params()
    prefer_own_programs()
    for number, command in enumerate(commands, 1):
        print(shlex.join(command), flush=True)
        if chosen.print:
            continue
        logger.info("study %s, %s: command %d of %d", chosen.study.upper(), chosen.part, number, len(commands))
        status = subprocess.run(command, check=False).returncode
        if status:
            raise PipelineError(
                f"command {number} of {len(commands)} ended with status {status}: what it says is above; what is finished is "
                "kept, and the same command continues from there"
            )


def check_params() -> None:
    """Raises PipelineError where params.yaml is not as committed: what an earlier `dvc exp run` left there would count too."""
    if changes := describe_changes():
        raise PipelineError(f"a study changes params.yaml as committed: {changes}, or commit it")


if __name__ == "__main__":
    sys.exit(main())
