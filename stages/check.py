"""Checks the whole of params.yaml before any work, and writes what each family trains and embeds with: data/settings.

data/settings/<embed|train>/<family>.json is the family's recipe as `train` overrides it. Stages depend on these files, so that
a parameter re-runs the families whose settings it changes. data/settings/checked never changes: all other stages wait for it.

Says what `train` sets and a family does not have, and which parameters differ from the last commit: an interrupted
`dvc exp run -S …` leaves its values in params.yaml.
"""

import json
import logging
import sys
from pathlib import Path

from pipeline.config.budget import load_planned
from pipeline.config.recipes import describe_settings, list_notes
from pipeline.config.sections import Params
from pipeline.config.since_commit import describe_changes
from pipeline.export.formats import check_packages
from pipeline.models.backbones.presets import check_presets
from pipeline.runtime.cli import configure, make_parser, report_errors
from pipeline.runtime.dvc_locks import mend_here
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import folder_aside
from pipeline.runtime.paths import PARAMS, SETTINGS

logger = logging.getLogger(__name__)


def main() -> int:
    """Reads the command line; returns the exit status."""
    parser = make_parser("check", __doc__)
    parser.add_argument(
        "--params",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="check these files instead of params.yaml, and write nothing",
    )
    arguments = configure(parser.parse_args())
    if sys.flags.optimize > 1:  # by PYTHONOPTIMIZE, which Altair finds no docstrings with
        print("error: PYTHONOPTIMIZE is 2: expected at most 1, as libraries read docstrings; unset it", file=sys.stderr)
        return 1
    return report_errors(mend_here) or report_errors(
        lambda: check_only(arguments.params) if arguments.params else check()
    )


def check() -> None:
    params = check_file(PARAMS)
    check_packages(params.export.formats)  # before hours of training, not after them
    check_presets(params)
    with folder_aside(SETTINGS) as folder:
        for family in params.families:
            for purpose, settings in describe_settings(params, family).items():
                file = folder / purpose / f"{family}.json"
                file.parent.mkdir(exist_ok=True)
                file.write_text(json.dumps(settings, indent=1) + "\n")
        (folder / "checked").write_text("params.yaml is valid.\n")
    for note in list_notes(params):
        logger.info("%s", note)
    logger.info("params.yaml is valid; families: %s", ", ".join(params.families))


def check_only(files: list[Path]) -> None:
    for file in files:
        check_file(file)


def check_file(file: Path) -> Params:
    """Its parameters. Raises PipelineError for what is wrong in it; of params.yaml, says how it differs from the commit."""
    changes = describe_changes() if file.resolve() == PARAMS.resolve() else None
    try:
        params = load_planned(file)
    except PipelineError as error:
        raise PipelineError(f"{error}; {changes}" if changes else str(error)) from error
    if changes:
        logger.info("%s", changes)
    return params


if __name__ == "__main__":
    sys.exit(main())
