"""Classifies pictures: python -m stages.predict FILE|FOLDER… [--family NAME] [--top 3] [--json|--csv].

Uses the family that is best on validation images, unless one is named. Pictures are decoded as in training, and probabilities
are calibrated. A file that can't be used gets its own line, the others are still classified, and the exit status is 1.
"""

import argparse
import io
import os
import sys

from pipeline.config.families import check_family
from pipeline.config.reader import load_params
from pipeline.data.image_files import decode_as_trained, find_files, load_pictures
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.evaluation.answers import load_classifier, make_writer, write_answers
from pipeline.evaluation.results import load_temperature
from pipeline.runtime.cli import configure, make_parser, report_errors
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import METRICS, MODELS
from pipeline.runtime.tensorflow import configure_tensorflow


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, or 1 if any picture could not be used or nothing could be done."""
    chosen = configure(parse_arguments(arguments))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name may be any bytes
    bad: list[str] = []
    status = 0
    try:
        status = report_errors(lambda: predict(chosen, bad))
    except BrokenPipeError:  # the reader has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # takes what Python flushes at exit
    return status or int(bool(bad))


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = make_parser("predict", __doc__)
    parser.add_argument("paths", nargs="+", metavar="FILE|FOLDER", help="pictures, or folders with pictures below them")
    parser.add_argument("--family", help="a trained family; by default, the best on validation images")
    parser.add_argument("--top", type=int, default=3, metavar="N", help="classes per picture (default 3)")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="one JSON object per line")
    forms.add_argument("--csv", action="store_true", help="a table: path, family, class_1, probability_1, …, error")
    chosen = parser.parse_args(arguments)
    if chosen.top < 1:
        parser.error(f"--top: expected 1 or more, received {chosen.top}")
    return chosen


def predict(chosen: argparse.Namespace, bad: list[str]) -> None:
    """Writes an answer for each picture to stdout; appends the paths of those that can't be used to `bad`."""
    params = load_params()
    family = chosen.family or choose_best()
    check_family(family)
    artifact = MODELS / f"{family}.keras"
    if not artifact.exists():
        raise PipelineError(f"{artifact} is not here: expected a trained model; run `dvc repro train@{family}`")
    facts = load_dataset_facts()
    temperature = load_temperature(family, artifact)
    form = "json" if chosen.json else "csv" if chosen.csv else "text"
    writer = make_writer(form, family, min(chosen.top, facts.num_classes))
    configure_tensorflow(onednn=params.runtime.onednn)
    classify = load_classifier(artifact, temperature)
    decoding = decode_as_trained(facts, params.prune, params.preprocess.range)
    pictures = load_pictures(find_files(chosen.paths), decoding)
    write_answers(pictures, classify, facts.class_names, chosen.top, writer, bad)


def choose_best() -> str:
    """The family that the report recommends."""
    from pipeline.report.tables import choose_family, load_summary  # imports scikit-learn, which takes a second

    return choose_family(load_summary(METRICS / "summary.csv"))


if __name__ == "__main__":
    sys.exit(main())
