"""Compares experiments: python -m stages.compare [EXP…] [--out FILE]. A table, and one HTML file that needs nothing else.

Without names: the experiments on HEAD, and the workspace; with --all-commits, those on other commits too. Families are ranked
by validation accuracy; runs that differ in train.seed alone are folded into mean ± standard deviation. Runs that were tested on
other classes or images are in sets of their own, never ranked against each other; named side by side, they are refused.
"""

import argparse
import logging
import sys

from pipeline.report.comparison import describe_sets, load_experiments
from pipeline.report.experiment_tables import fold_seeds, make_run_table
from pipeline.report.experiments import open_experiments
from pipeline.report.page import render_page
from pipeline.report.sections.experiments import describe_comparison
from pipeline.runtime.cli import configure, file_to_write, make_parser, report_answers
from pipeline.runtime.files import write_aside
from pipeline.runtime.paths import METRICS
from pipeline.runtime.unseen import show_unseen

logger = logging.getLogger(__name__)

OUT = METRICS / "compare.html"
_MOST_ROWS = 50  # printed; the page has all


def main(arguments: list[str] | None = None) -> int:
    """Reads the command line; returns the exit status."""
    parser = make_parser("compare", __doc__)
    parser.add_argument("experiments", nargs="*", metavar="EXP", help="names of experiments, commits, branches or tags")
    parser.add_argument(
        "-A", "--all-commits", action="store_true", help="also the experiments on other commits than HEAD"
    )
    parser.add_argument("--out", type=file_to_write, default=OUT, metavar="FILE", help=f"the page to write ({OUT})")
    chosen = configure(parser.parse_args(arguments))
    return report_answers(lambda: compare(chosen))


def compare(chosen: argparse.Namespace) -> None:
    """Writes the page and prints the table."""
    with open_experiments() as store:
        experiments = load_experiments(store, chosen.experiments, everywhere=chosen.all_commits)
        page = render_page("compare.html", **describe_comparison(experiments, store))
    with write_aside(chosen.out) as partial:
        partial.write_text(page, encoding="utf-8")
    table = fold_seeds(make_run_table(experiments))
    print(show_unseen(table.head(_MOST_ROWS).to_string(index=False)))
    if len(table) > _MOST_ROWS:
        print(f"and {len(table) - _MOST_ROWS:,} more rows, in the page")
    if warning := describe_sets(experiments):
        logger.warning(warning)
    print(f"page: {chosen.out}")


if __name__ == "__main__":
    sys.exit(main())
