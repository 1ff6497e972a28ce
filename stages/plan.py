"""Plans a run within a time: python -m stages.plan 15 [-S budget.preset=best]. `dvc exp run -S budget.minutes=15` does so, too.

Measures how fast this machine embeds and trains, prints what would be trained in so many minutes, from download to report, and
how to run it, and writes metrics/plan.json. While that is for the same budget and as many pictures, it is taken as it is, on
any machine, and nothing is measured: delete it for a new plan. docs/budget.md says how a plan is made.

python -m stages.plan --cuts [FAMILY] plans nothing: it prints what each cut for fine-tuning takes, on disk and in each epoch.
"""

import argparse
import sys
from pathlib import Path

from pipeline.doctor.commands import parse_setting, write_command
from pipeline.doctor.cut_plan import plan_cuts
from pipeline.doctor.plan import make_plan
from pipeline.doctor.rungs import TUNED
from pipeline.runtime.cli import configure, make_parser, report_answers
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import PARAMS


def main(arguments: list[str] | None = None) -> int:
    """Reads the command line; returns the exit status."""
    parser = make_parser("plan", __doc__)
    parser.add_argument("minutes", nargs="?", metavar="MINUTES", help="instead of budget.minutes")
    parser.add_argument(
        "-S", action="append", default=[], metavar="NAME=VALUE", help="another value of a parameter, as of dvc exp run"
    )
    parser.add_argument("--params", type=Path, default=PARAMS, metavar="FILE", help="instead of params.yaml")
    parser.add_argument("--settings", action="store_true", help="print what a plan sets, and the table on stderr")
    parser.add_argument(
        "--cuts",
        nargs="?",
        const=TUNED,
        metavar="FAMILY",
        help=f"what each cut of its backbone takes; {TUNED} if none is named",
    )
    chosen = configure(parser.parse_args(arguments))
    return report_answers(lambda: show_cuts(chosen) if chosen.cuts else plan(chosen))


def show_cuts(chosen: argparse.Namespace) -> None:
    if chosen.minutes or chosen.settings:
        raise PipelineError("--cuts plans nothing: expected neither MINUTES nor --settings beside it")
    print("\n".join(plan_cuts(chosen.cuts, dict(map(parse_setting, chosen.S)), chosen.params)))


def plan(chosen: argparse.Namespace) -> None:
    given = [*([f"budget.minutes={chosen.minutes}"] if chosen.minutes else []), *chosen.S]
    found = make_plan(dict(map(parse_setting, given)), chosen.params)
    print("\n".join(found.lines), file=sys.stderr if chosen.settings else sys.stdout)
    print("\n".join(found.settings) if chosen.settings else f"to run it: {write_command({}, given)}")


if __name__ == "__main__":
    sys.exit(main())
