"""Looks before anything runs: python -m stages.doctor [PATH] [-S NAME=VALUE] [--seconds 8] [--json].

PATH is a folder of pictures, a zip or tar, or the address of one; without it, the source that params.yaml names. Says what
would be read, which pictures can't be used, the disk space, memory and minutes that a run needs, what DVC, git and Python are
set to, and what to change. Nothing is downloaded or changed. The exit status is 1 if something would stop the run.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

try:
    from pipeline.doctor.diagnosis import Diagnosis, diagnose
    from pipeline.doctor.screen import write_screen
    from pipeline.runtime.cli import configure, make_parser, report_answers
except ModuleNotFoundError as error:  # the first mistake in a fresh clone
    sys.exit(f"error: this Python has no {error.name}: run `make venv`, then `source .venv/bin/activate`")


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status."""
    chosen = configure(parse_arguments(arguments))
    found: list[Diagnosis] = []
    status = report_answers(lambda: found.append(doctor(chosen)))
    return status or int(found[0].stops)


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = make_parser("doctor", __doc__)
    parser.add_argument("path", nargs="?", metavar="FILE|FOLDER", help="pictures to look at instead of data.path")
    parser.add_argument(
        "--seconds",
        type=float,
        default=8.0,
        metavar="N",
        help="to measure how long training takes (default 8; 0 = not at all)",
    )
    parser.add_argument(
        "-S", action="append", default=[], metavar="NAME=VALUE", help="another value of a parameter, as of dvc exp run"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the screen")
    chosen = parser.parse_args(arguments)
    if chosen.path == "":
        parser.error("expected a folder, an archive or an address, received an empty name")
    if not 0 <= chosen.seconds <= 3600:
        parser.error(f"--seconds: expected 0 to 3600, received {chosen.seconds:g}")
    return chosen


def doctor(chosen: argparse.Namespace) -> Diagnosis:
    """Prints the answer."""
    diagnosis = diagnose(chosen.path, chosen.S, chosen.seconds, Path.cwd())
    if chosen.json:
        print(json.dumps(asdict(diagnosis) | {"stops": diagnosis.stops}, indent=1))
    else:
        is_unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        print(write_screen(diagnosis, is_unicode=is_unicode))
    return diagnosis


if __name__ == "__main__":
    sys.exit(main())
