"""Compares experiments: python -m stages.compare [EXP…] [--out FILE]. A table, and one HTML file that needs nothing else.

Without names: the experiments that started from this commit, and the workspace. Families are ranked by validation accuracy;
runs that differ in train.seed alone fold into mean ± standard deviation.
"""

import argparse
import sys
from pathlib import Path

from pipeline.report.page import render_page
from pipeline.report.sections.experiments import (
    describe_comparison,
    fold_seeds,
    list_experiments,
    load_experiment,
    make_run_table,
)
from pipeline.runtime.cli import make_parser, report_errors
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import write_aside
from pipeline.runtime.progress import progress_bar

OUT = Path("metrics/compare.html")


def main(arguments: list[str] | None = None) -> int:
    """Reads the command line; returns the exit status."""
    parser = make_parser("compare", __doc__)
    parser.add_argument("experiments", nargs="*", metavar="EXP", help="names of experiments, commits, branches or tags")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE", help=f"the page to write ({OUT})")
    chosen = parser.parse_args(arguments)
    return report_errors(lambda: compare(chosen))


def compare(chosen: argparse.Namespace) -> None:
    """Writes the page and prints the table."""
    revisions = list_experiments(chosen.experiments)
    with progress_bar(revisions, desc="compare", unit=" experiments", disable=None) as progress:
        found = [load_experiment(name, revision) for name, revision in progress]
    experiments = [experiment for experiment in found if experiment is not None]
    for (name, _), experiment in zip(revisions, found, strict=True):
        if experiment is None:
            print(f"{name}: left out, it has no metrics/summary.csv", file=sys.stderr)
    if not experiments:
        raise PipelineError(
            "there is nothing to compare: expected experiments with metrics/summary.csv; make some with `dvc exp run -S …`"
        )
    runs = make_run_table(experiments)
    folded = fold_seeds(runs)
    with write_aside(chosen.out) as partial:
        page = render_page("compare.html", **describe_comparison(experiments, runs, folded))
        partial.write_text(page, encoding="utf-8")
    print(folded.to_string(index=False))
    print(f"page: {chosen.out}")


if __name__ == "__main__":
    sys.exit(main())
