"""Checks the whole of params.yaml before any work, and writes what each family trains and embeds with: data/settings.

data/settings/<embed|train>/<family>.json is the family's recipe as `train` overrides it. Stages depend on these files, so that
a parameter re-runs the families whose settings it changes. data/settings/checked never changes: all other stages wait for it.
"""

import json
import logging

from pipeline.config.reader import load_params
from pipeline.config.recipes import describe_settings
from pipeline.runtime.cli import run_verb
from pipeline.runtime.files import folder_aside
from pipeline.runtime.paths import SETTINGS

logger = logging.getLogger(__name__)


def check() -> None:
    params = load_params()
    with folder_aside(SETTINGS) as folder:
        for family in params.families:
            for purpose, settings in describe_settings(params, family).items():
                file = folder / purpose / f"{family}.json"
                file.parent.mkdir(exist_ok=True)
                file.write_text(json.dumps(settings, indent=1) + "\n")
        (folder / "checked").write_text("params.yaml is valid.\n")
    logger.info("params.yaml is valid; families: %s", ", ".join(params.families))


if __name__ == "__main__":
    run_verb(check, __doc__)
