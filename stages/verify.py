"""Runs stages again under other conditions and says of each whether its bytes are those of dvc.lock.

They run in a copy of the workspace, uncommitted code and parameters included: another path, one core instead of all, another
number of workers, locale, time zone, umask and hash seed. Each reads what dvc.lock says that those before it have written, and
so is judged by itself. The workspace, its git and its cache stay as they are. The exit status is 1 unless all agree.
"""

import argparse
import logging
import sys
from pathlib import Path

from pipeline.config.reader import load_params
from pipeline.runtime.cli import configure, make_parser, report_answers
from pipeline.runtime.dvc_facts import find_cache
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.unseen import show_unseen
from pipeline.verification.conditions import choose_conditions, on_one_core
from pipeline.verification.objects import Cache
from pipeline.verification.rerun import Rerun, describe_verdict, summarize
from pipeline.verification.scratch import open_scratch
from pipeline.verification.steps import choose_steps, load_steps

logger = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Reads the command line; returns the exit status."""
    parser = make_parser("verify", __doc__)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="such as train@overfit, or train for all families")
    parser.add_argument("--keep", action="store_true", help="leave the copy, and say where it is")
    chosen = configure(parser.parse_args(arguments))
    return report_answers(lambda: verify(chosen))


def verify(chosen: argparse.Namespace) -> None:
    """Prints a line for each stage, and one over all; raises PipelineError unless all agree."""
    project, conditions = Path.cwd(), choose_conditions(load_params().preprocess.num_workers)
    with open_scratch(project, keep=chosen.keep) as scratch:
        steps = load_steps(scratch)
        named = choose_steps(steps, chosen.stages)
        logger.info("%s", conditions)
        rerun = Rerun(project, scratch, Cache(find_cache(project)), conditions)
        verdicts = []
        with on_one_core():
            for verdict in rerun.run_all(steps, named):
                print(show_unseen(describe_verdict(verdict)), flush=True)
                verdicts.append(verdict)
        if chosen.keep:
            print(f"the copy: {scratch}")
    if any(verdict.fault for verdict in verdicts):
        raise PipelineError(summarize(verdicts))
    print(summarize(verdicts))


if __name__ == "__main__":
    sys.exit(main())
