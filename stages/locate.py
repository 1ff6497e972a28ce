"""Checks the place where images come from, before any work, and shows DVC what to watch there.

Writes data/watch/<source>: a link to the user's own folder or archive, so that `dvc repro` notices when an image in it is
added, changed or removed; for sources that can't change, a line that says so.
"""

from pathlib import Path

from stages.cli import run_verb
from stages.files import folder_aside
from stages.params import load_params
from stages.sources import load_source

WATCH = Path("data/watch")


def locate() -> None:
    params = load_params()
    target = load_source(params.data.source).locate(params.data.path)
    with folder_aside(WATCH) as folder:
        entry = folder / params.data.source
        if target is None:
            entry.write_text(f"Images of source {params.data.source} do not change on this machine.\n")
        else:
            entry.symlink_to(target)
    print(f"images come from {params.data.source}" + (f": {target}" if target else ""))


if __name__ == "__main__":
    run_verb(locate, __doc__)
