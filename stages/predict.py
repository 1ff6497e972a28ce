"""Classifies pictures: python -m stages.predict FILE|FOLDER|-… [--family NAME|--model FILE] [--top 3] [--json|--csv].

Uses the family that is best on validation images, unless a family or a model file is named. Pictures are decoded as in
training, and probabilities are calibrated, as the model file says. --coverage 0.95 adds the set of classes that holds the true
one that often, --costs the class that costs least by evaluate.costs. A picture that looks like no class is "none of these": see
evaluate.false_alarms. What can't be used gets its own line, all else is still
classified, and the exit status is 1. With runtime.cluster: ray, more than 64 pictures are classified on a cluster.
"""

import argparse
import sys
from pathlib import Path

from pipeline.config.reader import load_params
from pipeline.data.image_files import decode_as_trained
from pipeline.data.picture_paths import find_files
from pipeline.evaluation.answering import Asked, answer_files
from pipeline.evaluation.answers import load_extras, make_writer, write_answers
from pipeline.models.contract import load_contract, load_own_contract
from pipeline.runtime.cli import configure, make_parser, report_answers
from pipeline.runtime.paths import METRICS, MODELS


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, or 1 if any picture could not be used or nothing could be done."""
    chosen = configure(parse_arguments(arguments))
    bad: list[str] = []
    return report_answers(lambda: predict(chosen, bad)) or int(bool(bad))


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = make_parser("predict", __doc__)
    help_ = "pictures, folders with pictures below them, - = a list on stdin"
    parser.add_argument("paths", nargs="+", metavar="FILE|FOLDER|-", help=help_)
    models = parser.add_mutually_exclusive_group()
    models.add_argument("--family", help="a trained family; by default, the best on validation images")
    models.add_argument(
        "--model", type=Path, metavar="FILE", help="a .keras file from anywhere; needs no data/ or metrics/"
    )
    parser.add_argument("--top", type=int, default=3, metavar="N", help="classes per picture (default 3)")
    parser.add_argument(
        "--coverage", type=float, metavar="SHARE", help="adds the classes of which one is right, at 0.95 or so"
    )
    parser.add_argument("--costs", action="store_true", help="adds the class that costs least by evaluate.costs")
    forms = parser.add_mutually_exclusive_group()
    for form, what in (("json", "one object per line"), ("csv", "path, family, class_1, probability_1, …, error")):
        forms.add_argument(f"--{form}", dest="form", action="store_const", const=form, default="text", help=what)
    chosen = parser.parse_args(arguments)
    if chosen.top < 1:
        parser.error(f"--top: expected 1 or more, received {chosen.top}")
    if chosen.coverage is not None and not 0 < chosen.coverage < 1:
        parser.error(f"--coverage: expected a share above 0 and below 1, such as 0.95, received {chosen.coverage:g}")
    return chosen


def predict(chosen: argparse.Namespace, bad: list[str]) -> None:
    """Writes an answer for each picture to stdout; appends the paths of those that can't be used to `bad`."""
    params = load_params()
    artifact = chosen.model or MODELS / f"{chosen.family or choose_best()}.keras"
    contract = load_contract(artifact) if chosen.model else load_own_contract(artifact)
    extras = load_extras(contract, params.evaluate, artifact, coverage=chosen.coverage, with_costs=chosen.costs)
    top = min(chosen.top, len(contract.class_names))
    asked = Asked(artifact, contract, decode_as_trained(contract, params.prune), top, extras)
    with answer_files(find_files(chosen.paths), asked, params.runtime) as batches:
        write_answers(batches, make_writer(chosen.form, contract.family, top, extras), bad)


def choose_best() -> str:
    """The family that the report recommends."""
    from pipeline.report.tables import get_chosen, load_summary  # imports scikit-learn, which takes a second

    return get_chosen(load_summary(METRICS / "summary.csv"))


if __name__ == "__main__":
    sys.exit(main())
