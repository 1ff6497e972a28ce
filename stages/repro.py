"""Runs what has changed, as `dvc repro` does, several stages at a time: python -m stages.repro -j 4.

A family's training waits for its features only, and not for the other families; folds and searches wait for nothing else. The
outputs and what dvc.lock says are those of `dvc repro`. On 2 cores that saves little; it pays from 4 on, or with several GPUs.

With runtime.cluster ray and an address of a cluster, train, evaluate and crossval run on its nodes; search has its trials run
there itself, as prune, preprocess, examine and embed do with their tasks.
"""

import argparse
import logging
import sys
from pathlib import Path

from pipeline.config.reader import load_params
from pipeline.runtime.cli import configure, make_parser, report_errors
from pipeline.runtime.cluster_stages import open_elsewhere
from pipeline.runtime.dvc_command import prepare
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.processes import prefer_own_programs
from pipeline.runtime.side_by_side import choose_workers, load_stages, run_stages

logger = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Reads the command line; returns the exit status."""
    parser = make_parser("repro", __doc__)
    parser.add_argument(
        "stages", metavar="STAGE", nargs="*", help="only these, as train@overfit, and what they depend on"
    )
    parser.add_argument(
        "-j",
        "--jobs",
        type=int,
        metavar="N",
        help="stages at a time; one per GPU, or per runtime.threads cores, of this machine or the cluster, if not given",
    )
    chosen = configure(parser.parse_args(arguments))
    return report_errors(lambda: repro(chosen))


def repro(chosen: argparse.Namespace) -> None:
    if chosen.jobs is not None and chosen.jobs < 1:
        raise PipelineError(f"-j {chosen.jobs}: expected the number of stages to run at a time, 1 or more")
    prefer_own_programs()
    prepare(Path.cwd(), ("repro",), [])
    runtime = load_params().runtime
    stages = load_named(chosen.stages)
    needs = runtime.threads, runtime.devices
    with open_elsewhere(runtime.cluster, runtime.ray_address, *needs) as elsewhere:
        jobs = chosen.jobs or elsewhere.room if elsewhere else choose_workers(*needs, chosen.jobs)
        logger.info("%d stages, up to %d at a time", len(stages), jobs)
        outcome = run_stages(stages, jobs, elsewhere)
    if outcome.failed:
        raise PipelineError(
            f"{', '.join(outcome.failed)} failed, as said above; {len(outcome.left)} stage(s) were not begun; what has ended "
            "is kept, and the same command continues from there"
        )


def load_named(targets: list[str]) -> dict[str, frozenset[str]]:
    from dvc.exceptions import DvcException

    try:
        return load_stages(targets)
    except DvcException as error:
        raise PipelineError(f"{' '.join(targets) or 'dvc.yaml'}: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
