"""data/code as the stage `code` leaves it, for the modules that a test chooses."""

import json
from pathlib import Path

from pipeline.runtime.paths import CODE

MODULES = {"pipeline.data.batches": "1", "pipeline.training.fit": "2", "pipeline.report.charts.theme": "3"}


def write_code(verb: str, *families: str, folder: Path = Path(), **changes: str) -> None:
    """The same digests for each family. changes: of modules, two underscores for a dot: pipeline__data__batches="4"."""
    modules = MODULES | {name.replace("__", "."): digest for name, digest in changes.items()}
    for family in families:
        file = folder / CODE / verb / f"{family}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"modules": modules, "templates": {}, "entries": []}))
