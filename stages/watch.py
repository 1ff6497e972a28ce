"""Notes what lies in one of the user's own folders or files now: `dvc repro` runs this where something in it has changed.

Writes data/watch/seen/<name>.json, on which `locate` depends. A source that is gone changes nothing: what was downloaded
from it is enough, until data.path or another parameter asks for it again.
"""

import logging
import sys
from dataclasses import replace

from pipeline.runtime.cli import configure, make_parser, read_words, report_errors
from pipeline.sources.watching import digest_content, is_absent, load_seen, load_watched, save_seen

WATCHED = ("source", "labels", "outside", "exclude", "relabel")

logger = logging.getLogger(__name__)


def watch(name: str) -> None:
    """name: source, labels, outside, exclude or relabel."""
    target, seen = load_watched().get(name), load_seen(name)
    if target is None or is_absent(target):
        logger.warning("%s is gone: what was read from it is still used", target or name)
    else:
        seen = replace(seen, content=digest_content(name, target))
    save_seen(name, seen)


if __name__ == "__main__":
    parser = make_parser("watch", __doc__)
    parser.add_argument("name", metavar="NAME", choices=WATCHED, help=", ".join(WATCHED))
    arguments = configure(parser.parse_args(read_words("watch")))
    sys.exit(report_errors(lambda: watch(arguments.name)))
